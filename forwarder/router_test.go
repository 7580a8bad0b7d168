package forwarder

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/hanse-project/hanse/rpc"
)

func TestCallReachesAnotherDatacenter(t *testing.T) {
	b := startBackend(t, "b1")
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(b.addr)}})
	reply, err := echo.Call(t.Context(), toDC{r, "there"}, text("hello"))
	if err != nil || reply.Text != "hello@b1" || reply.Index != 1 {
		t.Fatalf("got %+v, %v", reply, err)
	}
}

func TestConcurrentCallsKeepTheirAnswersApart(t *testing.T) {
	b := startBackend(t, "b1")
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(b.addr)}})
	var wg sync.WaitGroup
	for i := range 600 { // more than one session carries
		wg.Go(func() {
			for j := range 5 {
				want := fmt.Sprintf("%d/%d", i, j)
				reply, err := echo.Call(t.Context(), toDC{r, "there"}, text(want))
				for tries := 1; errors.Is(err, rpc.ErrUnreachable) && tries < 10; tries++ { // a machine that stood still for a second looks like a server that did
					time.Sleep(probeEvery)
					reply, err = echo.Call(t.Context(), toDC{r, "there"}, text(want))
				}
				if err != nil || reply.Text != want+"@b1" {
					t.Errorf("got %+v, %v, want %s", reply, err, want)
				}
			}
		})
	}
	wg.Wait()
}

func TestErrorsOfHandlersKeepTheirTextAndMeaning(t *testing.T) {
	b := startBackend(t, "b1")
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(b.addr)}})
	_, err := echo.Call(t.Context(), toDC{r, "there"}, text("error: disk full"))
	if err == nil || err.Error() != "disk full" {
		t.Fatalf("got %v", err)
	}
	b.fail.Store(&rpc.Error{Reason: rpc.ReasonDenied, Text: "Permission denied: no"})
	_, err = echo.Call(t.Context(), toDC{r, "there"}, text("x"))
	if !errors.Is(err, rpc.ErrPermissionDenied) || err.Error() != "Permission denied: no" {
		t.Fatalf("got %v", err)
	}
}

func TestUnknownDatacenterHasNoPath(t *testing.T) {
	r := startRouter(t, Config{Picker: fixedPicker{}})
	_, err := echo.Call(t.Context(), toDC{r, "nowhere"}, text("x"))
	wantReason(t, err, rpc.ReasonUnknownDC, "No path to datacenter")
}

func TestEndOfTheCallersContextEndsTheCallAtTheServer(t *testing.T) {
	b := startBackend(t, "b1")
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(b.addr)}})
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		req := text("")
		req.MinQueryIndex = 5
		_, err := wait.Call(ctx, toDC{r, "there"}, req)
		result <- err
	}()
	eventually(t, "the call waits at the server", func() bool { return b.waiting.Load() == 1 })
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	<-b.abandoned
	if _, err := echo.Call(t.Context(), toDC{r, "there"}, text("x")); err != nil {
		t.Fatalf("the next call: %v", err)
	}
}

func TestAnotherServerTakesOverAReadWithoutTheCallerNoticing(t *testing.T) {
	dying, healthy := startBackend(t, "dying"), startBackend(t, "healthy")
	way := startProxy(t, dying.addr)
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(way.addr, healthy.addr)}})
	result := make(chan error, 1)
	go func() {
		req := text("")
		req.MinQueryIndex = 5
		_, err := wait.Call(t.Context(), toDC{r, "there"}, req)
		result <- err
	}()
	eventually(t, "the call waits at the first server", func() bool { return dying.waiting.Load() == 1 })
	way.Cut()
	eventually(t, "the call waits at the second server", func() bool { return healthy.waiting.Load() == 1 })
	reply, err := echo.Call(t.Context(), toDC{r, "there"}, text("x"))
	if err != nil || reply.Text != "x@healthy" {
		t.Fatalf("got %+v, %v", reply, err)
	}
	select {
	case err := <-result:
		t.Fatalf("the caller noticed: %v", err)
	default:
	}
}

