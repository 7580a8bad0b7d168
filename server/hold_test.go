package server

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// seat is where a server stands.
type seat struct {
	leader atomic.Pointer[string] // nil is nobody, "" is this server
	asked  atomic.Int64
}

func (s *seat) IsLeader() bool { l := s.leader.Load(); return l != nil && *l == "" }

func (s *seat) LeaderAddress() string {
	switch l := s.leader.Load(); {
	case l == nil:
		return ""
	case *l == "":
		return "us"
	default:
		return *l
	}
}

func (s *seat) LastContact() time.Duration { return 0 }

func (s *seat) ReadIndex(context.Context) error {
	s.asked.Add(1)
	if s.leader.Load() == nil {
		return rpc.ErrNoLeader
	}
	return nil
}

// away notes the calls that go to other servers, which all say no.
type away struct{ calls atomic.Int64 }

func (a *away) ToDatacenter(context.Context, string, *rpc.Info, rpc.Request, func() any) (any, error) {
	return nil, rpc.ErrNoPath
}

func (a *away) ToServer(context.Context, string, *rpc.Info, rpc.Request, func() any) (any, error) {
	a.calls.Add(1)
	return nil, rpc.ErrNoLeader
}

const hold = 7 * time.Second

func tableOf(t *testing.T, position Position, router Router) *Table {
	t.Helper()
	s, err := store.New(kv.Module())
	if err != nil {
		t.Fatal(err)
	}
	endpoint := kv.NewEndpoint(s, nil, 1<<10)
	table, err := newTable(&Table{
		datacenter: "shanghai", hold: hold, position: position, router: router,
		answerer: &answerer{store: s, resolver: rpc.AllowAll{}, position: position},
	}, newMetrics(prometheus.NewRegistry()), endpoint.Methods())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestCallsWaitOutAnElection(t *testing.T) {
	read := func(table *Table) error {
		_, err := kv.Get.Call(context.Background(), table, &kv.KeyRequest{Key: "a"})
		return err
	}
	write := func(table *Table) error {
		_, err := kv.Apply.Call(context.Background(), table, &kv.ApplyRequest{Op: "set", DirEnt: kv.Entry{Key: "a"}})
		return err
	}
	for name, call := range map[string]func(*Table) error{"a read": read, "a write": write} {
		t.Run(name+" that nobody can answer ends with the hold time", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				position, router := &seat{}, &away{}
				begin := time.Now()
				if err := call(tableOf(t, position, router)); !errors.Is(err, rpc.ErrNoLeader) {
					t.Errorf("error is %v", err)
				}
				if took := time.Since(begin); took != hold {
					t.Errorf("it took %v of virtual time", took)
				}
				if tries := position.asked.Load() + router.calls.Load(); tries > int64(hold/retryEvery)+1 {
					t.Errorf("%d tries", tries)
				}
			})
		})
	}
	t.Run("a read is answered once there is a leader", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			position := &seat{}
			time.AfterFunc(time.Second, func() { position.leader.Store(new("elsewhere")) })
			if err := read(tableOf(t, position, &away{})); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a stale read of a server that never had a leader fails at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			position := &seat{}
			begin := time.Now()
			req := &kv.KeyRequest{Key: "a"}
			req.AllowStale = true
			if _, err := kv.Get.Call(context.Background(), tableOf(t, position, &away{}), req); !errors.Is(err, rpc.ErrNoLeader) || time.Since(begin) != 0 {
				t.Errorf("error is %v after %v", err, time.Since(begin))
			}
		})
	})
}

func TestMethodsThatAreUnknown(t *testing.T) {
	table := tableOf(t, &seat{}, &away{})
	for method, want := range map[string]string{
		"KVS.Nope": "rpc: can't find method KVS.Nope",
		"Nope.Get": "rpc: can't find service Nope.Get",
		"KVSGet":   "rpc: service/method request ill-formed: KVSGet",
		"":         "rpc: service/method request ill-formed: ",
	} {
		_, err := table.Serve(t.Context(), method, func(rpc.Request) error { t.Error("decoded"); return nil })
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", method, err, want)
		}
	}
	garbled := errors.New("garbled")
	if _, err := table.Serve(t.Context(), "KVS.Get", func(rpc.Request) error { return garbled }); !errors.Is(err, garbled) {
		t.Errorf("a body that cannot be decoded: %v", err)
	}
}

func TestCallsDoNotWaitForALeaderOnceTheLogEnds(t *testing.T) {
	write := func(table *Table) error {
		_, err := kv.Apply.Call(context.Background(), table, &kv.ApplyRequest{Op: "set", DirEnt: kv.Entry{Key: "a"}})
		return err
	}
	for name, c := range map[string]struct {
		successor string
		sent      int64
	}{
		"they fail where there is nobody else": {"", 0},
		"they are sent to the next":            {"elsewhere", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				router := &away{}
				table := tableOf(t, &seat{}, router)
				begin := time.Now()
				time.AfterFunc(time.Second, func() { table.end(c.successor) })
				if err := write(table); !errors.Is(err, rpc.ErrNoLeader) {
					t.Errorf("error is %v", err)
				}
				if took := time.Since(begin); took > time.Second+retryEvery {
					t.Errorf("it took %v of virtual time", took)
				}
				if sent := router.calls.Load(); sent != c.sent {
					t.Errorf("%d calls were sent to others", sent)
				}
			})
		})
	}
}
