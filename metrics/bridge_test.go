package metrics

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/serf/serf"
)

// bridged returns a registry that go-metrics writes to until the test ends.
func bridged(t *testing.T) *Registry {
	t.Helper()
	r := fresh(t)
	release, err := r.Bridge()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return r
}

// sum is a state machine that raft can drive.
type sum struct{ total int }

func (s *sum) Apply(l *raft.Log) any               { s.total += len(l.Data); return s.total }
func (s *sum) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("not asked for") }
func (s *sum) Restore(r io.ReadCloser) error       { return r.Close() }

func TestRaftShowsUnderTheNamesThatBoardsChart(t *testing.T) {
	r := bridged(t)
	conf := raft.DefaultConfig()
	conf.LocalID = "a"
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	conf.LogOutput = io.Discard
	addr, trans := raft.NewInmemTransport("")
	store := raft.NewInmemStore()
	servers := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: addr}}}
	snaps := raft.NewInmemSnapshotStore()
	if err := raft.BootstrapCluster(conf, store, store, snaps, trans, servers); err != nil {
		t.Fatal(err)
	}
	node, err := raft.NewRaft(conf, &sum{}, store, store, snaps, trans)
	if err != nil {
		t.Fatal(err)
	}
	<-node.LeaderCh()
	if err := node.Apply([]byte("x"), time.Minute).Error(); err != nil {
		t.Fatal(err)
	}
	if err := node.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}

	got := scrape(t, r)
	got.has(t, "consul_raft_apply", "counter")
	got.has(t, "consul_raft_state_leader", "counter")
	got.has(t, "consul_raft_state_candidate", "counter")
	got.has(t, "consul_raft_commitTime", "summary")
	got.has(t, "consul_raft_fsm_apply", "summary")
	got.has(t, "consul_raft_commitNumLogs", "gauge")
	if v := got.value(t, "consul_raft_peers"); v != 1 {
		t.Errorf("consul_raft_peers is %v in a cluster of one", v)
	}
}

func TestSerfAndMemberlistShow(t *testing.T) {
	r := bridged(t)
	joined := make(chan serf.Event, 16)
	first := gossip(t, "a", nil)
	second := gossip(t, "b", joined)
	port := first.Memberlist().LocalNode().Port
	if _, err := second.Join([]string{(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}).String()}, true); err != nil {
		t.Fatal(err)
	}
	for seen := 0; seen < 2; {
		e := <-joined
		if m, ok := e.(serf.MemberEvent); ok && m.Type == serf.EventMemberJoin {
			seen += len(m.Members)
		}
	}

	got := scrape(t, r)
	got.has(t, "consul_serf_member_join", "counter")
	got.has(t, "consul_memberlist_tcp_connect", "counter")
	got.has(t, "consul_memberlist_pushPullNode", "summary")
	for name, f := range got {
		for _, m := range f.GetMetric() {
			if name == "consul_serf_member_join" && (len(m.Label) != 1 || m.Label[0].GetName() != "network" || m.Label[0].GetValue() != "lan") {
				t.Errorf("%s has labels %v, want the network it was given", name, m.Label)
			}
		}
	}
}

// gossip starts a serf member on loopback.
func gossip(t *testing.T, name string, events chan<- serf.Event) *serf.Serf {
	t.Helper()
	conf := serf.DefaultConfig()
	conf.NodeName = name
	conf.EventCh = events
	conf.LogOutput = io.Discard
	conf.MetricLabels = []gometrics.Label{{Name: "network", Value: "lan"}}
	conf.MemberlistConfig.BindAddr = "127.0.0.1"
	conf.MemberlistConfig.BindPort = 0
	conf.MemberlistConfig.LogOutput = io.Discard
	s, err := serf.Create(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestOneRegistryHoldsTheBridge(t *testing.T) {
	first, second := fresh(t), fresh(t)
	release, err := first.Bridge()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Bridge(); err != nil {
		t.Errorf("the holder asks again: %v", err)
	}
	if _, err := second.Bridge(); !errors.Is(err, ErrBridged) {
		t.Fatalf("a second registry got %v, want ErrBridged", err)
	}
	gometrics.IncrCounter([]string{"kvs", "told"}, 1)
	release()
	gometrics.IncrCounter([]string{"kvs", "told"}, 1) // to nobody

	releaseSecond, err := second.Bridge()
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	release() // late and by the wrong one
	gometrics.IncrCounter([]string{"kvs", "told"}, 2)
	releaseSecond()

	if v := scrape(t, first).value(t, "consul_kvs_told"); v != 1 {
		t.Errorf("the first saw %v, want 1", v)
	}
	if v := scrape(t, second).value(t, "consul_kvs_told"); v != 2 {
		t.Errorf("the second saw %v, want 2", v)
	}
}
