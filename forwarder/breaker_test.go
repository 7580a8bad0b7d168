package forwarder

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/rpc"
)

// turnPicker puts another server in front for every call.
type turnPicker struct {
	fixedPicker
	next *atomic.Uint32
}

func (p turnPicker) Servers(dc string) ([]Server, bool) {
	all, ok := p.fixedPicker[dc]
	if !ok {
		return nil, false
	}
	i := int(p.next.Add(1)) % len(all)
	return append(append([]Server(nil), all[i:]...), all[:i]...), true
}

// frozenDatacenter is a datacenter of three servers behind proxies.
type frozenDatacenter struct {
	backends []*backend
	proxies  []*proxy
	router   *Router
	reg      *prometheus.Registry
}

func startDatacenter(t testing.TB, fixed bool) *frozenDatacenter {
	d := &frozenDatacenter{reg: prometheus.NewRegistry()}
	var addrs []string
	for _, name := range []string{"b1", "b2", "b3"} {
		b := startBackend(t, name)
		p := startProxy(t, b.addr)
		d.backends, d.proxies, addrs = append(d.backends, b), append(d.proxies, p), append(addrs, p.addr)
	}
	var picker Picker = fixedPicker{"there": servers(addrs...)}
	if !fixed {
		picker = turnPicker{picker.(fixedPicker), new(atomic.Uint32)}
	}
	d.router = startRouter(t, Config{Picker: picker, Registerer: d.reg})
	return d
}

func (d *frozenDatacenter) freeze() {
	for _, p := range d.proxies {
		p.Freeze()
	}
}

func (d *frozenDatacenter) thaw() {
	for _, p := range d.proxies {
		p.Thaw()
	}
}

func (d *frozenDatacenter) waitFor(t *testing.T, want BreakerState) {
	t.Helper()
	eventually(t, "the breaker is "+want.String(), func() bool {
		state, _, _ := d.router.Breaker("there")
		return state == want
	})
}

// A deadline instead of an asserted duration: a call that is not answered by then fails.
const patienceOfTests = 20 * time.Second

