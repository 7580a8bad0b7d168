package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/federation"
	"github.com/hanse-project/hanse/forwarder"
	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/lan"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/rpc"
)

// client is the role of an agent that is no server: it hands every call to one.
type client struct {
	lan     *lan.Pool
	servers *federation.Federation
	calls   *forwarder.Client
	// userEvent is told of the user events of the pool, one after the other.
	userEvent func(serf.UserEvent)
	// serverCame is told of every server that joins. Set it before Run.
	serverCame func()
}

func newClient(pool *lan.Pool, userEvent func(serf.UserEvent), cfg forwarder.Config) *client {
	c := &client{lan: pool, userEvent: userEvent}
	c.servers = federation.New(federation.Config{
		Datacenter: cfg.Datacenter, Registerer: cfg.Registerer,
		Distance: func(s federation.Server) (time.Duration, bool) { return pool.RTT(s.Name) },
	})
	cfg.Picker = c.servers
	c.calls = forwarder.NewClient(cfg)
	return c
}

// Caller implements [role].
func (c *client) Caller() rpc.Caller { return c }

// Call implements [rpc.Caller]. It counts under names that existing dashboards chart.
func (c *client) Call(ctx context.Context, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	gometrics.IncrCounter([]string{"client", "rpc"}, 1)
	reply, err := c.calls.Call(ctx, m, req, newReply)
	if err != nil {
		gometrics.IncrCounter([]string{"client", "rpc", "failed"}, 1)
	}
	if errors.Is(err, rpc.ErrOverloaded) {
		gometrics.IncrCounter([]string{"client", "rpc", "exceeded"}, 1)
	}
	return reply, err
}

// Snapshots implements [role].
func (c *client) Snapshots() operator.Snapshots {
	return operator.RemoteSnapshots{Open: c.calls.OpenSnapshot}
}

// Run implements [role].
func (c *client) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { c.lan.Run(ctx, gossip.Handler{Member: c.onMember, User: c.userEvent}) })
	err := c.calls.Run(ctx)
	wg.Wait()
	return err
}

func (c *client) onMember(change serf.EventType, m serf.Member) {
	s, isServer := c.lan.Server(m)
	if !isServer {
		return
	}
	switch change {
	case serf.EventMemberLeave, serf.EventMemberReap:
		c.servers.Left(s.Datacenter, s.Name)
	case serf.EventMemberFailed:
		c.servers.MemberFailed(s.Datacenter, s.Name)
	case serf.EventMemberJoin, serf.EventMemberUpdate:
		c.servers.Joined(federation.Server{
			Name: s.Name, ID: s.ID, Datacenter: s.Datacenter, Addr: s.Addr(), Build: s.Build, Feature: s.Feature,
		})
		if c.serverCame != nil {
			c.serverCame()
		}
	}
}

// Stats implements [role].
func (c *client) Stats() map[string]map[string]string {
	return map[string]map[string]string{
		"consul":   {"acl": "disabled", "known_servers": knownServers(c.lan), "server": "false"},
		"serf_lan": c.lan.Stats(),
	}
}

// Leave implements [role].
func (c *client) Leave(context.Context) error { return c.lan.Leave() }
