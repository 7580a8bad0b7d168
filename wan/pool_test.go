package wan

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/gossip/gossiptest"
	"github.com/hanse-project/hanse/lan"
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

func config(t testing.TB, network *gossiptest.Network, node, dc, addr string) Config {
	return Config{
		NodeName: node, NodeID: "id-of-" + node, Datacenter: dc,
		Server:  gossip.ServerTags{Port: 8300},
		Options: gossip.Options{Transport: network.Listen(addr), Log: gossiptest.Logger(t)},
	}
}

func start(t testing.TB, network *gossiptest.Network, node, dc, addr string) member {
	t.Helper()
	p, err := New(config(t, network, node, dc, addr))
	if err != nil {
		t.Fatal(err)
	}
	return member{p, gossiptest.NewWatch(t, p.Pool, gossip.Handler{})}
}

func mustJoin(t testing.TB, m member, addrs ...string) {
	t.Helper()
	if n, err := m.Join(addrs); err != nil || n != len(addrs) {
		t.Fatalf("join %v: %d, %v", addrs, n, err)
	}
}

func TestServersOfTwoDatacentersMeet(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		// Names with dots, and the same node ID twice: neither is in the way.
		a := start(t, network, "192.168.33.11", "shanghai", "127.0.0.1:8302")
		b := start(t, network, "192.168.33.11", "bei.jing", "127.0.0.2:8302")
		mustJoin(t, b, a.addr())
		a.UntilStatus(t, "192.168.33.11.bei.jing", serf.StatusAlive)
		for _, s := range a.Servers() {
			if s.Name != "192.168.33.11" || s.Addr() != s.IP.String()+":8300" || s.Feature == 0 {
				t.Errorf("server is %+v", s)
			}
		}

		network.Cut(b.addr())
		a.UntilStatus(t, "192.168.33.11.bei.jing", serf.StatusFailed)
		if dcs := a.Datacenters(); !slices.Equal(dcs, []string{"shanghai", "bei.jing"}) {
			t.Errorf("a failed datacenter is still one: %v", dcs)
		}
		network.Heal(b.addr())
		a.UntilStatus(t, "192.168.33.11.bei.jing", serf.StatusAlive)

		if err := b.Leave(); err != nil {
			t.Fatal(err)
		}
		a.UntilStatus(t, "192.168.33.11.bei.jing", serf.StatusLeft)
		if dcs := a.Datacenters(); !slices.Equal(dcs, []string{"shanghai"}) {
			t.Errorf("after a leave: %v", dcs)
		}
	})
}

func TestOnlyServersAreLetIn(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, network, "a", "shanghai", "127.0.0.1:8302")
		client, err := lan.New(lan.Config{NodeName: "client", Datacenter: "shanghai",
			Options: gossip.Options{Transport: network.Listen("127.0.0.2:8301"), Log: gossiptest.Logger(t)}})
		if err != nil {
			t.Fatal(err)
		}
		gossiptest.NewWatch(t, client.Pool, gossip.Handler{})

		_, err = a.Join([]string{"127.0.0.2:8301"})
		if err == nil || !strings.Contains(err.Error(), "Member 'client' is not a server of a WAN pool") ||
			!strings.Contains(err.Error(), "ports.serf_wan") {
			t.Errorf("joining a client's LAN port: %v", err)
		}
		_, err = client.Join([]string{a.addr()})
		if err == nil || !strings.Contains(err.Error(), "Member 'a.shanghai' is of a WAN pool") {
			t.Errorf("a client that joins a WAN port: %v", err)
		}
		time.Sleep(5 * time.Minute)
		if n := len(a.Members()); n != 1 {
			t.Errorf("the WAN pool has %d members, want 1", n)
		}
	})
}

func TestJoiningThePortOfTheOtherPool(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := startSite(t, network, "a", "shanghai", "127.0.0.1")
		b := startSite(t, network, "b", "shanghai", "127.0.0.2")
		_, err := b.lan.Join([]string{a.wan.addr()})
		if err == nil || !strings.Contains(err.Error(), "is of a WAN pool") || !strings.Contains(err.Error(), "ports.serf_lan") {
			t.Errorf("LAN joins a WAN port: %v", err)
		}
		_, err = b.wan.Join([]string{a.lan.addr()})
		if err == nil || !strings.Contains(err.Error(), "'a' is not a server of a WAN pool") {
			t.Errorf("WAN joins a LAN port: %v", err)
		}
		time.Sleep(5 * time.Minute)
		for _, m := range []member{a.lan, a.wan, b.lan, b.wan} {
			if n := len(m.Members()); n != 1 {
				t.Errorf("the pool of %s has %d members, want 1", m.Local().Name, n)
			}
		}
	})
}

