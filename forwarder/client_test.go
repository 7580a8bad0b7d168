package forwarder

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hanse-project/hanse/rpc"
)

func startClient(t testing.TB, c Config) *Client {
	t.Helper()
	c.Datacenter = "here"
	client := NewClient(c)
	runUntilEnd(t, client.Run)
	return client
}

func TestClientMovesOnToAServerThatAnswers(t *testing.T) {
	dead, healthy := startBackend(t, "dead"), startBackend(t, "healthy")
	dead.stop()
	c := startClient(t, Config{Picker: fixedPicker{"here": servers(dead.addr, healthy.addr)}})
	for _, call := range []func() (*textReply, error){
		func() (*textReply, error) { return echo.Call(t.Context(), c, text("x")) },
		func() (*textReply, error) { return set.Call(t.Context(), c, &textWrite{Text: "x"}) },
	} {
		if reply, err := call(); err != nil || reply.Text != "x@healthy" {
			t.Fatalf("got %+v, %v", reply, err)
		}
	}
}

func TestClientSendsCallsForOtherDatacentersToItsOwnServers(t *testing.T) {
	b := startBackend(t, "b1")
	c := startClient(t, Config{Picker: fixedPicker{"here": servers(b.addr)}})
	req := text("x")
	req.Datacenter = "there"
	if reply, err := echo.Call(t.Context(), c, req); err != nil || reply.Text != "x@b1" {
		t.Fatalf("got %+v, %v", reply, err)
	}
}

func TestClientWithoutServersSaysSo(t *testing.T) {
	c := startClient(t, Config{Picker: fixedPicker{}})
	_, err := echo.Call(t.Context(), c, text("x"))
	wantReason(t, err, rpc.ReasonNoServers, "No known Consul servers")
}

func TestClientWaitsOutAnElection(t *testing.T) {
	b := startBackend(t, "b1")
	b.fail.Store(rpc.ErrNoLeader)
	c := startClient(t, Config{Picker: fixedPicker{"here": servers(b.addr)}})
	result := make(chan error, 2)
	for _, do := range []func() error{
		func() error { _, err := echo.Call(t.Context(), c, text("x")); return err },
		func() error { _, err := set.Call(t.Context(), c, &textWrite{Text: "x"}); return err },
	} {
		go func() { result <- do() }()
	}
	time.AfterFunc(100*time.Millisecond, func() { b.fail.Store(nil) })
	for range 2 {
		if err := <-result; err != nil {
			t.Fatal(err)
		}
	}
}

func TestClientTellsThatThereIsNoLeader(t *testing.T) {
	b := startBackend(t, "b1")
	b.fail.Store(rpc.ErrNoLeader)
	c := startClient(t, Config{Picker: fixedPicker{"here": servers(b.addr)}, Hold: 100 * time.Millisecond})
	_, err := echo.Call(t.Context(), c, text("x"))
	wantReason(t, err, rpc.ReasonNoLeader, "No cluster leader")
}

func TestClientWaitsForAServerThatComesBack(t *testing.T) {
	b := startBackend(t, "old")
	c := startClient(t, Config{Picker: fixedPicker{"here": servers(b.addr)}})
	if _, err := echo.Call(t.Context(), c, text("x")); err != nil {
		t.Fatal(err)
	}
	b.stop()
	eventually(t, "the end of the connection is noticed", func() bool { return len(c.router.pool.snapshot(nil)) == 0 })
	result := make(chan error, 1)
	go func() {
		_, err := set.Call(t.Context(), c, &textWrite{Text: "x"})
		result <- err
	}()
	startBackendAt(t, "new", b.addr)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

func TestClientNeverRepeatsAWriteThatMayHaveBegun(t *testing.T) {
	dying, healthy := startBackend(t, "dying"), startBackend(t, "healthy")
	way := startProxy(t, dying.addr)
	c := startClient(t, Config{Picker: fixedPicker{"here": servers(way.addr, healthy.addr)}})
	result := make(chan error, 1)
	go func() {
		_, err := set.Call(t.Context(), c, &textWrite{Text: "wait"})
		result <- err
	}()
	eventually(t, "the write is at the server", func() bool { return dying.writes.Load() == 1 })
	way.Cut()
	if err := <-result; !errors.Is(err, rpc.ErrOutcomeUnknown) || healthy.writes.Load() != 0 {
		t.Fatalf("got %v, and %d writes elsewhere", err, healthy.writes.Load())
	}
}

func TestBlockingQueriesOfAClientShareFewConnections(t *testing.T) {
	b := startBackend(t, "b1")
	c := startClient(t, Config{Picker: fixedPicker{"here": servers(b.addr)}})
	ctx, cancel := context.WithCancel(t.Context())
	const queries = 1000
	var wg sync.WaitGroup
	for range queries {
		wg.Go(func() {
			req := text("")
			req.MinQueryIndex = 1
			if _, err := wait.Call(ctx, c, req); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
	eventually(t, "all wait", func() bool { return b.waiting.Load() == queries })
	if n := len(c.router.pool.snapshot(nil)); n > queries/maxStreams+2 {
		t.Errorf("there are %d sessions", n)
	}
	cancel()
	wg.Wait()
	for range queries {
		<-b.abandoned
	}
}

func BenchmarkCall(b *testing.B) {
	server := startBackend(b, "b1")
	r := startRouter(b, Config{Picker: fixedPicker{"there": servers(server.addr)}})
	to := toDC{r, "there"}
	b.Run("one at a time", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := echo.Call(b.Context(), to, text("x")); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("64 at a time", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32) // times two processors
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if _, err := echo.Call(b.Context(), to, text("x")); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}
