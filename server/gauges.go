package server

import (
	"context"

	gometrics "github.com/hashicorp/go-metrics"
	autopilot "github.com/hashicorp/raft-autopilot"
)

// leaderGauges are those that only a leader writes, raft's own among them. They leave
// the page with its lead: nobody would correct them.
var leaderGauges = []string{"autopilot", "raft.peers", "raft.leader", "raft.commitNumLogs", "mesh"}

// reportHealth tells whether autopilot holds the datacenter for healthy.
func reportHealth(state *autopilot.State) {
	healthy := float32(0)
	if state.Healthy {
		healthy = 1
	}
	gometrics.SetGauge([]string{"autopilot", "healthy"}, healthy)
	gometrics.SetGauge([]string{"autopilot", "failure_tolerance"}, float32(state.FailureTolerance))
}

// measure keeps up whether this server leads, until ctx ends.
func (s *Server) measure(ctx context.Context) {
	for {
		changed := s.node.LeaderChanged()
		leads := float32(0)
		if s.node.IsLeader() {
			leads = 1
		}
		gometrics.SetGauge([]string{"server", "isLeader"}, leads)
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
