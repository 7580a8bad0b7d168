package link

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// datacenter is a store with links, and its endpoint.
type datacenter struct {
	testing.TB
	name  string
	world *world
	*store.Store
	log      *storetest.Log
	endpoint *Endpoint
}

// world is datacenters that can ask each other for their links.
type world struct {
	dcs map[string]*datacenter

	mu sync.Mutex
	// silent do not answer.
	silent map[string]bool
}

// silence has a datacenter not answer any more, or answer again.
func (w *world) silence(name string, silent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent[name] = silent
}

func (w *world) silenced(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.silent[name]
}

func modules() []store.Module {
	return []store.Module{catalog.Module("dc1"), session.Module(), kv.Module(), Module()}
}

func newWorld(t testing.TB, names ...string) *world {
	w := &world{dcs: map[string]*datacenter{}, silent: map[string]bool{}}
	for _, name := range names {
		dc := &datacenter{TB: t, name: name, world: w}
		dc.Store, dc.log = storetest.New(t, modules()...)
		m := NewManager(ManagerConfig{Store: dc.Store, Datacenter: name, Caller: w})
		dc.endpoint = NewEndpoint(dc.Store, dc.log, name, m)
		w.dcs[name] = dc
	}
	return w
}

// Call implements [rpc.Caller].
func (w *world) Call(ctx context.Context, m *rpc.Info, req rpc.Request, _ func() any) (any, error) {
	to := *req.Envelope().Datacenter
	dc := w.dcs[to]
	switch {
	case dc == nil:
		return nil, rpc.Wrap(rpc.ErrNoPath, to)
	case w.silenced(to):
		return nil, rpc.ErrUnreachable
	}
	for _, h := range dc.endpoint.Methods() {
		if h.Name == m.Name {
			return h.Serve(ctx, &rpc.Call{Authz: rpc.AllowAll{}}, req)
		}
	}
	return nil, rpc.ErrUnknownMethod
}

func (dc *datacenter) try(req *OrderRequest) (*Row, error) {
	req.Datacenter = dc.name
	rep, err := Order.Call(dc.Context(), dc.world, req)
	if err != nil {
		return nil, err
	}
	return &rep.Link, nil
}

func (dc *datacenter) order(verb Verb, name string) *Row {
	dc.Helper()
	r, err := dc.try(&OrderRequest{Verb: verb, Name: name})
	if err != nil {
		dc.Fatalf("%s %s: %v", verb, name, err)
	}
	return r
}

// link asks for a link of the prefix of another datacenter.
func (dc *datacenter) link(name, from, prefix, to string, exclude ...string) (*Row, error) {
	return dc.try(&OrderRequest{Verb: Set, Name: name,
		Fields: []string{"source_datacenter", "prefix", "destination_prefix", "exclude"},
		Link:   Link{SourceDatacenter: from, Prefix: prefix, DestinationPrefix: to, Exclude: exclude}})
}

func (dc *datacenter) mustLink(name, from, prefix, to string, exclude ...string) *Row {
	dc.Helper()
	r, err := dc.link(name, from, prefix, to, exclude...)
	if err != nil {
		dc.Fatal(err)
	}
	return r
}

func (dc *datacenter) mirror(link, expect uint64, ops ...kv.MirrorOp) (uint64, error) {
	at, _, err := store.Propose[uint64](dc.Context(), dc.log, opMirror, &mirror{Link: link, Expect: expect, Checkpoint: []byte(`{}`), Ops: ops})
	return at, err
}

// reasonOf fails the test if there is no error.
func reasonOf(t testing.TB, err error) rpc.Reason {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if e, ok := errors.AsType[*rpc.Error](err); ok {
		return e.Reason
	}
	return ""
}
