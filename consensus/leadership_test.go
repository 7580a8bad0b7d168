package consensus

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
)

func TestDutyLivesExactlyWhileItsServerLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := three(t)
		var mu sync.Mutex
		on := map[raft.ServerID]int{}
		causes := map[raft.ServerID][]error{}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, m := range nodes {
			wg.Go(func() {
				m.WhileLeader(ctx, func(ctx context.Context) {
					mu.Lock()
					on[m.id]++
					mu.Unlock()
					<-ctx.Done()
					mu.Lock()
					defer mu.Unlock()
					on[m.id]--
					causes[m.id] = append(causes[m.id], context.Cause(ctx))
				})
			})
		}
		serving := func() (ids []raft.ServerID) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			for id, n := range on {
				if n > 0 {
					ids = append(ids, id)
				}
			}
			return ids
		}
		old := leader(t, nodes...)
		if got := serving(); !slices.Equal(got, []raft.ServerID{old.id}) {
			t.Errorf("duty runs on %v, %s leads", got, old.id)
		}
		c.isolate(old.id, true)
		time.Sleep(10 * time.Second)
		next := leader(t, except(old, nodes)...)
		if got := serving(); !slices.Equal(got, []raft.ServerID{next.id}) {
			t.Errorf("duty runs on %v, %s leads", got, next.id)
		}
		cancel()
		wg.Wait()
		if len(causes[old.id]) != 1 || !errors.Is(causes[old.id][0], ErrLostLeadership) {
			t.Errorf("the old leader's duty ended with %v", causes[old.id])
		}
	})
}

func TestDutyEndsWithItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		m := c.start(t, "a", "")
		c.bootstrap(t, m)
		leader(t, m)
		ended := make(chan error, 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			m.WhileLeader(t.Context(), func(ctx context.Context) {
				<-ctx.Done()
				ended <- context.Cause(ctx)
			})
		})
		synctest.Wait()
		m.stop(t)
		wg.Wait()
		if err := <-ended; !errors.Is(err, ErrLostLeadership) {
			t.Errorf("duty ended with %v", err)
		}
	})
}

func TestLastContactGrowsWithoutALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := three(t)
		l := leader(t, nodes...)
		f := except(l, nodes)[0]
		if err := f.waitUntilRead(t); err != nil {
			t.Fatal(err)
		}
		if l.LastContact() != 0 || f.LastContact() > DefaultTimeout {
			t.Errorf("last contact: %v on the leader, %v on a follower", l.LastContact(), f.LastContact())
		}
		c.isolate(f.id, true)
		time.Sleep(5 * time.Second)
		if f.LastContact() < 4*time.Second || f.KnownLeader() {
			t.Errorf("cut off: last contact %v, leader %v", f.LastContact(), f.Leader())
		}
	})
}

// pool is the Membership of a leader in these tests: what gossip would know.
type pool struct {
	c  *cluster
	mu sync.Mutex

	servers map[raft.ServerID]autopilot.Server
	forced  []string // RemoveFailed was called for
}

func (p *pool) Servers() (all []autopilot.Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.servers {
		all = append(all, s)
	}
	return all
}

func (p *pool) join(m *member) autopilot.Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := autopilot.Server{ID: m.id, Name: string(m.id), Address: m.server.Address, NodeStatus: autopilot.NodeAlive, RaftVersion: 3}
	p.servers[m.id] = s
	return s
}

func (p *pool) Stats(_ context.Context, of autopilot.Server) (autopilot.ServerStats, error) {
	p.c.mu.Lock()
	m := p.c.nodes[of.ID]
	p.c.mu.Unlock()
	if m == nil {
		return autopilot.ServerStats{}, errors.New("connection refused")
	}
	return m.AutopilotStats()
}

// RemoveFailed makes a server a left one, as a forced leave does.
func (p *pool) RemoveFailed(s autopilot.Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forced = append(p.forced, s.Name)
	delete(p.servers, s.ID)
}

func (p *pool) AutopilotConfig() autopilot.Config { return DefaultAutopilot }

func suffrage(m *member) map[raft.ServerID]raft.ServerSuffrage {
	servers, _ := m.Configuration()
	out := map[raft.ServerID]raft.ServerSuffrage{}
	for _, s := range servers {
		out[s.ID] = s.Suffrage
	}
	return out
}

func TestAutopilotPromotesTheStableAndRemovesTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := three(t)
		l := leader(t, nodes...)
		p := &pool{c: c, servers: map[raft.ServerID]autopilot.Server{}}
		for _, m := range nodes {
			p.join(m)
		}
		var states atomic.Int64
		pilot := l.NewAutopilot(p, func(*autopilot.State) { states.Add(1) })
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { pilot.Run(ctx) })

		d := c.start(t, "d", "")
		if err := pilot.AddServer(p.join(d)); err != nil {
			t.Fatal(err)
		}
		if got := suffrage(l)["d"]; got != raft.Nonvoter {
			t.Errorf("a new server is a %v", got)
		}
		time.Sleep(time.Minute)
		if got := suffrage(l)["d"]; got != raft.Voter {
			t.Errorf("a stable server is a %v", got)
		}
		if s := pilot.State(); !s.Healthy || s.FailureTolerance != 1 || s.Leader != l.id || states.Load() == 0 {
			t.Errorf("state after %d updates: %+v", states.Load(), s)
		}

		dead := except(l, nodes)[0]
		c.kill(t, dead)
		p.mu.Lock()
		failed := p.servers[dead.id]
		failed.NodeStatus = autopilot.NodeFailed
		p.servers[dead.id] = failed
		p.mu.Unlock()
		time.Sleep(time.Minute)
		if got := suffrage(l); len(got) != 3 {
			t.Errorf("members are %v after %s died", got, dead.id)
		}
		p.mu.Lock()
		forced := slices.Clone(p.forced)
		p.mu.Unlock()
		if !slices.Equal(forced, []string{string(dead.id)}) {
			t.Errorf("forced out: %v", forced)
		}
		if err := pilot.RemoveServer("d"); err != nil || len(suffrage(l)) != 2 {
			t.Errorf("removal: %v, members %v", err, suffrage(l))
		}
		cancel()
		wg.Wait()
		if s := pilot.State(); len(s.Servers) != 0 {
			t.Errorf("state after the end: %+v", s)
		}
	})
}

func TestConfigurationMistakesAreAllNamed(t *testing.T) {
	_, err := Open(Config{Timeout: time.Microsecond})
	if err == nil {
		t.Fatal("it opened")
	}
	for _, want := range []string{"node ID", "state machine", "other servers", "transport", "the timeout is 1µs: use at least 5ms"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error is %q, want %q in it", err, want)
		}
	}
}