func TestWriteThatMayHaveBegunIsNeverRepeated(t *testing.T) {
	dying, healthy := startBackend(t, "dying"), startBackend(t, "healthy")
	way := startProxy(t, dying.addr)
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(way.addr, healthy.addr)}})
	result := make(chan error, 1)
	go func() {
		_, err := set.Call(t.Context(), toDC{r, "there"}, &textWrite{Text: "wait"})
		result <- err
	}()
	eventually(t, "the write is at the server", func() bool { return dying.writes.Load() == 1 })
	way.Cut()
	err := <-result
	if !errors.Is(err, rpc.ErrOutcomeUnknown) {
		t.Fatalf("got %v", err)
	}
	if healthy.writes.Load() != 0 {
		t.Fatal("the write was repeated")
	}
}

func TestWriteThatNeverBeganIsMadeElsewhere(t *testing.T) {
	dead, healthy := startBackend(t, "dead"), startBackend(t, "healthy")
	dead.stop()
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(dead.addr, healthy.addr)}})
	reply, err := set.Call(t.Context(), toDC{r, "there"}, &textWrite{Text: "w"})
	if err != nil || reply.Text != "w@healthy" {
		t.Fatalf("got %+v, %v", reply, err)
	}
}

func TestElectionElsewhereIsWaitedOut(t *testing.T) {
	b := startBackend(t, "b1")
	b.fail.Store(rpc.ErrNoLeader)
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(b.addr)}})
	result := make(chan error, 1)
	go func() {
		_, err := set.Call(t.Context(), toDC{r, "there"}, &textWrite{Text: "w"})
		result <- err
	}()
	time.AfterFunc(100*time.Millisecond, func() { b.fail.Store(nil) })
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

func TestDatacenterWithoutLeaderSaysSo(t *testing.T) {
	b := startBackend(t, "b1")
	b.fail.Store(rpc.ErrNoLeader)
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(b.addr)}, Hold: 200 * time.Millisecond})
	_, err := echo.Call(t.Context(), toDC{r, "there"}, text("x"))
	wantReason(t, err, rpc.ReasonNoRemoteLeader, "No cluster leader")
	if state, _, _ := r.Breaker("there"); state != BreakerClosed {
		t.Fatalf("the breaker is %v", state)
	}
}

func TestServerOfThisDatacenterThatCannotBeReachedIsNoLeader(t *testing.T) {
	dead := startBackend(t, "dead")
	dead.stop()
	r := startRouter(t, Config{Picker: fixedPicker{}})
	_, err := set.Call(t.Context(), toServer{r, dead.addr}, &textWrite{Text: "w"})
	wantReason(t, err, rpc.ReasonNoLeader, "No cluster leader")
}

func TestCallsInFlightAreBounded(t *testing.T) {
	b := startBackend(t, "b1")
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(b.addr)}, MaxInFlight: 3})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { wait.Call(ctx, toDC{r, "there"}, text("")) })
	}
	eventually(t, "three calls wait", func() bool { return b.waiting.Load() == 3 })
	_, err := echo.Call(t.Context(), toDC{r, "there"}, text("x"))
	wantReason(t, err, rpc.ReasonOverloaded, "too many calls in flight")
	cancel()
	wg.Wait()
	if _, err := echo.Call(t.Context(), toDC{r, "there"}, text("x")); err != nil {
		t.Fatal(err)
	}
}

func TestLongListsArrive(t *testing.T) {
	b := startBackend(t, "b1")
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(b.addr)}})
	reply, err := list.Call(t.Context(), toDC{r, "there"}, text(""))
	if err != nil {
		t.Fatal(err)
	}
	if len(reply.Items) != 256 || len(reply.Items[255]) != 64<<10 {
		t.Fatalf("got %d items", len(reply.Items))
	}
	small := startRouter(t, Config{Picker: fixedPicker{"there": servers(b.addr)}, MaxReply: 1 << 20})
	_, err = list.Call(t.Context(), toDC{small, "there"}, text(""))
	if !errors.Is(err, rpc.ErrTooLarge) || !strings.Contains(err.Error(), "is too large") {
		t.Fatalf("got %v", err)
	}
}

