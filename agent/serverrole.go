package agent

import (
	"context"
	"fmt"
	"strconv"

	"github.com/hanse-project/hanse/server"
)

// serverRole is the role of a server, with its gossip pools.
type serverRole struct {
	*server.Server
	agent *Agent
}

// Stats implements [role].
func (s *serverRole) Stats() map[string]map[string]string {
	stats := map[string]map[string]string{
		"consul": {
			"acl": "disabled", "bootstrap": strconv.FormatBool(s.agent.cfg.Bootstrap),
			"known_datacenters": fmt.Sprint(len(s.Datacenters())), "leader": strconv.FormatBool(s.IsLeader()),
			"leader_addr": s.LeaderAddress(), "server": "true",
		},
		"raft":     s.Server.Stats(),
		"serf_lan": s.agent.lan.Stats(),
	}
	if s.agent.wan != nil {
		stats["serf_wan"] = s.agent.wan.Stats()
	}
	return stats
}

// Leave implements [role].
func (s *serverRole) Leave(ctx context.Context) error { return s.Server.Leave(ctx) }
