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
	"sync/atomic"
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

// cluster is some nodes, and the network between them with its faults.
type cluster struct {
	nodes map[raft.ServerID]*member // under mu; not changed while the nodes are busy
	asked atomic.Int64              // ConfirmTerm calls that reached a server

	latency  time.Duration // of every packet; set before there is any traffic
	raftOnly bool          // our own calls are spared the faults; likewise

	mu    sync.Mutex
	cut   map[way]bool
	delay map[way]time.Duration
	held  map[raft.ServerID]chan struct{} // closed at the thaw
}

// way is one direction between two servers.
type way struct{ from, to raft.ServerID }

type member struct {
	*Node
	journal *journal
	server  raft.Server
	trans   *raft.InmemTransport
}

func newCluster() *cluster {
	return &cluster{
		nodes: map[raft.ServerID]*member{},
		cut:   map[way]bool{},
		delay: map[way]time.Duration{},
		held:  map[raft.ServerID]chan struct{}{},
	}
}

// start opens a node of the cluster over a pipe network; dir may be empty.
func (c *cluster) start(t testing.TB, name, dir string, change ...func(*Config)) *member {
	t.Helper()
	addr, trans := raft.NewInmemTransportWithTimeout(raft.ServerAddress(name+":8300"), time.Minute)
	cfg := Config{DataDir: dir, NodeID: name, Transport: wire{trans, c, raft.ServerID(name)}}
	for _, f := range change {
		f(&cfg)
	}
	m := c.open(t, addr, cfg)
	m.trans = trans
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.nodes {
		trans.Connect(other.server.Address, other.trans)
		other.trans.Connect(addr, trans)
	}
	c.nodes[m.id] = m
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

// cutWay loses all packets in one direction, or stops to.
func (c *cluster) cutWay(from, to raft.ServerID, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut[way{from, to}] = cut
}

// isolate cuts a server from all others, or joins it to them again.
func (c *cluster) isolate(id raft.ServerID, cut bool) {
	for other := range c.nodes {
		c.cutWay(id, other, cut)
		c.cutWay(other, id, cut)
	}
}

// delayWay makes packets in one direction late.
func (c *cluster) delayWay(from, to raft.ServerID, by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay[way{from, to}] = by
}

// freeze holds all packets to and from a server until the returned thaw.
func (c *cluster) freeze(id raft.ServerID) (thaw func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := make(chan struct{})
	c.held[id] = held
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.held, id)
		close(held)
	}
}

// heal ends all cuts and delays.
func (c *cluster) heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.cut)
	clear(c.delay)
}

// hop takes as long as a packet does, and fails if it is lost.
func (c *cluster) hop(ctx context.Context, from, to raft.ServerID) error {
	c.mu.Lock()
	held, delay := c.held[from], c.latency+c.delay[way{from, to}]
	if held == nil {
		held = c.held[to]
	}
	c.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c.mu.Lock()
	lost := c.cut[way{from, to}]
	c.mu.Unlock()
	if !lost {
		return nil
	}
	select {
	case <-time.After(500 * time.Millisecond):
		return fmt.Errorf("no answer: packets from %s to %s are lost", from, to)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// both carries a question there and an answer back.
func (c *cluster) both(ctx context.Context, from, to raft.ServerID, call func() error) error {
	if err := c.hop(ctx, from, to); err != nil {
		return err
	}
	err := call()
	if err := c.hop(ctx, to, from); err != nil {
		return err
	}
	return err
}

// wire is raft's transport of one server in the cluster.
type wire struct {
	*raft.InmemTransport
	c    *cluster
	from raft.ServerID
}

func (w wire) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

func (w wire) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest, rep *raft.AppendEntriesResponse) error {
	return w.c.both(context.Background(), w.from, id, func() error { return w.InmemTransport.AppendEntries(id, to, req, rep) })
}

func (w wire) RequestVote(id raft.ServerID, to raft.ServerAddress, req *raft.RequestVoteRequest, rep *raft.RequestVoteResponse) error {
	return w.c.both(context.Background(), w.from, id, func() error { return w.InmemTransport.RequestVote(id, to, req, rep) })
}

func (w wire) RequestPreVote(id raft.ServerID, to raft.ServerAddress, req *raft.RequestPreVoteRequest, rep *raft.RequestPreVoteResponse) error {
	return w.c.both(context.Background(), w.from, id, func() error { return w.InmemTransport.RequestPreVote(id, to, req, rep) })
}

// kill ends a node for good.
func (c *cluster) kill(t testing.TB, m *member) {
	t.Helper()
	m.stop(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nodes, m.id)
	for _, other := range c.nodes {
		other.trans.Disconnect(m.server.Address)
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

func (l link) node(id raft.ServerID) (*member, error) {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if m := l.c.nodes[id]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("connection to %s refused", id)
}

func (l link) call(ctx context.Context, to raft.ServerID, f func() error) error {
	if l.c.raftOnly {
		return f()
	}
	return l.c.both(ctx, l.from, to, f)
}

func (l link) ConfirmTerm(ctx context.Context, to raft.Server, term uint64) (yes bool, err error) {
	err = l.call(ctx, to.ID, func() error {
		m, err := l.node(to.ID)
		if err != nil {
			return err
		}
		l.c.asked.Add(1)
		yes = m.ConfirmTerm(to.ID, term)
		return nil
	})
	return yes, err
}

func (l link) ReadIndex(ctx context.Context, to raft.Server, from raft.ServerID, term uint64) (index uint64, err error) {
	err = l.call(ctx, to.ID, func() error {
		m, err := l.node(to.ID)
		if err != nil {
			return err
		}
		index, err = m.ReadIndexFor(ctx, from, term)
		return err
	})
	return index, err
}

// testLog writes to the test's output, which is shown when it fails.
func testLog(t testing.TB, name string) hclog.Logger {
	level := hclog.Info
	if _, bench := t.(*testing.B); bench {
		level = hclog.Error
	}
	return hclog.New(&hclog.LoggerOptions{Name: name, Output: t.Output(), Level: level})
}
