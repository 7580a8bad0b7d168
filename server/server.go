package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
	"github.com/hashicorp/serf/serf"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/consensus"
	"github.com/hanse-project/hanse/coordinate"
	"github.com/hanse-project/hanse/federation"
	"github.com/hanse-project/hanse/forwarder"
	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/lan"
	"github.com/hanse-project/hanse/mesh"
	"github.com/hanse-project/hanse/mesh/entry"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/replicate/link"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/wan"
)

// Config is what a server is made of.
type Config struct {
	Datacenter string
	NodeName   string
	NodeID     string
	// DataDir keeps the log; "" keeps everything in memory. Lock is held on it.
	DataDir string
	Lock    *consensus.DirLock

	// Expect is how many servers must have met before the first election; 1 elects
	// this one at once, 0 waits to be let in by others.
	Expect       int
	Raft         RaftTiming
	Autopilot    autopilot.Config
	Hold         time.Duration
	TombstoneTTL time.Duration
	// Waits bounds blocking queries.
	Waits rpc.Waits
	// MinSessionTTL is the shortest time to live of a session, 0 for [session.MinTTL].
	MinSessionTTL time.Duration
	// Drain is how long this server goes on answering after it has left, so that nobody
	// who has not heard of it yet asks in vain.
	Drain time.Duration
	// CoordinatePeriod is how often the coordinates of nodes are logged, 0 for
	// [coordinate.Period].
	CoordinatePeriod  time.Duration
	MaxValue          int
	MaxConnsPerClient int

	LAN *lan.Pool
	// UserEvent is told of the user events of the LAN pool, one after the other. nil tells
	// nobody.
	UserEvent func(serf.UserEvent)
	// WAN is nil if this server takes no part in a federation.
	WAN *wan.Pool
	// Port is the open server port, Advertise the address at which others reach it.
	Port      net.Listener
	Advertise net.Addr
	Dialer    forwarder.Dialer
	// TLS is what the port speaks, nil or returning nil without TLS. RequireTLS closes
	// it to everything else.
	TLS        func() *tls.Config
	RequireTLS bool

	// Mesh says whether there is a certificate authority, and CAConfig are the settings
	// that it begins with.
	Mesh     bool
	CAConfig map[string]any
	// Entries are config entries that a leader writes if they are not there.
	Entries []*entry.Entry
	// Links are the replication links of the configuration, which a leader makes those that
	// there are.
	Links []link.Link

	Resolver   rpc.Resolver
	Registerer prometheus.Registerer
	// DropGauges takes gauges that have no value any more from the page.
	DropGauges func(names ...string)
	Log        hclog.Logger
}

// RaftTiming is the timing of the log. Zero is the default of package consensus.
type RaftTiming struct {
	Timeout           time.Duration
	SnapshotThreshold uint64
	SnapshotInterval  time.Duration
	TrailingLogs      uint64
}

// Server is a running server.
type Server struct {
	cfg       Config
	log       hclog.Logger
	node      replicated
	table     *Table
	network   *network
	members   *members
	lineage   *lineage
	pilot     *consensus.Autopilot
	links     *link.Manager
	duties    []duty
	snapshots *snapshots
}

// New puts a server together. [Server.Run] must follow, and ends what New opened.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log.Named("server")}
	domains, err := newDomains(cfg.Datacenter, cfg.Registerer)
	if err != nil {
		return nil, err
	}
	s.network = newNetwork(cfg)
	if s.node.Node, err = consensus.Open(consensus.Config{
		DataDir: cfg.DataDir, Lock: cfg.Lock, NodeID: cfg.NodeID, Timeout: cfg.Raft.Timeout,
		SnapshotThreshold: cfg.Raft.SnapshotThreshold, SnapshotInterval: cfg.Raft.SnapshotInterval, TrailingLogs: cfg.Raft.TrailingLogs,
		Log: cfg.Log, FSM: domains.store, Peers: remoteLog{s.network.router}, Streams: s.network.raft,
	}); err != nil {
		return nil, err
	}
	s.lineage = newLineage(s.node, domains.store, cfg.DataDir)
	if s.table, err = newTable(&Table{
		datacenter: cfg.Datacenter, hold: cfg.Hold, position: s.node, router: s.network.router,
		answerer: &answerer{store: domains.store, resolver: cfg.Resolver, position: s.node, waits: cfg.Waits},
	}, newMetrics(cfg.Registerer), s.handlers(domains)); err != nil {
		return nil, errors.Join(err, s.node.Shutdown())
	}
	s.snapshots = &snapshots{
		node: s.node, store: domains.store, network: s.network, resolver: cfg.Resolver,
		dc: cfg.Datacenter, scratch: cfg.DataDir, log: s.log.Named("snapshot"),
	}
	s.network.serve(s.table, s.snapshots)
	s.assemble(domains)
	return s, nil
}

