package consensus

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// ReadIndex returns once the local state machine holds every write that was
// acknowledged anywhere before the call. It works on the leader and on followers,
// and fails rather than let a read see old data.
func (n *Node) ReadIndex(ctx context.Context) error {
	ask := n.otherSide.join
	if n.IsLeader() {
		ask = n.LeaderReadIndex
	}
	index, err := ask(ctx)
	if err != nil {
		return err
	}
	if err := n.fsm.WaitApplied(ctx, index); err != nil {
		return fmt.Errorf("wait for entry %d: %w", index, err)
	}
	return nil
}

// LeaderReadIndex returns an index at which this server, having been the leader
// after the call began, held every write acknowledged before it.
func (n *Node) LeaderReadIndex(ctx context.Context) (uint64, error) {
	term := n.raft.CurrentTerm()
	if n.readyTerm.Load() == term {
		if others, need := n.voters(); len(others) == 0 && need <= 0 {
			index := n.fsm.AppliedIndex()
			return index, n.leadsIn(term)
		}
	}
	return n.leaderSide.join(ctx)
}

// ReadIndexFor is [Node.LeaderReadIndex] for server from, whose term was term when it
// asked on behalf of reads that had begun before.
//
// The question is also an answer to ours: a voter that asks in our term has not been
// in a later one since those reads began. If the two of us are a majority, no other
// server can have acknowledged anything before they did.
//
// A server that was taken out of the log is refused: it would wait for entries that
// nobody sends it any more.
func (n *Node) ReadIndexFor(ctx context.Context, from raft.ServerID, term uint64) (index uint64, err error) {
	if n.readyTerm.Load() == term && n.leadsIn(term) == nil && n.majorityWith(from) {
		index = n.fsm.AppliedIndex()
		err = n.leadsIn(term)
	} else {
		index, err = n.leaderSide.join(ctx)
	}
	if err == nil && !n.isMember(from) {
		return 0, fmt.Errorf("%w: server %s is not in the log", ErrNoLeader, from)
	}
	return index, err
}

// isMember tells whether a server is in the log, with a vote or without.
func (n *Node) isMember(id raft.ServerID) bool {
	servers, _ := n.Configuration()
	return slices.ContainsFunc(servers, func(s raft.Server) bool { return s.ID == id })
}

// majorityWith tells whether this server and that voter are a majority.
func (n *Node) majorityWith(id raft.ServerID) bool {
	others, need := n.voters()
	return need <= 1 && slices.ContainsFunc(others, func(s raft.Server) bool { return s.ID == id })
}

// ConfirmTerm answers another server's [Peers.ConfirmTerm], meant for server id.
func (n *Node) ConfirmTerm(id raft.ServerID, term uint64) bool {
	return id == n.id && n.raft.CurrentTerm() == term
}

// confirmLeadership is one round on the leader. The state machine holds all entries
// of earlier terms once a barrier of this term has passed, and all acknowledged ones
// of this term, since a write is acknowledged after it was applied here. So the
// index noted at the start will do, if no other leader was elected before the round
// began: then a majority is still in our term when it answers.
func (n *Node) confirmLeadership(ctx context.Context) (uint64, error) {
	term := n.raft.CurrentTerm()
	if err := n.leadsIn(term); err != nil {
		return 0, err
	}
	if n.readyTerm.Load() != term {
		if err := n.Barrier(ctx); ctx.Err() != nil {
			return 0, fmt.Errorf("%w: nothing of this term was committed in time", ErrNoLeader)
		} else if err != nil {
			return 0, err
		}
		if err := n.leadsIn(term); err != nil {
			return 0, err
		}
		n.readyTerm.Store(term)
		n.announcer.committed() // followers have yet to hear of the barrier
	}
	index := n.fsm.AppliedIndex()
	if err := n.confirmMajority(ctx, term); err != nil {
		return 0, err
	}
	return index, n.leadsIn(term)
}

// leadsIn fails if this server is not the leader of term. Between two calls that
// succeed it was so without a break: nobody leads the same term twice.
func (n *Node) leadsIn(term uint64) error {
	if n.raft.State() != raft.Leader || n.raft.CurrentTerm() != term {
		return n.notLeader()
	}
	return nil
}

// askLeader is one round on a follower.
func (n *Node) askLeader(ctx context.Context) (uint64, error) {
	term := n.raft.CurrentTerm()
	leader := n.Leader()
	switch leader.ID {
	case "":
		return 0, ErrNoLeader
	case n.id:
		return n.leaderSide.join(ctx)
	}
	index, err := n.peers.ReadIndex(ctx, leader, n.id, term)
	if ctx.Err() != nil {
		return 0, fmt.Errorf("%w: %s did not answer in time", ErrNoLeader, leader.Address)
	}
	return index, err
}

// rounds asks one question at a time on behalf of many. Who comes while a round is
// under way waits for the next, together with all others who do: an answer counts
// only for those who were there before it was asked for.
type rounds struct {
	tasks *tasks
	ask   func(context.Context) (uint64, error)
	limit func() (context.Context, context.CancelFunc) // of one round

	mu      sync.Mutex
	running bool
	next    *round
}

type round struct {
	done  chan struct{}
	index uint64
	err   error
}

func (r *rounds) join(ctx context.Context) (uint64, error) {
	r.mu.Lock()
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
	}
	mine := r.next
	if !r.running {
		if r.running = r.tasks.run(r.run); !r.running {
			r.mu.Unlock()
			return 0, fmt.Errorf("%w: this server is shutting down", ErrNotLeader)
		}
	}
	r.mu.Unlock()
	select {
	case <-mine.done:
		return mine.index, mine.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// run asks until nobody waits.
func (r *rounds) run() {
	for {
		r.mu.Lock()
		now := r.next
		r.next = nil
		r.running = now != nil
		r.mu.Unlock()
		if now == nil {
			return
		}
		ctx, cancel := r.limit()
		now.index, now.err = r.ask(ctx)
		cancel()
		close(now.done)
	}
}
