package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hanse-project/hanse/federation"
	"github.com/hanse-project/hanse/forwarder"
	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/operator"
)

// network is the server port and the calls to other servers.
type network struct {
	cfg       Config
	directory *federation.Federation
	router    *forwarder.Router
	raft      *forwarder.RaftLayer
	listener  *forwarder.Listener
}

func newNetwork(cfg Config) *network {
	n := &network{cfg: cfg, directory: newDirectory(cfg)}
	n.router = forwarder.New(forwarder.Config{
		Datacenter: cfg.Datacenter, Dialer: cfg.Dialer, Picker: n.directory, Hold: cfg.Hold,
		Log: cfg.Log, Registerer: cfg.Registerer,
	})
	n.raft = forwarder.NewRaftLayer(&n.cfg.Dialer, cfg.Datacenter, cfg.Advertise)
	return n
}

// serve says who answers the calls and the snapshot connections that arrive.
func (n *network) serve(d forwarder.Dispatcher, s operator.Snapshots) {
	n.listener = forwarder.NewListener(forwarder.ListenerConfig{
		Dispatcher: d, Raft: n.raft,
		Snapshot: func(ctx context.Context, conn net.Conn) error { return operator.ServeSnapshot(ctx, conn, s) }, TLS: n.cfg.TLS, RequireTLS: n.cfg.RequireTLS,
		MaxConnsPerClient: n.cfg.MaxConnsPerClient, Log: n.cfg.Log,
	})
}

// run serves port and keeps the connections to others until ctx ends. The connections
// outlive the port: calls that it took may be on their way to another server.
func (n *network) run(ctx context.Context, port net.Listener) error {
	routing, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var wg sync.WaitGroup
	var routerErr error
	wg.Go(func() { routerErr = n.router.Run(routing) })
	err := n.listener.Run(ctx, port)
	end()
	wg.Wait()
	return errors.Join(err, routerErr)
}

// peersOf asks a server of this datacenter for the members of its log.
func (n *network) peersOf(ctx context.Context, addr string) ([]string, error) {
	peers, err := operator.Peers.Call(ctx, at{n.router, addr}, &operator.DCRequest{})
	if err != nil {
		return nil, err
	}
	return *peers, nil
}

// newDirectory makes an empty map of the federation.
func newDirectory(cfg Config) *federation.Federation {
	c := federation.Config{Datacenter: cfg.Datacenter, Registerer: cfg.Registerer}
	if cfg.WAN != nil {
		c.Distance = func(s federation.Server) (time.Duration, bool) {
			return cfg.WAN.RTT(gossip.WANName(s.Name, s.Datacenter))
		}
	}
	return federation.New(c)
}

// directoryEntry is what the map of the federation keeps of a server.
func directoryEntry(s gossip.Server) federation.Server {
	return federation.Server{
		Name: s.Name, ID: s.ID, Datacenter: s.Datacenter, Addr: s.Addr(), Build: s.Build, Feature: s.Feature,
	}
}
