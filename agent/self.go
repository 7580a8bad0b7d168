package agent

import (
	"context"
	"fmt"
	"net/http"
	"runtime"

	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/httpapi"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/version"
)

// self is the agent as its HTTP face sees it.
type self struct{ agent *Agent }

var _ httpapi.Agent = (*self)(nil)

// Self implements [httpapi.Agent].
func (s *self) Self() any {
	a := s.agent
	cfg := a.cfg
	coordinate, err := a.lan.Coordinate()
	if err != nil {
		coordinate = nil // coordinates are off
	}
	meta := a.nodeInfo().NodeMeta
	revision, date := version.Commit()
	local := a.lan.Local()
	return map[string]any{
		"Config": map[string]any{
			"Datacenter": cfg.Datacenter, "PrimaryDatacenter": cfg.PrimaryDatacenter,
			"NodeName": cfg.NodeName, "NodeID": a.nodeID, "Revision": revision, "Server": cfg.Server,
			"Version": version.Consul, "BuildDate": date,
		},
		"DebugConfig": cfg.Debug(),
		"Coord":       coordinate,
		"Member":      httpapi.NewMember(&local),
		"Stats":       s.stats(),
		"Meta":        meta,
	}
}

func (s *self) stats() map[string]map[string]string {
	stats := s.agent.role.Stats()
	stats["agent"] = map[string]string{
		"checks": fmt.Sprint(len(s.agent.local.Checks())), "services": fmt.Sprint(len(s.agent.local.Services())),
	}
	stats["build"] = map[string]string{"prerelease": "", "revision": "", "version": version.Consul, "version_metadata": "", "hanse": version.Hanse}
	stats["runtime"] = map[string]string{
		"arch": runtime.GOARCH, "os": runtime.GOOS, "version": runtime.Version(),
		"cpu_count": fmt.Sprint(runtime.NumCPU()), "goroutines": fmt.Sprint(runtime.NumGoroutine()),
		"max_procs": fmt.Sprint(runtime.GOMAXPROCS(0)),
	}
	return stats
}

// Members implements [httpapi.Agent].
func (s *self) Members(wan bool, _ string) ([]serf.Member, error) {
	if !wan {
		return s.agent.lan.Members(), nil
	}
	if s.agent.wan == nil {
		return nil, nil
	}
	return s.agent.wan.Members(), nil
}

var errNoWAN = rpc.Invalid("this agent is in no WAN pool: ask a server, with a ports.serf_wan above 0")

// pool is one of the gossip pools.
func (s *self) pool(wan bool) (*gossip.Pool, error) {
	if !wan {
		return s.agent.lan.Pool, nil
	}
	if s.agent.wan == nil {
		return nil, errNoWAN
	}
	return s.agent.wan.Pool, nil
}

// Join implements [httpapi.Agent].
func (s *self) Join(_ context.Context, addr string, wan bool) error {
	pool, err := s.pool(wan)
	if err != nil {
		return err
	}
	_, err = pool.Join([]string{addr})
	return err
}

// ForceLeave implements [httpapi.Agent].
func (s *self) ForceLeave(_ context.Context, node string, prune, wan bool) error {
	pool, err := s.pool(wan)
	if err != nil {
		return err
	}
	return pool.ForceLeave(node, prune)
}

// Leave implements [httpapi.Agent].
func (s *self) Leave(ctx context.Context) error { return s.agent.Leave(context.WithoutCancel(ctx)) }

// Reload implements [httpapi.Agent].
func (s *self) Reload(context.Context) error { return s.agent.Reload() }

// Metrics implements [httpapi.Agent].
func (s *self) Metrics() http.Handler { return s.agent.metrics.Handler() }

// MetricsJSON implements [httpapi.Agent].
func (s *self) MetricsJSON() any { return s.agent.metrics.JSON() }
