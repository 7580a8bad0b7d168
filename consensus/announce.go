package consensus

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// quiet is how long nothing is logged before the last commit is announced.
const quiet = time.Millisecond

// announcer tells followers of the last commit once the log has come to rest.
//
// raft tells a follower that an entry is committed with the next entry, or after its
// CommitTimeout. Until then a read on a follower waits for a write that was acknowledged
// long ago, and its watchers sleep through it. So the leader sends one empty append
// more: a message that raft could send itself at any time. That leaves to CommitTimeout
// only what an announcement failed to bring, and it can be long: at raft's own 50 ms it
// is a third of what three idle servers do.
type announcer struct {
	wake chan struct{} // holds one: something was committed

	mu   sync.Mutex
	busy map[raft.ServerID]bool // an announcement is under way
}

// committed is called after each proposal.
func (a *announcer) committed() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (n *Node) announceCommits() {
	told := uint64(0)
	for {
		select {
		case <-n.announcer.wake:
		case <-n.ctx.Done():
			return
		}
		for last := uint64(0); last != n.raft.LastIndex(); {
			last = n.raft.LastIndex()
			select {
			case <-time.After(quiet):
			case <-n.ctx.Done():
				return
			}
		}
		if commit := n.raft.CommitIndex(); commit != told {
			n.announce(commit)
			told = commit
		}
	}
}

// announce sends an append without entries to all others. The last entry of a leader
// whose log is committed to the end is of its own term, since a term begins with one.
func (n *Node) announce(commit uint64) {
	term := n.raft.CurrentTerm()
	if n.leadsIn(term) != nil || commit != n.raft.LastIndex() {
		return // what is logged next announces this
	}
	req := &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax,
			ID:              []byte(n.id),
			Addr:            n.trans.EncodePeer(n.id, n.trans.LocalAddr()),
		},
		Term:              term,
		PrevLogEntry:      commit,
		PrevLogTerm:       term,
		LeaderCommitIndex: commit,
	}
	servers, _ := n.Configuration()
	for _, s := range servers {
		if s.ID != n.id && n.announcer.begin(s.ID) && !n.tasks.run(func() {
			defer n.announcer.end(s.ID)
			var rep raft.AppendEntriesResponse
			if err := n.trans.AppendEntries(s.ID, s.Address, req, &rep); err != nil {
				n.log.Trace("commit not announced", "server", s.ID, "error", err)
			}
		}) {
			n.announcer.end(s.ID)
		}
	}
}

// begin takes the one place of a server, so that one who does not answer costs one
// goroutine.
func (a *announcer) begin(id raft.ServerID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.busy[id] {
		return false
	}
	if a.busy == nil {
		a.busy = make(map[raft.ServerID]bool)
	}
	a.busy[id] = true
	return true
}

func (a *announcer) end(id raft.ServerID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.busy, id)
}