// assemble makes what follows the members, and the duties of a leader.
func (s *Server) assemble(d *domains) {
	cfg := s.cfg
	pool := &membership{lan: cfg.LAN, router: s.network.router, log: s.log, failed: make(chan string, 16),
		config: func() autopilot.Config {
			c := operator.Autopilot(d.store.Read(nil), cfg.Autopilot)
			return c.Pilot()
		}}
	pilot := s.node.NewAutopilot(pool, reportHealth)
	reconciler := &reconciler{
		caller: s.table, lan: cfg.LAN, node: s.node.Node, pilot: pilot, self: cfg.NodeName, log: s.log,
		kin:  func(ctx context.Context, to gossip.Server) error { return s.lineage.check(ctx, s.network.router, to) },
		poke: make(chan struct{}, 1), replace: make(chan struct{}, 1), pending: map[string]bool{},
	}
	s.snapshots.replaced = reconciler.Replaced
	s.pilot = pilot
	s.members = &members{
		lan: cfg.LAN, wan: cfg.WAN, userEvent: cfg.UserEvent, directory: s.network.directory, reconciler: reconciler, log: s.log,
		boot: &bootstrapper{
			node: s.node.Node, expect: cfg.Expect, servers: cfg.LAN.Servers, peersOf: s.network.peersOf, log: s.log,
			self: raft.Server{ID: raft.ServerID(cfg.NodeID), Address: raft.ServerAddress(cfg.Advertise.String())},
			poke: make(chan struct{}, 1), complained: map[string]bool{},
		},
	}
	if cfg.WAN != nil {
		s.members.flood = wan.NewFlooder(cfg.WAN, cfg.LAN.Servers, s.log)
	}
	s.duties = []duty{
		{"identity", func(ctx context.Context) {
			persistently(ctx, s.log, "give the datacenter its identity", identify(d.store, s.node))
		}},
		{"autopilot", func(ctx context.Context) {
			var wg sync.WaitGroup
			wg.Go(func() { pool.forget(ctx) })
			pilot.Run(ctx)
			wg.Wait()
		}},
		{"reconcile", reconciler.Run},
		{"expire sessions", d.sessions.Run},
		{"log coordinates", func(ctx context.Context) { d.places.Run(ctx, cmp.Or(cfg.CoordinatePeriod, coordinate.Period)) }},
		{"links", func(ctx context.Context) {
			// A link compares with what is here, so all of that has to be applied first.
			persistently(ctx, s.log, "see how far the links have come", s.node.ReadIndex)
			s.links.Run(ctx)
		}},
		{"announce", func(ctx context.Context) { s.announce() }},
		{"bootstrap config entries", func(ctx context.Context) {
			persistently(ctx, s.log, "write the first config entries", func(ctx context.Context) error {
				return entry.Bootstrap(ctx, d.store, s.node, cfg.Entries)
			})
		}},
		{"reap tombstones", func(ctx context.Context) {
			every(ctx, min(reapInterval, max(cfg.TombstoneTTL, time.Second)), func(ctx context.Context) { s.reap(ctx, d) })
		}},
	}
	if cfg.Mesh {
		keeper := mesh.NewKeeper(d.store, s.node, cfg.CAConfig, s.cfg.Log.Named("mesh"))
		s.duties = append(s.duties, duty{"mesh", keeper.Run})
	}
}

// reapInterval is how often the leader looks for tombstones that are old enough, unless
// they are not to live that long.
const reapInterval = time.Minute

func (s *Server) reap(ctx context.Context, d *domains) {
	n, err := d.kv.Reap(ctx, s.cfg.TombstoneTTL)
	if err != nil {
		s.log.Warn("failed to reap tombstones", "error", err)
	} else if n > 0 {
		s.log.Debug("reaped tombstones", "count", n)
	}
}

// progress is the last log index of each server, as far as the leader knows.
func (s *Server) progress() map[raft.ServerID]uint64 {
	last := map[raft.ServerID]uint64{}
	for id, state := range s.pilot.State().Servers {
		last[id] = state.Stats.LastIndex
	}
	last[raft.ServerID(s.cfg.NodeID)] = s.node.LastIndex()
	return last
}

// announce tells the datacenter who leads.
func (s *Server) announce() {
	if err := s.cfg.LAN.AnnounceLeader(); err != nil {
		s.log.Warn("failed to announce the new leader", "error", err)
	}
}

// Caller is the method table, for the faces in this process.
func (s *Server) Caller() rpc.Caller { return s.table }

// Snapshots saves and restores the state of this datacenter and of others.
func (s *Server) Snapshots() operator.Snapshots { return s.snapshots }

// Want replaces the replication links of the configuration.
func (s *Server) Want(links []link.Link) { s.links.Want(links) }

// Stats are figures of the log, for `hanse info`.
func (s *Server) Stats() map[string]string { return s.node.Stats() }

// IsLeader tells whether this server leads its datacenter.
func (s *Server) IsLeader() bool { return s.node.IsLeader() }

// LeaderAddress is the address of the leader's server port, "" if none is known.
func (s *Server) LeaderAddress() string { return s.node.LeaderAddress() }

// Directory is what this server knows of the federation.
func (s *Server) Directory() *federation.Federation { return s.network.directory }

// Close ends what New opened. After Run there is nothing left to end.
func (s *Server) Close() error {
	if err := s.node.Shutdown(); err != nil {
		return fmt.Errorf("close the log: %w", err)
	}
	return nil
}

// Run serves until ctx ends, then hands over what it leads and closes the log.
func (s *Server) Run(ctx context.Context) error {
	// The rest outlives ctx until another server leads, and the port outlives the rest:
	// the last words of the log go over it.
	working, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	port, closePort := context.WithCancel(context.WithoutCancel(ctx))
	defer closePort()
	var serving, running sync.WaitGroup
	var portErr error
	serving.Go(func() {
		if portErr = s.network.run(port, s.cfg.Port); portErr != nil {
			end(portErr)
		}
	})
	running.Go(func() { s.members.run(working) })
	running.Go(func() {
		s.node.WhileLeader(working, func(ctx context.Context) {
			lead(ctx, s.log, s.duties)
			s.cfg.DropGauges(leaderGauges...)
		})
	})
	running.Go(func() { s.measure(working) })
	running.Go(func() {
		if err := s.lineage.keep(working); err != nil {
			s.log.Error("a restart may not be let in by the others", "error", err)
		}
	})
	select {
	case <-ctx.Done():
		s.handOver()
	case <-working.Done():
	}
	end(context.Cause(ctx))
	running.Wait()
	s.table.end(s.successor())
	err := s.Close()
	closePort()
	serving.Wait()
	return errors.Join(err, portErr)
}
