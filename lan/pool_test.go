package lan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/gossip/gossiptest"
)

// member is a running pool under test.
type member struct {
	*Pool
	*gossiptest.Watch
}

func (m member) addr() string {
	l := m.Local()
	return fmt.Sprintf("%s:%d", l.Addr, l.Port)
}

// start runs a pool. Defaults: datacenter shanghai, an ID made of the name, a client.
func start(t testing.TB, cfg Config) member {
	t.Helper()
	p, err := New(defaults(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	return member{p, gossiptest.NewWatch(t, p.Pool, gossip.Handler{})}
}

func defaults(t testing.TB, cfg Config) Config {
	if cfg.Datacenter == "" {
		cfg.Datacenter = "shanghai"
	}
	if cfg.NodeID == "" {
		cfg.NodeID = "id-of-" + cfg.NodeName
	}
	cfg.Log = gossiptest.Logger(t)
	return cfg
}

// on returns a configuration for a member of a network in memory.
func on(network *gossiptest.Network, name, addr string) Config {
	return Config{NodeName: name, Options: gossip.Options{Transport: network.Listen(addr)}}
}

func mustJoin(t testing.TB, m member, addrs ...string) {
	t.Helper()
	if n, err := m.Join(addrs); err != nil || n != len(addrs) {
		t.Fatalf("join %v: %d, %v", addrs, n, err)
	}
}

// mustRefuse joins and expects an error with all of the texts in it.
func mustRefuse(t *testing.T, m member, addr string, texts ...string) {
	t.Helper()
	n, err := m.Join([]string{addr})
	if err == nil {
		t.Fatalf("joined %d members at %s, want an error", n, addr)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error is %q, want %q in it", err, text)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has more than one line: %q", err)
	}
}

func TestMembersSeeEachOtherAndTheirRoles(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		cfg := on(network, "a", "127.0.0.1:8301")
		cfg.Server = &gossip.ServerTags{Port: 8300, WANJoinPort: 8302, Expect: 3}
		a := start(t, cfg)
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		c := start(t, on(network, "c", "127.0.0.3:8301"))
		mustJoin(t, b, a.addr())
		mustJoin(t, c, b.addr())
		a.UntilStatus(t, "c", serf.StatusAlive)
		c.UntilStatus(t, "a", serf.StatusAlive)

		servers := c.Servers()
		if len(servers) != 1 {
			t.Fatalf("servers are %v, want one", servers)
		}
		s := servers[0]
		if s.Name != "a" || s.Addr() != "127.0.0.1:8300" || s.WANJoinPort != 8302 || s.Expect != 3 || s.Feature == 0 || !s.Alive() {
			t.Errorf("server is %+v", s)
		}

		err := a.EditTags(func(tags map[string]string) { delete(tags, "expect") })
		if err != nil {
			t.Fatal(err)
		}
		c.Until(t, "changed tags arrive", func() bool { return c.Servers()[0].Expect == 0 })
	})
}

func TestFailureIsDetectedAndHeals(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		c := start(t, on(network, "c", "127.0.0.3:8301"))
		mustJoin(t, b, a.addr())
		mustJoin(t, c, a.addr())

		network.Cut(c.addr())
		a.UntilStatus(t, "c", serf.StatusFailed)
		b.UntilStatus(t, "c", serf.StatusFailed)
		c.UntilStatus(t, "a", serf.StatusFailed)

		network.Heal(c.addr())
		a.UntilStatus(t, "c", serf.StatusAlive)
		c.UntilStatus(t, "b", serf.StatusAlive)
	})
}

func TestFailedMembersAreReapedInTime(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		cfg := on(network, "a", "127.0.0.1:8301")
		cfg.ReconnectTimeout = time.Hour
		a := start(t, cfg)
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		cfg = on(network, "c", "127.0.0.3:8301")
		cfg.AdvertiseReconnectTimeout = time.Minute // c asks to be forgotten sooner
		c := start(t, cfg)
		mustJoin(t, a, b.addr(), c.addr())

		network.Cut(b.addr())
		network.Cut(c.addr())
		a.UntilStatus(t, "b", serf.StatusFailed)
		a.UntilStatus(t, "c", serf.StatusFailed)
		a.UntilStatus(t, "c", serf.StatusNone)
		time.Sleep(30 * time.Minute)
		a.UntilStatus(t, "b", serf.StatusFailed)
		time.Sleep(31 * time.Minute)
		a.UntilStatus(t, "b", serf.StatusNone)
	})
}

func TestLeaveIsNoFailure(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		mustJoin(t, b, a.addr())
		if err := b.Leave(); err != nil {
			t.Fatal(err)
		}
		if err := b.Shutdown(); err != nil {
			t.Fatal(err)
		}
		a.UntilStatus(t, "b", serf.StatusLeft)

		// The name is free at once, at another address too.
		again := start(t, on(network, "b", "127.0.0.9:8301"))
		mustJoin(t, again, a.addr())
		a.UntilStatus(t, "b", serf.StatusAlive)
	})
}

