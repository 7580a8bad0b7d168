package consensus

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
)

// Membership is what autopilot asks of the gossip pool and the store. Package server
// implements it.
type Membership interface {
	// Servers are all servers of this datacenter that gossip knows, this one and the
	// failed and left ones among them. ID, Name, Address, NodeStatus, Version, Meta
	// and RaftVersion are set.
	Servers() []autopilot.Server

	// Stats asks one server for what its [Node.AutopilotStats] returns.
	Stats(ctx context.Context, of autopilot.Server) (autopilot.ServerStats, error)

	// RemoveFailed makes the gossip pool forget a failed server. It does not block.
	RemoveFailed(autopilot.Server)

	// AutopilotConfig is the configuration in force.
	AutopilotConfig() autopilot.Config
}

// DefaultAutopilot is the configuration of a datacenter that was given none.
var DefaultAutopilot = autopilot.Config{
	CleanupDeadServers:      true,
	LastContactThreshold:    200 * time.Millisecond,
	MaxTrailingLogs:         250,
	ServerStabilizationTime: 10 * time.Second,
}

// Autopilot decides which servers are members of the log: new ones become voters
// once they are stable, dead ones are removed when a majority stays. It acts while
// Run does, which is a leader's duty.
type Autopilot struct {
	pilot *autopilot.Autopilot
	pool  Membership
}

// NewAutopilot prepares the autopilot of n. onState, if set, gets every new state,
// which is shared and must not be changed.
func (n *Node) NewAutopilot(pool Membership, onState func(*autopilot.State)) *Autopilot {
	if onState == nil {
		onState = func(*autopilot.State) {}
	}
	return &Autopilot{
		pool: pool,
		pilot: autopilot.New(n.raft, pilotDelegate{node: n, pool: pool, onState: onState},
			autopilot.WithLogger(n.log)),
	}
}

// Run acts until ctx ends. Only one server may run it: the leader.
func (a *Autopilot) Run(ctx context.Context) {
	a.pilot.Start(ctx)
	<-ctx.Done()
	<-a.pilot.Stop()
}

// AddServer makes a server a member without a vote, which comes when it is stable,
// or gives a member its new address. Only the leader can.
func (a *Autopilot) AddServer(s autopilot.Server) error { return a.pilot.AddServer(&s) }

// RemoveServer takes a server out of the log, if it is in. Only the leader can.
func (a *Autopilot) RemoveServer(id raft.ServerID) error { return a.pilot.RemoveServer(id) }

// CleanUp removes dead servers now instead of at the next interval.
func (a *Autopilot) CleanUp() { a.pilot.RemoveDeadServers() }

// State is the latest view, which is shared and must not be changed; empty while
// Run does not.
func (a *Autopilot) State() *autopilot.State { return a.pilot.GetState() }

// Config is the configuration in force.
func (a *Autopilot) Config() autopilot.Config { return a.pool.AutopilotConfig() }

// AutopilotStats is what this server tells the leader about itself.
func (n *Node) AutopilotStats() (autopilot.ServerStats, error) {
	stats := autopilot.ServerStats{LastContact: n.LastContact()}
	if !n.IsLeader() && n.raft.LastContact().IsZero() {
		stats.LastContact = -1 // never, which is unhealthy
	}
	var err error
	own := n.raft.Stats()
	if stats.LastTerm, err = strconv.ParseUint(own["last_log_term"], 10, 64); err != nil {
		return stats, fmt.Errorf("last term of the log: %w", err)
	}
	if stats.LastIndex, err = strconv.ParseUint(own["last_log_index"], 10, 64); err != nil {
		return stats, fmt.Errorf("last index of the log: %w", err)
	}
	return stats, nil
}

// pilotDelegate is the application side of raft-autopilot.
type pilotDelegate struct {
	node    *Node
	pool    Membership
	onState func(*autopilot.State)
}

func (d pilotDelegate) AutopilotConfig() *autopilot.Config {
	c := d.pool.AutopilotConfig()
	return &c
}

func (d pilotDelegate) NotifyState(s *autopilot.State) { d.onState(s) }

func (d pilotDelegate) RemoveFailedServer(s *autopilot.Server) { d.pool.RemoveFailed(*s) }

func (d pilotDelegate) KnownServers() map[raft.ServerID]*autopilot.Server {
	leader := d.node.Leader().ID
	known := make(map[raft.ServerID]*autopilot.Server)
	for _, s := range d.pool.Servers() {
		s.NodeType = autopilot.NodeVoter
		s.IsLeader = s.ID == leader
		known[s.ID] = &s
	}
	return known
}

// FetchServerStats asks all servers at once. Who does not answer is left out.
func (d pilotDelegate) FetchServerStats(ctx context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		all = make(map[raft.ServerID]*autopilot.ServerStats, len(servers))
	)
	for id, s := range servers {
		wg.Go(func() {
			stats, err := d.stats(ctx, *s)
			if err != nil {
				d.node.log.Debug("no autopilot stats", "server", s.Name, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all[id] = &stats
		})
	}
	wg.Wait()
	return all
}

func (d pilotDelegate) stats(ctx context.Context, s autopilot.Server) (autopilot.ServerStats, error) {
	if s.ID == d.node.id {
		return d.node.AutopilotStats()
	}
	return d.pool.Stats(ctx, s)
}
