package consensus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// StateMachine is the replicated state that the log drives. Package store satisfies
// it. Restore replaces all of it.
type StateMachine interface {
	raft.BatchingFSM

	// AppliedIndex is the log index of the last command the state holds. It may lag
	// behind raft's own count, which includes entries that carry no command.
	AppliedIndex() uint64

	// WaitApplied blocks until AppliedIndex is at least index, or ctx ends.
	WaitApplied(ctx context.Context, index uint64) error
}

// Peers are the calls that a node makes to other servers beside raft's own. Package
// server implements them over the forwarder.
type Peers interface {
	// ConfirmTerm asks to whether its current term is still term; the other side
	// answers with [Node.ConfirmTerm].
	ConfirmTerm(ctx context.Context, to raft.Server, term uint64) (bool, error)

	// ReadIndex asks the leader for an index; it answers with [Node.ReadIndexFor].
	// from is the server that asks, and term its term as of the call.
	ReadIndex(ctx context.Context, leader raft.Server, from raft.ServerID, term uint64) (uint64, error)
}

// Config says how to assemble a Node.
type Config struct {
	// DataDir is where the log and the snapshots live; empty keeps all in memory.
	DataDir string

	// Lock is the lock on DataDir if the caller took it; otherwise the node does,
	// and frees it at its end.
	Lock *DirLock

	// NodeID identifies this server for all time.
	NodeID string

	// Timeout is the heartbeat, election and leader lease timeout; 0 means
	// [DefaultTimeout]. All servers of a datacenter have the same.
	Timeout time.Duration

	// SnapshotThreshold is the number of entries after which a snapshot is taken, and
	// TrailingLogs how many stay in the log behind it for slow followers;
	// SnapshotInterval is how often the former is looked at. 0 means raft's default
	// (8192, 10240, 2 minutes).
	SnapshotThreshold uint64
	TrailingLogs      uint64
	SnapshotInterval  time.Duration

	Log   hclog.Logger
	FSM   StateMachine
	Peers Peers

	// Streams are the connections of raft on the server port; its address is the one
	// that others dial. Addresses, if set, knows where a server is by its ID when it
	// has moved since it was added. Transport replaces both, for tests. The node closes
	// what it was given.
	Streams   raft.StreamLayer
	Addresses raft.ServerAddressProvider
	Transport raft.Transport
}

// DefaultTimeout is that of a raft_multiplier of 1. Consul's scale is the same with a
// multiplier of 5.
const DefaultTimeout = 350 * time.Millisecond

// minTimeout is the least that raft takes.
const minTimeout = 5 * time.Millisecond

// snapshotsKept is how many snapshots stay on disk.
const snapshotsKept = 2

func (c *Config) validate() error {
	var errs []error
	if c.NodeID == "" {
		errs = append(errs, errors.New("the node ID is empty: give this server an ID that stays"))
	}
	if c.FSM == nil {
		errs = append(errs, errors.New("no state machine is given"))
	}
	if c.Peers == nil {
		errs = append(errs, errors.New("no way to call other servers is given"))
	}
	if (c.Streams == nil) == (c.Transport == nil) {
		errs = append(errs, errors.New("either streams or a transport must be given, not both"))
	}
	if c.Timeout != 0 && c.Timeout < minTimeout {
		errs = append(errs, fmt.Errorf("the timeout is %v: use at least %v", c.Timeout, minTimeout))
	}
	return errors.Join(errs...)
}

// Node is one server's part in the log. All methods may be called concurrently.
type Node struct {
	raft  *raft.Raft
	fsm   StateMachine
	peers Peers
	log   hclog.Logger
	id    raft.ServerID

	started  time.Time
	timeout  time.Duration // one election timeout
	hadState bool          // before this start
	snaps    raft.SnapshotStore
	trans    raft.Transport
	hangUp   func() error // ends what trans has under way; nil if trans was given
	// silent tells whether a follower left the last heartbeat of this term unanswered.
	silent func(raft.ServerID) bool

	ctx    context.Context // ends with the node
	cancel context.CancelFunc
	tasks  tasks // what we run; ends with ctx
	waits  tasks // waits for raft's futures
	end    sync.Once
	endErr error
	stops  []func() error // in the order they were opened

	leadership leadership
	readyTerm  atomic.Uint64 // the term whose barrier has passed here
	announcer  announcer
	confirms   confirmer
	leaderSide rounds // "am I still the leader, and at what index"
	otherSide  rounds // "leader, at what index are you"
}