func TestListenerThatEndsLosesNoCall(t *testing.T) {
	first, second := startBackend(t, "first"), startBackend(t, "second")
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(first.addr, second.addr)}})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				if _, err := set.Call(t.Context(), toDC{r, "there"}, &textWrite{Text: "w"}); err != nil {
					t.Error(err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	eventually(t, "the first server has work", func() bool { return first.writes.Load() > 100 })
	first.stop()
	eventually(t, "the second server has work", func() bool { return second.writes.Load() > 100 })
	close(stop)
	wg.Wait()
}

func TestListenerThatEndsAnswersWritesAndWaitsForNoChange(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{name: "b1", abandoned: make(chan struct{}, 1), release: make(chan struct{})}
	stop := startListener(t, ListenerConfig{Dispatcher: b, Drain: time.Hour}, ln)
	r := startRouter(t, Config{Hold: time.Millisecond, Picker: fixedPicker{"there": servers(ln.Addr().String())}})
	var calls sync.WaitGroup
	calls.Go(func() {
		if _, err := set.Call(t.Context(), toDC{r, "there"}, &textWrite{Text: "held"}); err != nil {
			t.Error(err)
		}
	})
	calls.Go(func() {
		req := text("")
		req.MinQueryIndex = 1
		if _, err := wait.Call(t.Context(), toDC{r, "there"}, req); err == nil {
			t.Error("the query was answered")
		}
	})
	eventually(t, "both calls are there", func() bool { return b.writes.Load() == 1 && b.waiting.Load() == 1 })
	var ended atomic.Bool
	go func() {
		stop()
		ended.Store(true)
	}()
	eventually(t, "further calls are refused", func() bool {
		_, err := set.Call(t.Context(), toDC{r, "there"}, &textWrite{Text: "w"})
		return err != nil
	})
	close(b.release)
	eventually(t, "the listener ends though a query waits", ended.Load)
	calls.Wait()
}

// A stream that a server refuses has carried nothing: the write on it goes to the next.
func TestWriteOnARefusedStreamIsMadeElsewhere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	full := make(chan struct{}) // closed when the only place for a stream is taken
	runUntilEnd(t, func(ctx context.Context) error {
		conn, err := ln.Accept()
		if err != nil {
			return nil
		}
		if _, err := readFirst(conn); err != nil {
			return err
		}
		config := muxConfig(windowOfRequests, time.Second)
		config.AcceptBacklog = 1
		mux, err := yamux.Server(conn, config)
		if err != nil {
			return err
		}
		defer mux.Close()
		for mux.NumStreams() == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		close(full)
		<-ctx.Done()
		return nil
	})
	b := startBackend(t, "b")
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(ln.Addr().String(), b.addr)}})
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() {
		req := text("")
		req.MinQueryIndex = 1
		if _, err := wait.Call(ctx, toDC{r, "there"}, req); err == nil {
			t.Error("the query was answered")
		}
	})
	<-full
	if reply, err := set.Call(t.Context(), toDC{r, "there"}, &textWrite{Text: "w"}); err != nil || reply.Text != "w@b" {
		t.Errorf("got %+v, %v", reply, err)
	}
	cancel()
	waiting.Wait()
}

func TestAnswerMayTakeLongerThanItsBeginning(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	runUntilEnd(t, func(ctx context.Context) error {
		conn, err := ln.Accept()
		if err != nil {
			return nil
		}
		if _, err := readFirst(conn); err != nil {
			return err
		}
		mux, err := yamux.Server(conn, muxConfig(windowOfRequests, time.Second))
		if err != nil {
			return err
		}
		defer mux.Close()
		stream, err := mux.AcceptStream()
		if err != nil {
			return err
		}
		m := newMessage()
		defer m.free()
		if err := m.read(bufio.NewReader(stream), 1<<20); err != nil {
			return err
		}
		h, err := parseHeader(m.head)
		if err != nil {
			return err
		}
		back := header{seq: h.seq, method: h.method}
		m.head = back.appendReply(m.head[:0])
		if err := m.encodeBody(&textReply{Text: "late"}); err != nil {
			return err
		}
		if _, err := stream.Write(m.head); err != nil {
			return err
		}
		time.Sleep(patience + 100*time.Millisecond)
		_, _ = stream.Write(m.body) // the call tells whether it arrived, and may then be first to close
		<-ctx.Done()
		return nil
	})
	r := startRouter(t, Config{Picker: fixedPicker{"there": servers(ln.Addr().String())}})
	if reply, err := echo.Call(t.Context(), toDC{r, "there"}, text("")); err != nil || reply.Text != "late" {
		t.Errorf("got %+v, %v", reply, err)
	}
}
