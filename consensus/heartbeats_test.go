package consensus

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// lateFollower is a leader's transport, and a follower that nothing runs yet.
type lateFollower struct {
	leader  *networkTransport
	address raft.ServerAddress
	closed  chan struct{}
	changed chan struct{}
}

func newLateFollower(t *testing.T) *lateFollower {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	trans, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, 10*time.Second, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trans.Close() })
	f := &lateFollower{address: raft.ServerAddress(l.Addr().String()), closed: make(chan struct{}), changed: make(chan struct{})}
	f.leader = &networkTransport{NetworkTransport: trans, closed: f.closed, leaderChanged: func() <-chan struct{} { return f.changed }}
	return f
}

// start runs the follower, which takes everything.
func (f *lateFollower) start(t *testing.T) {
	t.Helper()
	trans, err := raft.NewTCPTransport(string(f.address), nil, 1, 10*time.Second, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trans.Close() })
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

func (f *lateFollower) beat(term uint64) error {
	return f.leader.AppendEntries("b", f.address, &raft.AppendEntriesRequest{Term: term}, new(raft.AppendEntriesResponse))
}

func (f *lateFollower) entries(term uint64) error {
	req := &raft.AppendEntriesRequest{Term: term, Entries: []*raft.Log{{Index: 1, Term: term}}}
	return f.leader.AppendEntries("b", f.address, req, new(raft.AppendEntriesResponse))
}

func (f *lateFollower) snapshot(term uint64) error {
	req := &raft.InstallSnapshotRequest{Term: term}
	return f.leader.InstallSnapshot("b", f.address, req, new(raft.InstallSnapshotResponse), new(bytes.Buffer))
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
		"a transport that is closed":  {3, func(f *lateFollower) { close(f.closed) }},
		"the silence of another term": {4, func(f *lateFollower) {}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newLateFollower(t)
			if err := f.beat(3); err == nil {
				t.Fatal("a heartbeat was answered by nobody")
			}
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
