package event

import "github.com/hanse-project/hanse/rpc"

// Event is one event. The filters are regular expressions, which match anywhere in a
// name; empty ones match everything.
type Event struct {
	// ID is a UUID.
	ID            string `codec:"ID"`
	Name          string `codec:"n"`
	Payload       []byte `codec:"p,omitempty"`
	NodeFilter    string `codec:"nf,omitempty"`
	ServiceFilter string `codec:"sf,omitempty"`
	// TagFilter is for the tags of the services that match ServiceFilter.
	TagFilter string `codec:"tf,omitempty"`
	// Version is the format of the payload on the wire, 1.
	Version int `codec:"v"`
	// LTime orders events, and is 0 before one was heard. It is gossip's, and not sent.
	LTime uint64 `codec:"-"`
}

// FireRequest asks a server to send an event off.
type FireRequest struct {
	rpc.Read
	Name string
	// Payload is the event as [Event.Encode] makes it.
	Payload []byte
}

// FireResponse says that the event is on its way.
type FireResponse struct{ rpc.Meta }

// Fire sends an event to the agents of a datacenter. Any server does.
var Fire = rpc.Method[FireRequest, FireResponse]{Info: rpc.Info{
	Name: "Internal.EventFire", Route: rpc.AnyServer, Resource: rpc.ResourceEvent}}
