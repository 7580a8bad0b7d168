package coordinate

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// The methods of this domain.
var (
	Update = rpc.Method[UpdateRequest, rpc.Nothing]{Info: rpc.Info{
		Name: "Coordinate.Update", Write: true, Resource: rpc.ResourceNode}}
	// ListDatacenters is answered from gossip by whichever server is asked.
	ListDatacenters = rpc.Method[rpc.Empty, []DatacenterMap]{Info: rpc.Info{
		Name: "Coordinate.ListDatacenters", Route: rpc.Local}}
	ListNodes = rpc.Method[catalog.DCSpecificRequest, Coordinates]{Info: rpc.Info{
		Name: "Coordinate.ListNodes", Blocking: true, Class: rpc.List, Resource: rpc.ResourceNode}}
	Node = rpc.Method[catalog.NodeSpecificRequest, Coordinates]{Info: rpc.Info{
		Name: "Coordinate.Node", Blocking: true, Resource: rpc.ResourceNode}}
)

// Texts that clients match.
var (
	errInvalid      = rpc.Invalid("invalid coordinate")
	errIncompatible = rpc.Invalid("incompatible coordinate")
	errNoNode       = rpc.Invalid("Must provide Node")
)

// Config is what the endpoint works with.
type Config struct {
	Store *store.Store
	Log   store.Log
	// Datacenters are the servers of all datacenters, as gossip knows them.
	Datacenters func() []DatacenterMap
	Logger      hclog.Logger
}

// Endpoint answers the methods on a server.
type Endpoint struct {
	cfg  Config
	told told
}

// NewEndpoint makes the endpoint. [Endpoint.Run] has to run while this server leads.
func NewEndpoint(cfg Config) *Endpoint { return &Endpoint{cfg: cfg} }

// Methods binds the domain's methods.
func (e *Endpoint) Methods() []rpc.Handler {
	return []rpc.Handler{
		Update.Handle(e.update), ListDatacenters.Handle(e.listDatacenters), ListNodes.Handle(e.listNodes), Node.Handle(e.node),
	}
}

// update takes a coordinate in for the next batch. A node that does not exist is no
// error: its agent may be faster than its registration, and tells again.
func (e *Endpoint) update(_ context.Context, call *rpc.Call, req *UpdateRequest) (*rpc.Nothing, error) {
	switch {
	case req.Node == "":
		return nil, errNoNode
	case req.Segment != "":
		return nil, rpc.Invalid(fmt.Sprintf("Segment is %q, and there are no network segments: leave it empty", req.Segment))
	case req.Coord == nil || !req.Coord.IsValid():
		return nil, errInvalid
	case len(req.Coord.Vec) != dimensions:
		return nil, errIncompatible
	}
	if err := call.Allow(rpc.ResourceNode, rpc.AccessWrite, req.Node); err != nil {
		return nil, err
	}
	e.told.take(&Coordinate{Node: req.Node, Coord: req.Coord.Clone()})
	return &rpc.Nothing{}, nil
}

func (e *Endpoint) listDatacenters(context.Context, *rpc.Call, *rpc.Empty) (*[]DatacenterMap, error) {
	return new(e.cfg.Datacenters()), nil
}

func (e *Endpoint) listNodes(_ context.Context, call *rpc.Call, _ *catalog.DCSpecificRequest) (*Coordinates, error) {
	v := e.cfg.Store.Read(call.Watch)
	rep := &Coordinates{Coordinates: []*Coordinate{}}
	rep.Index = v.WatchTouch(table)
	for c := range store.Rows[*Coordinate](v.Unwatched(), table, "id") {
		if call.Keep(rpc.ResourceNode, c.Node) {
			rep.Coordinates = append(rep.Coordinates, c)
		}
	}
	return rep, nil
}

// node answers at the index of the node's own coordinate, so that others wake nobody.
func (e *Endpoint) node(_ context.Context, call *rpc.Call, req *catalog.NodeSpecificRequest) (*Coordinates, error) {
	if req.Node == "" {
		return nil, errNoNode
	}
	if err := call.Allow(rpc.ResourceNode, rpc.AccessRead, req.Node); err != nil {
		return nil, err
	}
	v := e.cfg.Store.Read(call.Watch)
	rep := &Coordinates{}
	rep.Index = v.WatchTouch(touchNode(req.Node))
	if c, found := lookup(v.Unwatched(), req.Node); found {
		rep.Coordinates = []*Coordinate{c}
	} else {
		rep.SetAbsent(v.TouchedAt(table))
	}
	return rep, nil
}
