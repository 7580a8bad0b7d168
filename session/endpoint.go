package session

import (
	"cmp"
	"context"
	"fmt"
	"time"

	uuid "github.com/hashicorp/go-uuid"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// The methods of this domain.
var (
	Apply = rpc.Method[ApplyRequest, string]{Info: rpc.Info{
		Name: "Session.Apply", Write: true, Timer: []string{"session", "apply"}, Resource: rpc.ResourceSession}}
	Get = rpc.Method[SpecificRequest, Sessions]{Info: rpc.Info{
		Name: "Session.Get", Blocking: true, Resource: rpc.ResourceSession}}
	List = rpc.Method[SpecificRequest, Sessions]{Info: rpc.Info{
		Name: "Session.List", Blocking: true, Class: rpc.List, Resource: rpc.ResourceSession}}
	NodeSessions = rpc.Method[catalog.NodeSpecificRequest, Sessions]{Info: rpc.Info{
		Name: "Session.NodeSessions", Blocking: true, Class: rpc.List, Resource: rpc.ResourceSession}}
	// Renew counts as a read on the wire, and only the leader counts the time.
	Renew = rpc.Method[SpecificRequest, Sessions]{Info: rpc.Info{
		Name: "Session.Renew", Leader: true, Timer: []string{"session", "renew"}, Resource: rpc.ResourceSession}}
)

// Endpoint answers the methods on a server.
type Endpoint struct {
	store  *store.Store
	log    store.Log
	timers *Timers
	// minTTL is the shortest time to live that a session may have.
	minTTL time.Duration
}

// NewEndpoint makes the endpoint. timers end the sessions whose time has run out.
func NewEndpoint(s *store.Store, log store.Log, timers *Timers) *Endpoint {
	return &Endpoint{store: s, log: log, timers: timers, minTTL: MinTTL}
}

// WithMinTTL sets the shortest time to live that a session may have, 0 for [MinTTL].
func (e *Endpoint) WithMinTTL(d time.Duration) *Endpoint {
	e.minTTL = cmp.Or(d, MinTTL)
	return e
}

// Methods binds the domain's methods.
func (e *Endpoint) Methods() []rpc.Handler {
	return []rpc.Handler{
		Apply.Handle(e.apply), Get.Handle(e.get), List.Handle(e.list), NodeSessions.Handle(e.nodeSessions), Renew.Handle(e.renew),
	}
}

func (e *Endpoint) apply(ctx context.Context, call *rpc.Call, req *ApplyRequest) (*string, error) {
	switch req.Op {
	case Create:
		return e.create(ctx, call, req.Session)
	case Destroy:
		return e.destroy(ctx, call, req.Session.ID)
	}
	return nil, rpc.Invalid(fmt.Sprintf("Invalid session operation '%s'", req.Op))
}

func (e *Endpoint) create(ctx context.Context, call *rpc.Call, s Session) (*string, error) {
	if s.Node == "" {
		return nil, rpc.Failed("Must provide Node")
	}
	if err := complete(&s, e.minTTL); err != nil {
		return nil, err
	}
	if err := call.Allow(rpc.ResourceSession, rpc.AccessWrite, s.Node); err != nil {
		return nil, err
	}
	id, err := uuid.GenerateUUID()
	if err != nil {
		return nil, fmt.Errorf("make a session ID: %w", err)
	}
	s.ID = id
	_, _, err = store.Propose[bool](ctx, e.log, opCreate, &s)
	if rpc.ReasonOf(err) == rpc.ReasonFailed {
		err = rpc.Prefix("apply failed: ", err)
	}
	return &id, err
}

// complete checks what a session says of itself and fills in what it does not say.
func complete(s *Session, minTTL time.Duration) error {
	switch s.Behavior {
	case "":
		s.Behavior = Release
	case Release, Delete:
	default:
		return rpc.Failed(fmt.Sprintf("Invalid Behavior setting '%s'", s.Behavior))
	}
	if len(s.Checks) > 0 && len(s.NodeChecks) == 0 {
		s.NodeChecks = s.Checks
	}
	s.Checks = nil
	if s.LockDelay < 0 || s.LockDelay > MaxLockDelay {
		return rpc.Failed(fmt.Sprintf("Invalid Session LockDelay '%d', must be between [0s=%v]", s.LockDelay, MaxLockDelay))
	}
	if s.TTL == "" {
		return nil
	}
	ttl, err := time.ParseDuration(s.TTL)
	if err != nil {
		return rpc.Failed(fmt.Sprintf("Session TTL '%s' invalid: %v", s.TTL, err))
	}
	if ttl != 0 && (ttl < minTTL || ttl > MaxTTL) {
		return rpc.Failed(fmt.Sprintf("Invalid Session TTL '%d', must be between [%v=%v]", ttl, minTTL, MaxTTL))
	}
	return nil
}

// destroy ends a session. One that is not there has ended already.
func (e *Endpoint) destroy(ctx context.Context, call *rpc.Call, id string) (*string, error) {
	if id == "" {
		return nil, errNoID
	}
	s, found := Lookup(e.store.Read(nil), id)
	if !found {
		// A leader that was elected a moment ago may yet have to apply its creation. Once
		// an entry of our own is applied, all before it are.
		if _, _, err := store.Propose[bool](ctx, e.log, opDestroy, &destroy{}); err != nil {
			return nil, err
		}
		if s, found = Lookup(e.store.Read(nil), id); !found {
			return new(string), nil
		}
	}
	if err := call.Allow(rpc.ResourceSession, rpc.AccessWrite, s.Node); err != nil {
		return nil, err
	}
	_, _, err := store.Propose[bool](ctx, e.log, opDestroy, &destroy{IDs: []string{id}})
	return new(string), err
}

func (e *Endpoint) get(_ context.Context, call *rpc.Call, req *SpecificRequest) (*Sessions, error) {
	v := e.store.Read(call.Watch)
	rep := &Sessions{}
	s, found := Lookup(v, req.id())
	if !found {
		rep.SetAbsent(v.TouchedAt(table))
		return rep, nil
	}
	rep.Index = s.ModifyIndex
	if call.Keep(rpc.ResourceSession, s.Node) {
		rep.Sessions = []*Session{s}
	}
	return rep, nil
}

func (e *Endpoint) list(_ context.Context, call *rpc.Call, _ *SpecificRequest) (*Sessions, error) {
	rep := &Sessions{}
	rep.Sessions, rep.Index = rows(e.store.Read(call.Watch), "id", nil, visible(call))
	return rep, nil
}

func (e *Endpoint) nodeSessions(_ context.Context, call *rpc.Call, req *catalog.NodeSpecificRequest) (*Sessions, error) {
	rep := &Sessions{}
	rep.Sessions, rep.Index = rows(e.store.Read(call.Watch), "node", []any{req.Node}, visible(call))
	return rep, nil
}

func visible(call *rpc.Call) func(*Session) bool {
	return func(s *Session) bool { return call.Keep(rpc.ResourceSession, s.Node) }
}

func (e *Endpoint) renew(_ context.Context, call *rpc.Call, req *SpecificRequest) (*Sessions, error) {
	v := e.store.Read(nil)
	rep := &Sessions{}
	rep.Index = v.TouchedAt(table)
	s, found := Lookup(v, req.id())
	if !found {
		return rep, nil
	}
	if err := call.Allow(rpc.ResourceSession, rpc.AccessWrite, s.Node); err != nil {
		return nil, err
	}
	if e.timers.Renew(s) {
		rep.Sessions = []*Session{s}
	}
	return rep, nil
}