func TestForceLeave(t *testing.T) {
	for _, prune := range []bool{false, true} {
		t.Run(fmt.Sprintf("prune %v", prune), func(t *testing.T) {
			gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
				a := start(t, on(network, "a", "127.0.0.1:8301"))
				b := start(t, on(network, "b", "127.0.0.2:8301"))
				c := start(t, on(network, "c", "127.0.0.3:8301"))
				mustJoin(t, a, b.addr(), c.addr())
				b.UntilStatus(t, "c", serf.StatusAlive)
				network.Cut(c.addr())
				a.UntilStatus(t, "c", serf.StatusFailed)
				b.UntilStatus(t, "c", serf.StatusFailed)
				if err := a.ForceLeave("c", prune); err != nil {
					t.Fatal(err)
				}
				want := serf.StatusLeft
				if prune {
					want = serf.StatusNone
				}
				a.UntilStatus(t, "c", want)
				b.UntilStatus(t, "c", want)

				err := a.ForceLeave("nobody", prune)
				if err == nil || !strings.Contains(err.Error(), "No node found with name 'nobody'") {
					t.Errorf("force-leave of an unknown member: %v", err)
				}
			})
		})
	}
}

func TestWrongDatacenterIsRefusedOnBothSides(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		cfg := on(network, "b", "127.0.0.2:8301")
		cfg.Datacenter = "beijing"
		b := start(t, cfg)
		mustRefuse(t, b, a.addr(), "Member 'a' part of wrong datacenter 'shanghai'", "'beijing'", "join -wan")
		mustRefuse(t, a, b.addr(), "Member 'b' part of wrong datacenter 'beijing'", "'shanghai'")
		time.Sleep(time.Minute)
		for _, m := range []member{a, b} {
			if n := len(m.Members()); n != 1 {
				t.Errorf("%s has %d members after a refused join, want itself", m.Local().Name, n)
			}
		}
	})
}

func TestNamesAreUnique(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		mustJoin(t, b, a.addr())

		cfg := on(network, "b", "127.0.0.3:8301")
		cfg.NodeID = "another"
		second := start(t, cfg)
		mustRefuse(t, second, a.addr(), "'b' at 127.0.0.2:8301", "127.0.0.3:8301", "node_name")
		copied := start(t, on(network, "b", "127.0.0.4:8301"))
		mustRefuse(t, copied, a.addr(), "this agent's node ID", "data_dir was copied")
		time.Sleep(time.Minute)
		for _, m := range a.Members() {
			if m.Name == "b" && m.Addr.String() != "127.0.0.2" {
				t.Errorf("the name went to %s", m.Addr)
			}
		}
	})
}

func TestMovedMemberComesBackAfterItsOldAddressFailed(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		mustJoin(t, b, a.addr())
		if err := b.Shutdown(); err != nil {
			t.Fatal(err)
		}
		moved := start(t, on(network, "b", "127.0.0.3:8301"))
		err := gossip.RetryJoin(t.Context(), []string{a.addr()}, moved.Join,
			gossip.RetryOptions{Pool: "LAN", Log: hclog.NewNullLogger()})
		if err != nil {
			t.Fatal(err)
		}
		a.Until(t, "b at its new address", func() bool {
			for _, m := range a.Members() {
				if m.Name == "b" && m.Addr.String() == "127.0.0.3" && m.Status == serf.StatusAlive {
					return true
				}
			}
			return false
		})
	})
}

func TestNodeIDsAreUnique(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		mustJoin(t, b, a.addr())

		cfg := on(network, "c", "127.0.0.3:8301")
		cfg.NodeID = b.Local().Tags["id"]
		c := start(t, cfg)
		mustRefuse(t, c, a.addr(), "Member 'b' has conflicting node ID 'id-of-b' with this agent's ID", "node_id")
		time.Sleep(time.Minute)
		if n := len(a.Members()); n != 2 {
			t.Errorf("a has %d members, want 2", n)
		}

		// A member that is renamed is let in once its former name has failed.
		if err := b.Shutdown(); err != nil {
			t.Fatal(err)
		}
		a.UntilStatus(t, "b", serf.StatusFailed)
		mustJoin(t, c, a.addr())
		a.UntilStatus(t, "c", serf.StatusAlive)
	})
}

func TestJoinToldApartFromBeingListed(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		mustJoin(t, b, a.addr())
		if err := b.Shutdown(); err != nil {
			t.Fatal(err)
		}
		a.UntilStatus(t, "b", serf.StatusFailed)
		// For a while after the failure memberlist keeps the name for the old address,
		// and does not tell the joiner.
		moved := start(t, on(network, "b", "127.0.0.3:8301"))
		mustRefuse(t, moved, a.addr(), "does not list this agent as 'b'", "30s")
	})
}

func TestOneGoodAddressIsEnough(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		b := start(t, on(network, "b", "127.0.0.2:8301"))
		n, err := b.Join([]string{"127.0.0.77:8301", a.addr(), "127.0.0.77:99999"})
		if n != 1 || err != nil {
			t.Errorf("join answered %d, %v", n, err)
		}
		mustRefuse(t, b, "127.0.0.77:8301", "connection refused", "ports.serf_lan")
	})
}

func TestTimersAreThoseOfThePeers(t *testing.T) {
	p := profile(false)
	got := []time.Duration{p.ProbeInterval, p.ProbeTimeout, p.GossipInterval, p.PushPullInterval, p.TCPTimeout, p.GossipToTheDeadTime}
	want := []time.Duration{time.Second, time.Second / 2, time.Second / 5, 30 * time.Second, 10 * time.Second, 30 * time.Second}
	if !slices.Equal(got, want) || p.SuspicionMult != 4 || p.RetransmitMult != 4 || p.GossipNodes != 3 {
		t.Errorf("timers are %v, %d, %d, %d", got, p.SuspicionMult, p.RetransmitMult, p.GossipNodes)
	}
}
