package rpc

import (
	"context"
	"fmt"
)

// Route says which server may answer a method.
type Route uint8

const (
	// Forward goes to the datacenter of the request; there a write goes to the
	// leader, and a read is answered by any server that proves its position.
	Forward Route = iota
	// AnyServer goes to the datacenter of the request and is answered by whichever
	// server of it received the call.
	AnyServer
	// Local is answered by the server that received the call, whatever datacenter
	// the request names.
	Local
)

// Class groups methods that may take about as long, for deadlines between datacenters.
type Class uint8

const (
	// Point is a call whose answer is small: one key, one write.
	Point Class = iota
	// List is a call whose answer may be large.
	List
)

// String names the class as the label "class" of the forwarding metrics does.
func (c Class) String() string {
	if c == List {
		return "list"
	}
	return "point"
}

// Info is what is known of a method apart from its types.
type Info struct {
	// Name is the name on the wire, such as "KVS.Get".
	Name string
	// Route says which server may answer.
	Route Route
	// Write marks a change: it goes to the leader and is never repeated once it
	// may have begun.
	Write bool
	// Leader marks a read that only the leader can answer, stale or not.
	Leader bool
	// StaleAnywhere excepts those that ask for a stale answer: whichever server has their
	// call answers, even one that never met a leader, as it needs nothing from the log.
	StaleAnywhere bool
	// Blocking marks a read that waits for MinQueryIndex to pass.
	Blocking bool
	// Timer is the name under which existing dashboards chart how long the method takes
	// where it is carried out, such as {"kvs", "apply"}. nil measures nothing.
	Timer []string
	// Class chooses the deadline between datacenters.
	Class Class
	// Resource is what the handler asks the [Authorizer] about, "" if nothing is
	// guarded (liveness and the like).
	Resource Resource
}

// Method is a declared method. Declare it as a package variable of its domain.
type Method[Req, Rep any] struct{ Info }

// Call makes the call through c. The reply may be shared: it is read-only.
func (m *Method[Req, Rep]) Call(ctx context.Context, c Caller, req *Req) (*Rep, error) {
	r, ok := any(req).(Request)
	if !ok {
		return nil, fmt.Errorf("%s: %T has no envelope", m.Name, req)
	}
	reply, err := c.Call(ctx, &m.Info, r, func() any { return new(Rep) })
	if err != nil {
		return nil, err
	}
	rep, ok := reply.(*Rep)
	if !ok {
		return nil, fmt.Errorf("%s: the answer is a %T, not a %T", m.Name, reply, rep)
	}
	return rep, nil
}

// Handle binds the method to the function that answers it.
func (m *Method[Req, Rep]) Handle(fn func(ctx context.Context, call *Call, req *Req) (*Rep, error)) Handler {
	return Handler{
		Info:       &m.Info,
		NewRequest: func() Request { return any(new(Req)).(Request) },
		NewReply:   func() any { return new(Rep) },
		Serve: func(ctx context.Context, call *Call, req Request) (any, error) {
			rep, err := fn(ctx, call, any(req).(*Req))
			if err != nil {
				return nil, err
			}
			return rep, nil
		},
	}
}

// Handler is a method together with the function that answers it.
type Handler struct {
	*Info
	// NewRequest makes an empty request to decode into.
	NewRequest func() Request
	// NewReply makes an empty reply to decode into, when the call goes on to another server.
	NewReply func() any
	// Serve answers one call.
	Serve func(ctx context.Context, call *Call, req Request) (any, error)
}

// Caller carries a call to whoever answers it.
//
// The reply is what the handler returned, when it ran in this process, and
// otherwise a fresh value of newReply decoded from the wire.
type Caller interface {
	Call(ctx context.Context, m *Info, req Request, newReply func() any) (any, error)
}
