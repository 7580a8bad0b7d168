package consensus

import (
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// patience is how long entries wait for a silent follower. raft counts a failure for
// each time this runs out, and pauses after it for up to ten seconds.
const patience = time.Minute

// lookAgain is how soon a wait learns that its follower was taken out of the log.
const lookAgain = time.Second

// heartbeats knows which followers left their last heartbeat without an answer, so that
// entries can wait for the next one that is answered.
//
// raft pauses ever longer between two attempts to send entries, up to ten seconds: a
// server that was gone for some seconds would stay behind for about as long again.
// Heartbeats go on all the time.
type heartbeats struct {
	mu     sync.Mutex
	silent map[raft.ServerID]silence
}

// silence is that of a follower in a term; answered is closed when it ends.
type silence struct {
	term     uint64
	answered chan struct{}
}

// note takes down how the heartbeat of a term ended. raft goes on with those of an earlier
// term as long as it waits in that term's name; they say nothing of this one's.
func (h *heartbeats) note(id raft.ServerID, term uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, silent := h.silent[id]
	if silent && (s.term > term || s.term == term && err != nil) {
		return
	}
	if silent {
		close(s.answered)
		delete(h.silent, id)
	}
	if err != nil {
		if h.silent == nil {
			h.silent = make(map[raft.ServerID]silence)
		}
		h.silent[id] = silence{term: term, answered: make(chan struct{})}
	}
}

// answered is closed once a follower that is silent in this term answers; nil if it is
// not silent.
func (h *heartbeats) answered(id raft.ServerID, term uint64) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.silent[id]; s.term == term {
		return s.answered
	}
	return nil
}

// isHeartbeat tells heartbeats by what they lack: entries and a place in the log.
func isHeartbeat(r *raft.AppendEntriesRequest) bool {
	return len(r.Entries) == 0 && r.PrevLogEntry == 0 && r.PrevLogTerm == 0 && r.LeaderCommitIndex == 0
}

// awaitAnswer waits while the follower is silent, as long as patience lasts, the follower
// is a member of the log, and this server is not heard to have lost its leadership. raft
// ends the heartbeats to a former member only after the wait.
func (t *networkTransport) awaitAnswer(id raft.ServerID, term uint64) {
	leading, changed := t.leading()
	answered := t.beats.answered(id, term)
	if answered == nil || !leading {
		return
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for t.member(id) {
		select {
		case <-answered:
			return
		case <-changed:
			return
		case <-t.closed:
			return
		case <-limit.C:
			return
		case <-look.C:
		}
	}
}

// AppendEntries implements [raft.Transport].
func (t *networkTransport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if isHeartbeat(args) {
		err := t.NetworkTransport.AppendEntries(id, target, args, resp)
		t.beats.note(id, args.Term, err)
		return err
	}
	t.awaitAnswer(id, args.Term)
	return t.NetworkTransport.AppendEntries(id, target, args, resp)
}

// InstallSnapshot implements [raft.Transport].
func (t *networkTransport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	t.awaitAnswer(id, args.Term)
	return t.NetworkTransport.InstallSnapshot(id, target, args, resp, data)
}
