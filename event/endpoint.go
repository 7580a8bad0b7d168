package event

import (
	"context"
	"fmt"

	"github.com/hanse-project/hanse/rpc"
)

// Gossip is what the endpoint asks of the LAN pool.
type Gossip interface {
	// UserEvent sends an event to all members.
	UserEvent(name string, payload []byte, coalesce bool) error
}

// Endpoint answers the methods on a server.
type Endpoint struct{ gossip Gossip }

// NewEndpoint makes the endpoint.
func NewEndpoint(gossip Gossip) *Endpoint { return &Endpoint{gossip} }

// Methods binds the methods of this package.
func (e *Endpoint) Methods() []rpc.Handler { return []rpc.Handler{Fire.Handle(e.fire)} }

func (e *Endpoint) fire(_ context.Context, call *rpc.Call, req *FireRequest) (*FireResponse, error) {
	if err := call.Allow(rpc.ResourceEvent, rpc.AccessWrite, req.Name); err != nil {
		return nil, err
	}
	event, err := Decode(req.Payload)
	if err != nil {
		return nil, rpc.Invalid(err.Error())
	}
	// Receivers go by the name inside, and permission was asked for the one outside.
	if event.Name != req.Name {
		return nil, rpc.Invalid(fmt.Sprintf("event %q was sent under the name %q", event.Name, req.Name))
	}
	if err := event.Validate(); err != nil {
		return nil, err
	}
	if err := e.gossip.UserEvent(gossipPrefix+req.Name, req.Payload, false); err != nil {
		return nil, rpc.Failed("error broadcasting event: " + err.Error())
	}
	return &FireResponse{}, nil
}
