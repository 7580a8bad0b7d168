package server

import (
	"context"
	"testing"
	"time"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
)

// A read in this process can tell what closes when its answer changes.
func TestWatchOfACallClosesWithTheChange(t *testing.T) {
	s := startAlone(t)
	register := func(service string) {
		t.Helper()
		_, err := catalog.Register.Call(t.Context(), s.table, &catalog.RegisterRequest{
			Node: "n", Address: "127.0.0.1", Service: &catalog.NodeService{Service: service, Port: int(time.Now().UnixNano() % 1000)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	register("web")
	register("other")
	ws := rpc.WatchSet{}
	if _, err := catalog.HealthServiceNodes.Call(rpc.WithWatch(t.Context(), ws), s.table, &catalog.ServiceSpecificRequest{ServiceName: "web"}); err != nil {
		t.Fatal(err)
	}
	if len(ws) == 0 {
		t.Fatal("nothing is watched")
	}
	closed := func() bool {
		for ch := range ws {
			select {
			case <-ch:
				return true
			default:
			}
		}
		return false
	}
	register("other")
	if closed() {
		t.Error("another service's change closed the watch")
	}
	register("web")
	if !closed() {
		t.Error("the change was acknowledged, and the watch is open")
	}
	if got := rpc.WatchOf(context.Background()); got != nil {
		t.Errorf("a context without a watch has %v", got)
	}
}
