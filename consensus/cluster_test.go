package consensus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// journal is the state machine of these tests: all commands in order, each with its
// index.
type journal struct {
	mu      sync.Mutex
	state   journalState
	changed chan struct{}
}

type journalState struct {
	Index uint64
	Rows  []row
}

type row struct {
	Index uint64
	Text  string
}

func newJournal() *journal { return &journal{changed: make(chan struct{})} }

func (j *journal) Apply(l *raft.Log) any { return j.ApplyBatch([]*raft.Log{l})[0] }

func (j *journal) ApplyBatch(logs []*raft.Log) []any {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]any, len(logs))
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		j.state.Rows = append(j.state.Rows, row{l.Index, string(l.Data)})
		j.state.Index = l.Index
		out[i] = len(j.state.Rows)
	}
	j.wakeLocked()
	return out
}

func (j *journal) wakeLocked() {
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *journal) AppliedIndex() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.Index
}

func (j *journal) WaitApplied(ctx context.Context, index uint64) error {
	for {
		j.mu.Lock()
		at, changed := j.state.Index, j.changed
		j.mu.Unlock()
		if at >= index {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (j *journal) texts() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []string
	for _, r := range j.state.Rows {
		out = append(out, r.Text)
	}
	return out
}

func (j *journal) Snapshot() (raft.FSMSnapshot, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return journalState{j.state.Index, slices.Clone(j.state.Rows)}, nil
}

func (j *journal) Restore(r io.ReadCloser) error {
	defer r.Close()
	var s journalState
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state = s
	j.wakeLocked()
	return nil
}

func (s journalState) Persist(sink raft.SnapshotSink) error {
	if err := json.NewEncoder(sink).Encode(s); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (s journalState) Release() {}

// cluster is some nodes and the network between them.
type cluster struct {
	mu     sync.Mutex
	net    map[raft.ServerAddress]raft.LoopbackTransport
	nodes  map[raft.ServerID]*member
	frozen map[raft.ServerID]chan struct{} // closed at the thaw
	cut    map[raft.ServerID]bool
	asked  map[raft.ServerID]int // ConfirmTerm calls that reached a server
}

type member struct {
	*Node
	journal *journal
	server  raft.Server
}

func newCluster() *cluster {
	return &cluster{
		net:    map[raft.ServerAddress]raft.LoopbackTransport{},
		nodes:  map[raft.ServerID]*member{},
		frozen: map[raft.ServerID]chan struct{}{},
		cut:    map[raft.ServerID]bool{},
		asked:  map[raft.ServerID]int{},
	}
}

// start opens a node of the cluster over a pipe network; dir may be empty.
func (c *cluster) start(t testing.TB, name, dir string, change ...func(*Config)) *member {
	t.Helper()
	addr, trans := raft.NewInmemTransport(raft.ServerAddress(name + ":8300"))
	cfg := Config{DataDir: dir, NodeID: name, Transport: trans}
	for _, f := range change {
		f(&cfg)
	}
	m := c.open(t, addr, cfg)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.net[addr] = trans
	c.nodes[m.id] = m
	c.rewireLocked()
	return m
}

func (c *cluster) open(t testing.TB, addr raft.ServerAddress, cfg Config) *member {
	t.Helper()
	j := newJournal()
	cfg.FSM = j
	cfg.Peers = link{c, raft.ServerID(cfg.NodeID)}
	cfg.Log = testLog(t, cfg.NodeID)
	n, err := Open(cfg)
	if err != nil {
		t.Fatalf("open %s: %v", cfg.NodeID, err)
	}
	m := &member{Node: n, journal: j, server: raft.Server{ID: n.id, Address: addr}}
	t.Cleanup(func() { m.stop(t) })
	return m
}

func (m *member) stop(t testing.TB) {
	t.Helper()
	if err := m.Shutdown(); err != nil {
		t.Errorf("shutdown %s: %v", m.id, err)
	}
}

// rewireLocked connects the pipes as the cuts have it.
func (c *cluster) rewireLocked() {
	for _, a := range c.nodes {
		for _, b := range c.nodes {
			if a == b {
				continue
			}
			if c.cut[a.id] || c.cut[b.id] {
				c.net[a.server.Address].Disconnect(b.server.Address)
			} else {
				c.net[a.server.Address].Connect(b.server.Address, c.net[b.server.Address])
			}
		}
	}
}

// isolate cuts a server from all others, or joins it to them again.
func (c *cluster) isolate(id raft.ServerID, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut[id] = cut
	c.rewireLocked()
}

// kill ends a node for good.
func (c *cluster) kill(t testing.TB, m *member) {
	t.Helper()
	m.stop(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nodes, m.id)
	for _, other := range c.nodes {
		c.net[other.server.Address].Disconnect(m.server.Address)
	}
}

func (c *cluster) bootstrap(t testing.TB, on *member) {
	t.Helper()
	var servers []raft.Server
	for _, id := range slices.Sorted(maps.Keys(c.nodes)) {
		servers = append(servers, c.nodes[id].server)
	}
	if err := on.Bootstrap(servers); err != nil {
		t.Fatal(err)
	}
}

// three starts a bootstrapped cluster of three in memory.
func three(t testing.TB) (*cluster, []*member) {
	t.Helper()
	c := newCluster()
	ms := []*member{c.start(t, "a", ""), c.start(t, "b", ""), c.start(t, "c", "")}
	c.bootstrap(t, ms[0])
	return c, ms
}

// leader waits until one of the nodes leads and has finished a read.
func leader(t testing.TB, nodes ...*member) *member {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		changed := nodes[0].LeaderChanged()
		for _, m := range nodes {
			if m.IsLeader() {
				if _, err := m.LeaderReadIndex(t.Context()); err == nil {
					return m
				}
			}
		}
		select {
		case <-changed:
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatal("no leader after a minute")
	return nil
}

// except returns the others.
func except(m *member, nodes []*member) []*member {
	return slices.DeleteFunc(slices.Clone(nodes), func(o *member) bool { return o == m })
}

func put(t testing.TB, m *member, text string) uint64 {
	t.Helper()
	_, index, err := m.Propose(t.Context(), []byte(text))
	if err != nil {
		t.Fatalf("propose %q on %s: %v", text, m.id, err)
	}
	return index
}

// link is the Peers of one server: direct calls, under the faults of the cluster.
type link struct {
	c    *cluster
	from raft.ServerID
}

// reach returns the node, waits while either end is frozen, and fails on a cut.
func (l link) reach(ctx context.Context, id raft.ServerID) (*member, error) {
	for {
		l.c.mu.Lock()
		m := l.c.nodes[id]
		frozen := l.c.frozen[id]
		if frozen == nil {
			frozen = l.c.frozen[l.from]
		}
		cut := l.c.cut[id] || l.c.cut[l.from]
		l.c.mu.Unlock()
		switch {
		case m == nil:
			return nil, fmt.Errorf("connection to %s refused", id)
		case frozen == nil && !cut:
			return m, nil
		}
		select { // a cut loses packets: nothing comes back
		case <-frozen:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l link) ConfirmTerm(ctx context.Context, to raft.Server, term uint64) (bool, error) {
	m, err := l.reach(ctx, to.ID)
	if err != nil {
		return false, err
	}
	l.c.mu.Lock()
	l.c.asked[to.ID]++
	l.c.mu.Unlock()
	return m.ConfirmTerm(to.ID, term), nil
}

func (l link) ReadIndex(ctx context.Context, to raft.Server) (uint64, error) {
	m, err := l.reach(ctx, to.ID)
	if err != nil {
		return 0, err
	}
	return m.LeaderReadIndex(ctx)
}

// testLog writes to the test's output, which is shown when it fails.
func testLog(t testing.TB, name string) hclog.Logger {
	level := hclog.Info
	if _, bench := t.(*testing.B); bench {
		level = hclog.Error
	}
	return hclog.New(&hclog.LoggerOptions{Name: name, Output: t.Output(), Level: level})
}
