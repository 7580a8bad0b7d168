package server

import (
	"context"

	uuid "github.com/hashicorp/go-uuid"
	autopilot "github.com/hashicorp/raft-autopilot"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/coordinate"
	"github.com/hanse-project/hanse/event"
	"github.com/hanse-project/hanse/federation"
	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/mesh"
	"github.com/hanse-project/hanse/mesh/entry"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/query"
	"github.com/hanse-project/hanse/replicate/link"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/txn"
)

// domains are the modules of the state, in the order in which they are restored.
type domains struct {
	store    *store.Store
	kv       *kv.Endpoint
	sessions *session.Timers
	places   *coordinate.Endpoint
}

func newDomains(datacenter string, reg prometheus.Registerer) (*domains, error) {
	s, err := store.New(catalog.Module(datacenter), coordinate.Module(), session.Module(), kv.Module(), txn.Module(), query.Module(),
		entry.Module(), mesh.Module(), operator.Module(), link.Module())
	if err != nil {
		return nil, err
	}
	session.Measure(reg, s)
	kv.Measure(reg, s)
	return &domains{store: s}, nil
}

// handlers are all methods of this server.
func (s *Server) handlers(d *domains) []rpc.Handler {
	d.kv = kv.NewEndpoint(d.store, s.node, s.cfg.MaxValue)
	d.sessions = session.NewTimers(d.store, s.node, s.cfg.Log.Named("session"))
	gossip := pools{datacenter: s.cfg.Datacenter, lan: s.cfg.LAN, wan: s.cfg.WAN}
	services := catalog.NewEndpoint(d.store, s.node, s.cfg.Datacenter)
	services.MeasureBy(coordinate.Ruler)
	d.places = coordinate.NewEndpoint(coordinate.Config{
		Store: d.store, Log: s.node, Datacenters: gossip.places, Logger: s.cfg.Log.Named("coordinate"),
	})
	s.links = link.NewManager(link.ManagerConfig{
		Store: d.store, Log: s.node, Datacenter: s.cfg.Datacenter, Node: s.cfg.NodeName, MaxValue: s.cfg.MaxValue,
		Caller: inside{s}, Links: s.cfg.Links, Event: s.fire, Registerer: s.cfg.Registerer, Logger: s.cfg.Log.Named("link"),
	})
	endpoints := []interface{ Methods() []rpc.Handler }{
		d.kv,
		services,
		d.places,
		session.NewEndpoint(d.store, s.node, d.sessions).WithMinTTL(s.cfg.MinSessionTTL),
		txn.NewEndpoint(d.store, s.node, s.cfg.Datacenter, s.cfg.MaxValue),
		query.NewEndpoint(query.Config{
			Store: d.store, Log: s.node, Datacenter: s.cfg.Datacenter, Datacenters: gossip.all, Catalog: services,
			Remote:   func(dc string) rpc.Caller { return elsewhere{s.network.router, dc} },
			Resolver: s.cfg.Resolver, Logger: s.cfg.Log.Named("query"),
		}),
		event.NewEndpoint(s.cfg.LAN),
		federation.NewEndpoint(federation.EndpointConfig{
			Directory: s.network.directory, Forwarder: s.network.router, Datacenter: s.cfg.Datacenter, Node: s.cfg.NodeName, Leader: s.leaderOf, Links: s.linksInto,
		}),
		entry.NewEndpoint(d.store, s.node),
		mesh.NewEndpoint(d.store, s.node, s.cfg.Datacenter, s.cfg.Mesh),
		link.NewEndpoint(d.store, s.node, s.cfg.Datacenter, s.links),
		operator.NewEndpoint(operator.Config{
			Log: s.node, Pools: gossip, Store: d.store, Proposer: s.node, Defaults: s.cfg.Autopilot,
			Pilot: func() *autopilot.State { return s.pilot.State() }, Progress: s.progress, Forward: s.askKeyring,
		}),
	}
	handlers := append(s.node.answerPeers(), s.lineage.handler())
	for _, e := range endpoints {
		handlers = append(handlers, e.Methods()...)
	}
	return append(handlers, catalog.ListDatacenters.Handle(
		func(context.Context, *rpc.Call, *catalog.DatacentersRequest) (*[]string, error) {
			return new(gossip.all()), nil
		}))
}

// fire sends a user event to the agents of this datacenter.
func (s *Server) fire(ctx context.Context, name string, payload []byte) error {
	id, err := uuid.GenerateUUID()
	if err != nil {
		return err
	}
	e := &event.Event{ID: id, Name: name, Payload: payload}
	req := &event.FireRequest{Name: name}
	if req.Payload, err = e.Encode(); err != nil {
		return err
	}
	_, err = event.Fire.Call(ctx, inside{s}, req)
	return err
}

// askKeyring hands a keyring operation to a server of another datacenter.
func (s *Server) askKeyring(ctx context.Context, dc string, req *operator.KeyringRequest) (*operator.KeyringResponses, error) {
	return operator.Keyring.Call(ctx, elsewhere{s.network.router, dc}, req)
}

// leaderOf is the address of a datacenter's leader, "" if it has none.
func (s *Server) leaderOf(ctx context.Context, dc string) (string, error) {
	if dc == s.cfg.Datacenter {
		return s.node.LeaderAddress(), nil
	}
	addr, err := operator.Leader.Call(ctx, elsewhere{s.network.router, dc}, &operator.DCRequest{Read: rpc.Read{Datacenter: dc}})
	if err != nil {
		return "", err
	}
	return *addr, nil
}

// linksInto are the replication links that lead to a datacenter, as it says itself.
func (s *Server) linksInto(ctx context.Context, dc, token string) ([]federation.LinkReport, error) {
	req := &link.ListRequest{Status: true}
	req.Datacenter, req.Token = dc, token
	rep, err := link.List.Call(ctx, inside{s}, req)
	if err != nil {
		return nil, err
	}
	links := make([]federation.LinkReport, len(rep.Links))
	for i, l := range rep.Links {
		links[i] = federation.LinkReport{
			Name: l.Name, From: l.SourceDatacenter, To: dc, State: l.Status.State, LagSeconds: l.Status.LagSeconds, LagEntries: l.Status.LagEntries,
		}
	}
	return links, nil
}

// inside is the method table as the [rpc.Caller] of what stands in it.
type inside struct{ server *Server }

// Call implements [rpc.Caller].
func (i inside) Call(ctx context.Context, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	return i.server.table.Call(ctx, m, req, newReply)
}

// elsewhere is the [rpc.Caller] of one other datacenter, for methods that a server
// otherwise answers itself.
type elsewhere struct {
	router Router
	dc     string
}

// Call implements [rpc.Caller].
func (e elsewhere) Call(ctx context.Context, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	return e.router.ToDatacenter(ctx, e.dc, m, req, newReply)
}
