package consensus

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// lateFollower is a leader's transport, and a follower that nothing runs yet.
type lateFollower struct {
	leader  *networkTransport
	runs    chan struct{} // closed at the start
	streams net.Listener
	closed  chan struct{}
	leading bool
	member  bool
	changed chan struct{}
}

func newLateFollower(t *testing.T) *lateFollower {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	f := &lateFollower{
		runs: make(chan struct{}), streams: listen(),
		closed: make(chan struct{}), leading: true, member: true, changed: make(chan struct{}),
	}
	trans := raft.NewNetworkTransport(refused{tcpStreams{listen()}, f.runs}, 1, 10*time.Second, nil)
	t.Cleanup(func() { trans.Close() })
	f.leader = &networkTransport{
		NetworkTransport: trans, closed: f.closed, member: func(raft.ServerID) bool { return f.member },
		leading: func() (bool, <-chan struct{}) { return f.leading, f.changed },
	}
	return f
}

// refused are streams that cannot be dialled yet. A port that nobody listens on might be
// anybody's a moment later.
type refused struct {
	tcpStreams
	until <-chan struct{}
}

func (r refused) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	select {
	case <-r.until:
		return r.tcpStreams.Dial(addr, timeout)
	default:
		return nil, errors.New("connection refused")
	}
}

// start runs the follower, which takes everything.
func (f *lateFollower) start(t *testing.T) {
	t.Helper()
	trans := raft.NewNetworkTransport(tcpStreams{f.streams}, 1, 10*time.Second, nil)
	t.Cleanup(func() { trans.Close() })
	close(f.runs)
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for {
			select {
			case call := <-trans.Consumer():
				if _, snapshot := call.Command.(*raft.InstallSnapshotRequest); snapshot {
					call.Respond(&raft.InstallSnapshotResponse{Success: true}, nil)
				} else {
					call.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
				}
			case <-stop:
				return
			}
		}
	}()
}

func (f *lateFollower) address() raft.ServerAddress {
	return raft.ServerAddress(f.streams.Addr().String())
}

func (f *lateFollower) beat(term uint64) error {
	return f.leader.AppendEntries("b", f.address(), &raft.AppendEntriesRequest{Term: term}, new(raft.AppendEntriesResponse))
}

func (f *lateFollower) entries(term uint64) error {
	req := &raft.AppendEntriesRequest{Term: term, Entries: []*raft.Log{{Index: 1, Term: term}}}
	return f.leader.AppendEntries("b", f.address(), req, new(raft.AppendEntriesResponse))
}

func (f *lateFollower) snapshot(term uint64) error {
	req := &raft.InstallSnapshotRequest{Term: term}
	return f.leader.InstallSnapshot("b", f.address(), req, new(raft.InstallSnapshotResponse), new(bytes.Buffer))
}

func TestEntriesWaitForASilentFollower(t *testing.T) {
	for name, send := range map[string]func(*lateFollower, uint64) error{
		"entries": (*lateFollower).entries, "a snapshot": (*lateFollower).snapshot,
	} {
		t.Run(name, func(t *testing.T) {
			f := newLateFollower(t)
			if err := send(f, 3); err == nil {
				t.Fatal("sent to nobody")
			}
			for range 2 {
				if err := f.beat(3); err == nil {
					t.Fatal("a heartbeat was answered by nobody")
				}
			}
			ended := make(chan error, 1)
			go func() { ended <- send(f, 3) }()
			f.start(t)
			if err := f.beat(3); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Errorf("it did not wait: %v", err)
			}
			if err := send(f, 3); err != nil {
				t.Errorf("the next: %v", err)
			}
		})
	}
}

func TestEntriesDoNotWaitFor(t *testing.T) {
	for name, c := range map[string]struct {
		term uint64
		end  func(f *lateFollower)
	}{
		"another leader":              {3, func(f *lateFollower) { close(f.changed) }},
		"a server that leads no more": {3, func(f *lateFollower) {}},
		"one that is no member":       {3, func(f *lateFollower) {}},
		"a transport that is closed":  {3, func(f *lateFollower) { close(f.closed) }},
		"the silence of another term": {4, func(f *lateFollower) {}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newLateFollower(t)
			if err := f.beat(3); err == nil {
				t.Fatal("a heartbeat was answered by nobody")
			}
			f.leading, f.member = name != "a server that leads no more", name != "one that is no member"
			ended := make(chan error, 1)
			go func() { ended <- f.entries(c.term) }()
			c.end(f)
			select {
			case err := <-ended:
				if err == nil {
					t.Error("sent to nobody")
				}
			case <-time.After(patience / 2):
				t.Error("it waits")
			}
		})
	}
}

// raft beats in the name of an earlier term as long as it waits in that name.
func TestHeartbeatsOfAnEarlierTermSayNothingOfALaterOne(t *testing.T) {
	var h heartbeats
	h.note("b", 5, errors.New("connection refused"))
	answered := h.answered("b", 5)
	h.note("b", 3, errors.New("connection refused"))
	h.note("b", 3, nil)
	select {
	case <-answered:
		t.Error("the wait is over")
	default:
	}
	h.note("b", 5, nil)
	<-answered
}

// raft would take no writes while it waits for a server that does not answer.
func TestASilentServerIsNotMadeTheLeader(t *testing.T) {
	defer noGoroutines(t)
	c := newCluster()
	var nodes []*member
	for _, name := range []string{"a", "b", "c"} {
		nodes = append(nodes, c.startTCP(t, name, ""))
	}
	c.bootstrap(t, nodes[0])
	l := leader(t, nodes...)
	dead, alive := except(l, nodes)[0], except(l, nodes)[1]
	c.mu.Lock()
	delete(c.nodes, dead.id)
	c.mu.Unlock()
	dead.stop(t)
	put(t, l, "missed")
	for deadline := time.Now().Add(time.Minute); !l.silent(dead.id); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the silence is not noticed")
		}
	}
	for range 3 {
		if err := l.TransferLeadership(t.Context(), dead.server); !errors.Is(err, ErrSilent) {
			t.Errorf("transfer to a server that is gone: %v", err)
		}
		put(t, l, "taken")
	}
	if err := l.TransferLeadership(t.Context(), raft.Server{}); err != nil {
		t.Fatal(err)
	}
	if next := leader(t, l, alive); next != alive {
		t.Errorf("%s leads, want %s", next.id, alive.id)
	}
	for _, m := range nodes {
		m.stop(t)
	}
}