// Open starts a node. A server without state waits for [Node.Bootstrap] or for the
// leader of others to add it.
func Open(cfg Config) (_ *Node, err error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("consensus: %w", err)
	}
	n := &Node{
		fsm: cfg.FSM, peers: cfg.Peers, id: raft.ServerID(cfg.NodeID),
		log: cfg.Log, started: time.Now(),
		timeout: cmp.Or(cfg.Timeout, DefaultTimeout),
	}
	n.leadership.changed = make(chan struct{})
	if n.log == nil {
		n.log = hclog.NewNullLogger()
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			n.cancel()
			err = errors.Join(err, n.closeAll())
		}
	}()

	conf := n.raftConfig(cfg)
	n.trans = n.openTransport(cfg)
	stores, err := n.openStores(cfg)
	if err != nil {
		return nil, err
	}
	n.snaps = stores.snaps
	n.hadState, err = raft.HasExistingState(stores.logs, stores.stable, stores.snaps)
	if err != nil {
		return nil, fmt.Errorf("consensus: look for existing state: %w", err)
	}
	if cfg.DataDir != "" {
		if err := recoverPeers(cfg.DataDir, conf, n.fsm, stores, n.trans, n.log); err != nil {
			return nil, err
		}
	}
	notify := make(chan bool, 16)
	conf.NotifyCh = notify
	n.raft, err = raft.NewRaft(conf, n.fsm, stores.logs, stores.stable, stores.snaps, n.trans)
	if err != nil {
		return nil, fmt.Errorf("consensus: start raft: %w", err)
	}
	n.leaderSide = rounds{tasks: &n.tasks, ask: n.confirmLeadership, limit: n.roundContext}
	n.otherSide = rounds{tasks: &n.tasks, ask: n.askLeader, limit: n.roundContext}
	n.announcer.wake = make(chan struct{}, 1)
	n.watchLeadership(notify)
	n.tasks.run(n.announceCommits)
	n.standAlone()
	return n, nil
}

func (n *Node) raftConfig(cfg Config) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = n.id
	conf.Logger = n.log.Named("raft")
	conf.HeartbeatTimeout = n.timeout
	conf.ElectionTimeout = n.timeout
	conf.LeaderLeaseTimeout = n.timeout
	conf.CommitTimeout = n.timeout // commits are announced by us; see [announcer]
	conf.ShutdownOnRemove = false  // a removed server still answers, and can be added again
	conf.NoLegacyTelemetry = true
	if cfg.SnapshotThreshold > 0 {
		conf.SnapshotThreshold = cfg.SnapshotThreshold
	}
	if cfg.TrailingLogs > 0 {
		conf.TrailingLogs = cfg.TrailingLogs
	}
	if cfg.SnapshotInterval > 0 {
		conf.SnapshotInterval = cfg.SnapshotInterval
	}
	return conf
}

// stores are the three things raft keeps on disk, or in memory.
type stores struct {
	logs   raft.LogStore
	stable raft.StableStore
	snaps  raft.SnapshotStore
}

func (n *Node) openStores(cfg Config) (stores, error) {
	if cfg.DataDir == "" {
		mem := raft.NewInmemStore()
		return stores{logs: mem, stable: mem, snaps: raft.NewInmemSnapshotStore()}, nil
	}
	if cfg.Lock == nil {
		lock, err := LockDir(cfg.DataDir)
		if err != nil {
			return stores{}, err
		}
		n.stops = append(n.stops, lock.Unlock)
	}
	dir := filepath.Join(cfg.DataDir, "raft")
	walDir, snapDir := filepath.Join(dir, "wal"), filepath.Join(dir, "snapshots")
	for _, d := range []string{walDir, snapDir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return stores{}, fmt.Errorf("consensus: %w; give the user of this process the right to write in %s", err, cfg.DataDir)
		}
	}
	w, err := openWAL(walDir, n.log)
	if err != nil {
		return stores{}, fmt.Errorf("consensus: %w", err)
	}
	n.stops = append(n.stops, w.Close)
	snaps, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, n.log.Named("snapshots"))
	if err != nil {
		return stores{}, fmt.Errorf("consensus: open snapshots in %s: %w", snapDir, err)
	}
	if err := checkContinuity(snapDir, snaps, w, n.log); err != nil {
		return stores{}, fmt.Errorf("consensus: %w", err)
	}
	cache, err := raft.NewLogCache(logCache, w)
	if err != nil {
		return stores{}, fmt.Errorf("consensus: %w", err)
	}
	return stores{logs: cache, stable: w, snaps: snaps}, nil
}

// HasState says whether there was a log, a snapshot, or a term before this start:
// then the server belongs to a cluster and must not be bootstrapped.
func (n *Node) HasState() bool { return n.hadState || n.raft.LastIndex() > 0 }

// Shutdown ends the node and everything it started, and frees the data directory.
// Proposals in flight end with ErrOutcomeUnknown.
func (n *Node) Shutdown() error {
	n.end.Do(func() {
		// raft leaves commands that it committed but did not apply yet without an
		// answer, so those that can end are given the time to.
		select {
		case <-n.waits.close():
		case <-time.After(n.timeout):
		}
		err := n.endRaft()
		n.cancel()
		<-n.tasks.close()
		n.endErr = errors.Join(err, n.closeAll())
	})
	return n.endErr
}

// endRaft hangs up on servers that do not answer any more, which raft would wait for.
func (n *Node) endRaft() error {
	f := n.raft.Shutdown()
	ended := make(chan error, 1)
	go func() { ended <- f.Error() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(n.timeout):
	}
	if n.hangUp == nil {
		return <-ended
	}
	return errors.Join(n.hangUp(), <-ended)
}

func (n *Node) closeAll() error {
	var errs []error
	for i := len(n.stops) - 1; i >= 0; i-- {
		errs = append(errs, n.stops[i]())
	}
	return errors.Join(errs...)
}
