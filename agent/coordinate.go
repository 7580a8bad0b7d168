package agent

import (
	"time"

	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/coordinate"
)

// devCoordinatePeriod lets those who try a dev agent see at once what they told it.
const devCoordinatePeriod = 100 * time.Millisecond

// coordinatePeriod is how often a leader logs where nodes are, 0 for the usual.
func coordinatePeriod(cfg *config.Config) time.Duration {
	if cfg.DevMode {
		return devCoordinatePeriod
	}
	return 0
}

// sender tells the servers where this agent is.
func (a *Agent) sender() *coordinate.Sender {
	return coordinate.NewSender(coordinate.SenderConfig{
		Node: a.cfg.NodeName, Datacenter: a.cfg.Datacenter, Own: a.lan.Coordinate,
		Members: func() int { return len(a.lan.Members()) }, Caller: a.role.Caller(), Log: a.log.Named("coordinate"),
	})
}
