package checks

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

const many = 10_000

func TestTenThousandChecksThatWaitCostNoGoroutine(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *Runner, n *network, _ *news) {
		before := runtime.NumGoroutine()
		for i := range many {
			set(t, r, fmt.Sprint(i), Definition{TCP: "all:1", Interval: time.Minute})
			set(t, r, fmt.Sprint("ttl", i), Definition{TTL: time.Hour})
		}
		after(time.Minute)
		if made := len(n.times("all")); made != many {
			t.Errorf("%d turns in one interval, want %d", made, many)
		}
		if left := runtime.NumGoroutine(); left > before+100 { // others end in their own time
			t.Errorf("%d goroutines wait, %d before", left, before)
		}
	})
}

// accepting takes connections, and closes them.
func accepting(b *testing.B) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	b.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

func cpu(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// BenchmarkAgent runs 10,000 checks for ten seconds. The time of the servers that are
// checked counts too.
func BenchmarkAgent(b *testing.B) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer page.Close()
	open := accepting(b)
	for name, def := range map[string]Definition{
		"idle":            {TCP: open, Interval: 24 * time.Hour},
		"ttl":             {TTL: time.Hour},
		"tcp every 10 s":  {TCP: open, Interval: 10 * time.Second},
		"http every 10 s": {HTTP: page.URL, Interval: 10 * time.Second},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				agent(b, def)
			}
		})
	}
}

func agent(b *testing.B, def Definition) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var updates atomic.Int64
	r := New(Config{Log: hclog.NewNullLogger(), Update: func(string, string, string) { updates.Add(1) }})
	for i := range many {
		if err := r.Set(fmt.Sprint("service:web-", i), def, ""); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/many, "B/check")
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
	defer cancel()
	used, most := cpu(b), 0
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.Run(ctx) })
	for tick := time.Tick(50 * time.Millisecond); ctx.Err() == nil; {
		select {
		case <-tick:
			most = max(most, runtime.NumGoroutine())
		case <-ctx.Done():
		}
	}
	wg.Wait()
	b.ReportMetric(float64(cpu(b)-used)/float64(10*time.Second)*100, "%cpu")
	b.ReportMetric(float64(most), "goroutines")
	b.ReportMetric(float64(updates.Load()), "updates")
}

func BenchmarkTurn(b *testing.B) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer page.Close()
	secure := httptest.NewTLSServer(page.Config.Handler)
	defer secure.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	g := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(g, health.NewServer())
	var wg sync.WaitGroup
	wg.Go(func() { _ = g.Serve(ln) })
	defer wg.Wait()
	defer g.Stop()
	for name, def := range map[string]Definition{
		"tcp":    {TCP: accepting(b)},
		"http":   {HTTP: page.URL},
		"https":  {HTTP: secure.URL, TLSSkipVerify: true},
		"grpc":   {GRPC: ln.Addr().String()},
		"h2ping": {H2Ping: ln.Addr().String()},
		"script": {Args: []string{"/bin/true"}},
	} {
		def.OutputMaxSize = DefaultOutputMaxSize
		probe, err := newProbes(Reach{}).of(&def)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
				result, output := probe(ctx)
				cancel()
				if result != Passing {
					b.Fatal(output)
				}
			}
		})
	}
}