func TestFrozenDatacenterOpensTheBreakerAndClosesItWhenItAnswers(t *testing.T) {
	for name, fixed := range map[string]bool{"one server carries all calls": true, "all servers carry calls": false} {
		t.Run(name, func(t *testing.T) {
			d := startDatacenter(t, fixed)
			for range 3 {
				if _, err := echo.Call(t.Context(), toDC{d.router, "there"}, text("x")); err != nil {
					t.Fatal(err)
				}
			}
			d.freeze()
			ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
			defer cancel()
			began := time.Now()
			var wg sync.WaitGroup
			for _, do := range []func() error{
				func() error { _, err := echo.Call(ctx, toDC{d.router, "there"}, text("x")); return err },
				func() error { _, err := list.Call(ctx, toDC{d.router, "there"}, text("x")); return err },
				func() error {
					req := text("x")
					req.MinQueryIndex = 1
					_, err := wait.Call(ctx, toDC{d.router, "there"}, req)
					return err
				},
			} {
				wg.Go(func() {
					err := do()
					if !strings.HasPrefix(err.Error(), rpc.ErrUnreachable.Text) {
						t.Errorf("got %v", err)
					}
					if reason := rpc.ReasonOf(err); reason != rpc.ReasonNoLiveServer && reason != rpc.ReasonTimeout && reason != rpc.ReasonBreakerOpen {
						t.Errorf("the reason is %q", reason)
					}
				})
			}
			wg.Wait()
			t.Logf("the first calls were answered after %v", time.Since(began))
			eventually(t, "the breaker is open", func() bool {
				state, since, _ := d.router.Breaker("there")
				return state != BreakerClosed && !since.IsZero()
			})
			_, err := echo.Call(ctx, toDC{d.router, "there"}, text("x"))
			wantReason(t, err, rpc.ReasonBreakerOpen, rpc.ErrUnreachable.Text)
			if !errors.Is(err, rpc.ErrBreakerOpen) {
				t.Fatalf("%v is not the breaker's", err)
			}
			t.Log(err)
			d.thaw()
			d.waitFor(t, BreakerClosed)
			if _, err := echo.Call(ctx, toDC{d.router, "there"}, text("x")); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestWriteToAFrozenDatacenterHasAnUnknownOutcome(t *testing.T) {
	d := startDatacenter(t, true)
	if _, err := set.Call(t.Context(), toDC{d.router, "there"}, &textWrite{Text: "w"}); err != nil {
		t.Fatal(err)
	}
	d.freeze()
	_, err := set.Call(t.Context(), toDC{d.router, "there"}, &textWrite{Text: "w"})
	if !errors.Is(err, rpc.ErrOutcomeUnknown) {
		t.Fatalf("got %v", err)
	}
	if n := d.backends[1].writes.Load() + d.backends[2].writes.Load(); n != 0 {
		t.Fatalf("the write was made %d times elsewhere", n)
	}
}

func TestOneFrozenServerDoesNotOpenTheBreaker(t *testing.T) {
	d := startDatacenter(t, true)
	if _, err := echo.Call(t.Context(), toDC{d.router, "there"}, text("x")); err != nil {
		t.Fatal(err)
	}
	d.proxies[0].Freeze()
	// A call has two seconds, and the silence of the first server takes one and a half.
	eventually(t, "the second server answers", func() bool {
		reply, err := echo.Call(t.Context(), toDC{d.router, "there"}, text("x"))
		if err != nil {
			t.Log(err)
		}
		return err == nil && reply.Text == "x@b2"
	})
	if state, _, _ := d.router.Breaker("there"); state != BreakerClosed {
		t.Fatalf("the breaker is %v", state)
	}
}

func TestWaitOfABlockingQueryDoesNotOpenTheBreaker(t *testing.T) {
	b := startBackend(t, "b1")
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(b.addr)}, Hold: 10 * time.Millisecond})
	req := text("")
	req.MinQueryIndex, req.MaxQueryTime = 1, 2*silenceLimit // the server keeps silent, and answers pings
	_, err := wait.Call(t.Context(), toDC{r, "there"}, req)
	if !errors.Is(err, rpc.ErrTimeout) {
		t.Fatalf("got %v", err)
	}
	<-b.abandoned
	if state, _, _ := r.Breaker("there"); state != BreakerClosed {
		t.Fatalf("the breaker is %v", state)
	}
	if b.waiting.Load() != 1 {
		t.Fatalf("the call was made %d times", b.waiting.Load())
	}
}

func TestManyReadsOfAFrozenDatacenterStayBounded(t *testing.T) {
	d := startDatacenter(t, false)
	for range 30 {
		if _, err := echo.Call(t.Context(), toDC{d.router, "there"}, text("x")); err != nil {
			t.Fatal(err)
		}
	}
	d.freeze()
	var slowest, most atomic.Int64
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 4000 { // a thousand in a second
		<-tick.C
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
			defer cancel()
			began := time.Now()
			if _, err := echo.Call(ctx, toDC{d.router, "there"}, text("x")); err == nil || ctx.Err() != nil {
				t.Errorf("got %v", err)
			}
			slowest.Store(max(slowest.Load(), int64(time.Since(began))))
		})
		most.Store(max(most.Load(), int64(runtime.NumGoroutine())))
	}
	wg.Wait()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	t.Logf("slowest answer %v, at most %d goroutines, %d MB of heap", time.Duration(slowest.Load()), most.Load(), mem.HeapInuse>>20)
	if d.router.gate("there").inFlight.Load() != 0 {
		t.Error("calls are still in flight")
	}
	if series(t, d.reg, "hanse_forward_errors_total") == 0 {
		t.Error("no errors were counted")
	}
	d.thaw()
	d.waitFor(t, BreakerClosed)
	if _, err := echo.Call(t.Context(), toDC{d.router, "there"}, text("x")); err != nil {
		t.Fatal(err)
	}
}

// series counts the series of a metric.
func series(t *testing.T, reg *prometheus.Registry, name string) int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return len(f.GetMetric())
		}
	}
	return 0
}

// vanishingPicker knows its datacenters until they are gone.
type vanishingPicker struct {
	fixedPicker
	gone atomic.Bool
}

func (p *vanishingPicker) Servers(dc string) ([]Server, bool) {
	if p.gone.Load() {
		return nil, false
	}
	return p.fixedPicker.Servers(dc)
}

func TestMetricsOfADatacenterGoWithIt(t *testing.T) {
	b := startBackend(t, "b1")
	picker := &vanishingPicker{fixedPicker: fixedPicker{"there": servers(b.addr)}}
	reg := prometheus.NewRegistry()
	r := startRouter(t, Config{Picker: picker, Registerer: reg})
	if _, err := echo.Call(t.Context(), toDC{r, "there"}, text("x")); err != nil {
		t.Fatal(err)
	}
	names := []string{"hanse_forward_seconds", "hanse_forward_in_flight", "hanse_forward_sessions", "hanse_forward_breaker_state"}
	for _, name := range names {
		if series(t, reg, name) == 0 {
			t.Errorf("%s has no series", name)
		}
	}
	picker.gone.Store(true)
	r.forgetDatacenters()
	b.stop()
	eventually(t, "no session is left", func() bool { return series(t, reg, "hanse_forward_sessions") == 0 })
	for _, name := range names {
		if n := series(t, reg, name); n != 0 {
			t.Errorf("%s has %d series left", name, n)
		}
	}
}
