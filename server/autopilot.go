package server

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/consensus"
	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/lan"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/rpc"
)

// membership is what autopilot knows of the servers.
type membership struct {
	lan    *lan.Pool
	router Router
	config func() autopilot.Config
	log    hclog.Logger
	// failed are the names of servers that autopilot gave up.
	failed chan string
}

var _ consensus.Membership = (*membership)(nil)

// Servers implements [consensus.Membership].
func (m *membership) Servers() []autopilot.Server {
	var servers []autopilot.Server
	for _, s := range m.lan.Servers() {
		if s.ID != "" {
			servers = append(servers, pilotServer(s))
		}
	}
	return servers
}

func pilotServer(s gossip.Server) autopilot.Server {
	status := autopilot.NodeUnknown
	switch s.Status {
	case serf.StatusAlive, serf.StatusLeaving:
		status = autopilot.NodeAlive
	case serf.StatusFailed:
		status = autopilot.NodeFailed
	case serf.StatusLeft:
		status = autopilot.NodeLeft
	}
	return autopilot.Server{
		ID: raft.ServerID(s.ID), Name: s.Name, Address: raft.ServerAddress(s.Addr()),
		NodeStatus: status, Version: s.Version, RaftVersion: max(s.RaftVersion, 3),
		Meta: map[string]string{"consul-network-segment": "", "consul-version": s.Version},
	}
}

// Stats implements [consensus.Membership].
func (m *membership) Stats(ctx context.Context, of autopilot.Server) (autopilot.ServerStats, error) {
	stats, err := operator.Stats.Call(ctx, at{m.router, string(of.Address)}, &rpc.Empty{})
	if err != nil {
		return autopilot.ServerStats{}, err
	}
	contact := time.Duration(-1)
	if stats.LastContact != "never" {
		if contact, err = time.ParseDuration(stats.LastContact); err != nil {
			return autopilot.ServerStats{}, fmt.Errorf("last contact of %s: %w", of.Name, err)
		}
	}
	return autopilot.ServerStats{LastContact: contact, LastTerm: stats.LastTerm, LastIndex: stats.LastIndex}, nil
}

// RemoveFailed implements [consensus.Membership].
func (m *membership) RemoveFailed(s autopilot.Server) {
	select {
	case m.failed <- s.Name:
	default: // autopilot asks again
	}
}

// AutopilotConfig implements [consensus.Membership].
func (m *membership) AutopilotConfig() autopilot.Config { return m.config() }

// forget makes gossip forget the servers that autopilot gave up, until ctx ends.
func (m *membership) forget(ctx context.Context) {
	for {
		select {
		case name := <-m.failed:
			if err := m.lan.ForceLeave(name, false); err != nil {
				m.log.Warn("failed to force a dead server out of the pool", "server", name, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