func TestConsulServersAreLetIn(t *testing.T) {
	tags := map[string]string{"role": "consul", "dc": "dc1", "port": "8300", "vsn": "2", "build": "1.21.4:abc"}
	if err := admit(serf.Member{Name: "alpha.dc1", Addr: []byte{127, 0, 0, 1}, Tags: tags}); err != nil {
		t.Error(err)
	}
	tags["port"] = "none"
	err := admit(serf.Member{Name: "alpha.dc1", Addr: []byte{127, 0, 0, 1}, Tags: tags})
	if err == nil || err.Error() != "Member 'alpha.dc1' is not a server" {
		t.Errorf("a server without a port: %v", err)
	}
}

func TestNamesAreUnique(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, network, "a", "shanghai", "127.0.0.1:8302")
		b := start(t, network, "b", "beijing", "127.0.0.2:8302")
		mustJoin(t, b, a.addr())
		second := start(t, network, "b", "beijing", "127.0.0.3:8302")
		if _, err := second.Join([]string{a.addr()}); err == nil || !strings.Contains(err.Error(), "'b.beijing'") {
			t.Errorf("a second b.beijing: %v", err)
		}
	})
}

func TestDatacentersSortByDistance(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		// Host 127.0.D.x is in datacenter D; the way from 1 to D takes 20*D ms.
		network.Delay(func(from, to netip.AddrPort) time.Duration {
			f, d := from.Addr().As4()[2], to.Addr().As4()[2]
			if f == d {
				return time.Millisecond
			}
			return time.Duration(f+d) * 20 * time.Millisecond
		})
		home := start(t, network, "home", "z-home", "127.0.1.1:8302")
		far := start(t, network, "far", "a-far", "127.0.4.1:8302")
		near := start(t, network, "near", "m-near", "127.0.2.1:8302")
		near2 := start(t, network, "near2", "m-near", "127.0.2.2:8302")
		mustJoin(t, home, far.addr(), near.addr(), near2.addr())
		if dcs := home.Datacenters(); !slices.Equal(dcs, []string{"z-home", "a-far", "m-near"}) {
			t.Errorf("before any probe: %v, want ours and then by name", dcs)
		}
		time.Sleep(20 * time.Minute) // for the coordinates to settle
		if dcs := home.Datacenters(); !slices.Equal(dcs, []string{"z-home", "m-near", "a-far"}) {
			t.Errorf("datacenters are %v", dcs)
		}
		nearby, ok1 := home.DistanceTo("m-near")
		distant, ok2 := home.DistanceTo("a-far")
		own, ok3 := home.DistanceTo("z-home")
		if !ok1 || !ok2 || !ok3 || own != 0 || nearby <= 0 || distant <= nearby {
			t.Errorf("distances: near %v %v, far %v %v, own %v %v", nearby, ok1, distant, ok2, own, ok3)
		}
		if _, ok := home.DistanceTo("nowhere"); ok {
			t.Error("the distance to an unknown datacenter is known")
		}
	})
}

// site is one server in both pools, with its flooder.
type site struct {
	lan, wan member
}

func startSite(t *testing.T, network *gossiptest.Network, node, dc, ip string) site {
	t.Helper()
	pool, err := New(config(t, network, node, dc, ip+":8302"))
	if err != nil {
		t.Fatal(err)
	}
	var l lanMember
	f := NewFlooder(pool, func() []gossip.Server { return l.servers() }, gossiptest.Logger(t))
	w := member{pool, gossiptest.NewWatch(t, pool.Pool, gossip.Handler{Member: func(change serf.EventType, m serf.Member) {
		if s, ok := gossip.ParseWANServer(m); ok && change == serf.EventMemberJoin {
			f.Met(s)
		}
	}})}
	l = startLAN(t, network, node, dc, ip, f.Poke)
	done := make(chan struct{})
	go func() { defer close(done); f.Run(t.Context()) }()
	t.Cleanup(func() { <-done })
	return site{lan: l.member, wan: w}
}

// lanMember is a server in the LAN pool.
type lanMember struct {
	member
	servers func() []gossip.Server
}

