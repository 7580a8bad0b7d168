package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// Endpoint answers the methods on a server.
type Endpoint struct {
	store      *store.Store
	log        store.Log
	datacenter string
	manager    *Manager
}

// NewEndpoint makes the endpoint of a datacenter, whose links m runs.
func NewEndpoint(s *store.Store, log store.Log, datacenter string, m *Manager) *Endpoint {
	return &Endpoint{store: s, log: log, datacenter: datacenter, manager: m}
}

// Methods binds the domain's methods.
func (e *Endpoint) Methods() []rpc.Handler {
	return []rpc.Handler{List.Handle(e.list), Order.Handle(e.order), Explain.Handle(e.explain)}
}

func (e *Endpoint) list(_ context.Context, call *rpc.Call, req *ListRequest) (*ListReply, error) {
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessRead, ""); err != nil {
		return nil, err
	}
	v := e.store.Read(call.Watch)
	rep := &ListReply{Links: []Report{}}
	rep.Index = v.TouchedAt(tableLinks)
	for _, r := range rows(v) {
		if req.Name != "" && r.Name != req.Name {
			continue
		}
		report := Report{Row: shown(v, r)}
		if req.Status {
			report.Status = e.manager.status(r)
		}
		rep.Links = append(rep.Links, report)
	}
	return rep, nil
}

func (e *Endpoint) order(ctx context.Context, call *rpc.Call, req *OrderRequest) (*OrderReply, error) {
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessWrite, ""); err != nil {
		return nil, err
	}
	var r *Row
	var err error
	switch req.Verb {
	case Set:
		for range setAttempts {
			if r, err = e.set(ctx, call, req); !errors.Is(err, errChanged) {
				break
			}
		}
	case Remove:
		r, _, err = store.Propose[*Row](ctx, e.log, opRemove, &removeLink{Name: req.Name})
	default:
		r, err = e.command(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	return &OrderReply{Link: shown(e.store.Read(nil), r)}, nil
}

// setAttempts is how often a change is made anew of what somebody else changed meanwhile.
const setAttempts = 10

// set makes or changes a link once it is known to be right and not to feed itself.
func (e *Endpoint) set(ctx context.Context, call *rpc.Call, req *OrderRequest) (*Row, error) {
	v := e.store.Read(nil)
	name := cmp.Or(req.Name, req.Link.Name, DefaultName(strings.ToLower(req.Link.SourceDatacenter), req.Link.Prefix))
	var present *Link
	var at uint64
	if r, found := lookup(v, name); found {
		present, at = &r.Link, r.ModifyIndex
	}
	l, err := req.Settings(present)
	if err == nil {
		err = l.Complete(e.datacenter)
	}
	if err != nil && req.Name == "" && req.Link.Name == "" && req.Link.SourceDatacenter == "" {
		return nil, rpc.Invalid(err.Error()) // nothing to name it by
	}
	if err != nil {
		return nil, rpc.Invalid(fmt.Sprintf("link %q: %v", name, err))
	}
	// Whoever makes a link writes what it writes.
	if err := call.AllowPrefix(rpc.ResourceKey, rpc.AccessWrite, l.DestinationPrefix); err != nil {
		return nil, err
	}
	if err := l.fits(rows(v), e.datacenter); err != nil {
		return nil, err
	}
	if way, _ := e.manager.loop(ctx, &l); way != "" {
		return nil, rpc.Conflict(loopText(&l, way))
	}
	r, _, err := store.Propose[*Row](ctx, e.log, opSet, &setLink{Link: l, Datacenter: e.datacenter, Present: at})
	return r, err
}

func loopText(l *Link, way string) string {
	return fmt.Sprintf("link %q would be fed with what it writes: %s. Exclude those keys, or give them another prefix", l.Name, way)
}

// command passes on what is asked of a link that exists.
func (e *Endpoint) command(ctx context.Context, req *OrderRequest) (*Row, error) {
	v := e.store.Read(nil)
	r, found := lookup(v, req.Name)
	if !found {
		return nil, noSuchLink(req.Name)
	}
	switch req.Verb {
	case Pause, Resume, Resync:
	case Approve, Reject:
		if e.manager.status(r).HeldDeletes == 0 {
			return nil, rpc.Conflict(fmt.Sprintf("link %q holds no deletes", r.Name))
		}
	case Verify:
		return r, e.manager.verify(r, req.Repair)
	default:
		return nil, rpc.Invalid(fmt.Sprintf("unknown order %q to a link: use set, remove, pause, resume, resync, approve, reject or verify", req.Verb))
	}
	r, _, err := store.Propose[*Row](ctx, e.log, opOrder, &order{Name: req.Name, Verb: req.Verb})
	return r, err
}

func (e *Endpoint) explain(ctx context.Context, call *rpc.Call, req *ExplainRequest) (*ExplainReply, error) {
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessRead, ""); err != nil {
		return nil, err
	}
	if err := call.Allow(rpc.ResourceKey, rpc.AccessRead, req.Key); err != nil {
		return nil, err
	}
	if req.Key == "" {
		return nil, rpc.Invalid("Must provide key")
	}
	return e.manager.explain(ctx, req.Key)
}