func startLAN(t *testing.T, network *gossiptest.Network, node, dc, ip string, changed func()) lanMember {
	t.Helper()
	l, err := lan.New(lan.Config{NodeName: node, NodeID: "id-of-" + node, Datacenter: dc,
		Server:  &gossip.ServerTags{Port: 8300, WANJoinPort: 8302},
		Options: gossip.Options{Transport: network.Listen(ip + ":8301"), Log: gossiptest.Logger(t)}})
	if err != nil {
		t.Fatal(err)
	}
	w := gossiptest.NewWatch(t, l.Pool, gossip.Handler{Member: func(serf.EventType, serf.Member) { changed() }})
	return lanMember{member{&Pool{Pool: l.Pool}, w}, l.Servers}
}

func TestLANServersAreFloodedIntoTheWAN(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		s1 := startSite(t, network, "s1", "shanghai", "127.0.0.1")
		s2 := startSite(t, network, "s2", "shanghai", "127.0.0.2")
		b1 := startSite(t, network, "b1", "beijing", "127.0.1.1")
		b2 := startSite(t, network, "b2", "beijing", "127.0.1.2")
		mustJoin(t, s2.lan, s1.lan.addr())
		mustJoin(t, b2.lan, b1.lan.addr())
		mustJoin(t, s1.wan, b2.wan.addr())
		for _, s := range []site{s1, s2, b1, b2} {
			for _, name := range []string{"s1.shanghai", "s2.shanghai", "b1.beijing", "b2.beijing"} {
				s.wan.UntilStatus(t, name, serf.StatusAlive)
			}
		}

		// A server whose WAN pool is late is looked for again every minute, though
		// nothing more happens in the LAN.
		late := startLAN(t, network, "s3", "shanghai", "127.0.0.3", func() {})
		mustJoin(t, late.member, s1.lan.addr())
		s1.lan.UntilStatus(t, "s3", serf.StatusAlive)
		time.Sleep(5 * time.Minute)
		w := start(t, network, "s3", "shanghai", "127.0.0.3:8302")
		w.UntilStatus(t, "b1.beijing", serf.StatusAlive)
		b2.wan.UntilStatus(t, "s3.shanghai", serf.StatusAlive)
	})
}

func TestWhatOneServerLearnsAllKnowAtOnce(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		var sites []site
		for i, dc := range []string{"shanghai", "beijing"} {
			for n := range 7 {
				sites = append(sites, startSite(t, network, fmt.Sprintf("s%d", n), dc, fmt.Sprintf("127.0.%d.%d", i, n+1)))
				mustJoin(t, sites[7*i+n].lan, sites[7*i].lan.addr())
			}
		}
		for _, s := range sites {
			s.wan.Until(t, "its datacenter is complete", func() bool { return len(s.wan.Servers()) == 7 })
		}
		mustJoin(t, sites[0].wan, sites[7].wan.addr())
		met := time.Now()
		for _, s := range sites {
			s.wan.Until(t, "all are known", func() bool { return len(s.wan.Servers()) == 14 })
		}
		// In the bubble's time exchanging lists takes none, and gossip takes its interval.
		if took := time.Since(met); took >= profile(false).GossipInterval {
			t.Errorf("that took %v", took)
		}
	})
}

func TestPokedFlooderDoesNotWait(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		w := start(t, network, "a", "shanghai", "127.0.0.1:8302")
		looks := make(chan time.Time)
		f := NewFlooder(w.Pool, func() []gossip.Server { looks <- time.Now(); return nil }, gossiptest.Logger(t))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); f.Run(ctx) }()
		first := <-looks
		f.Poke()
		if second := <-looks; !second.Equal(first) {
			t.Errorf("looked %v after the poke", second.Sub(first))
		}
		if third := <-looks; third.Sub(first) != time.Minute {
			t.Errorf("looked %v later by itself, want a minute", third.Sub(first))
		}
		cancel()
		<-done
	})
}

func TestTimersAreThoseOfThePeers(t *testing.T) {
	p := profile(false)
	got := []time.Duration{p.ProbeInterval, p.ProbeTimeout, p.GossipInterval, p.PushPullInterval, p.TCPTimeout, p.GossipToTheDeadTime}
	want := []time.Duration{5 * time.Second, 3 * time.Second, time.Second / 2, time.Minute, 30 * time.Second, time.Minute}
	if !slices.Equal(got, want) || p.SuspicionMult != 6 || p.RetransmitMult != 4 || p.GossipNodes != 3 {
		t.Errorf("timers are %v, %d, %d, %d", got, p.SuspicionMult, p.RetransmitMult, p.GossipNodes)
	}
}
