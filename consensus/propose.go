package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hashicorp/raft"
)

// ErrNoLeader means that no leader is known, or that the one there is cannot reach a
// majority. Nothing was logged; the same call may succeed in a moment.
var ErrNoLeader = error(rpc.ErrNoLeader)

// ErrNotLeader means that another server leads. Nothing was logged; ask that one.
var ErrNotLeader = errors.New("node is not the leader")

// ErrOutcomeUnknown means that a command was handed to the log and that its fate was
// not learned: it may have happened, or may still happen, or never. Sending it again
// can apply it twice.
var ErrOutcomeUnknown = error(rpc.ErrOutcomeUnknown)

// Propose appends data to the log and waits until it is applied here, which must be
// the leader. It returns what the state machine answered (an error among them, as a
// response) and the index of the entry. It is never tried again; see the errors for
// what a failure means. Proposals that come in together share their fsync.
func (n *Node) Propose(ctx context.Context, data []byte) (response any, index uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, fmt.Errorf("propose: %w", err)
	}
	if n.raft.State() != raft.Leader {
		return nil, 0, n.notLeader()
	}
	f := n.raft.Apply(data, untilDeadline(ctx))
	if err := n.await(ctx, f); err != nil {
		return nil, 0, n.proposeError(err)
	}
	n.announcer.committed()
	return f.Response(), f.Index(), nil
}

// Barrier waits until all that was proposed before is applied here, on the leader.
func (n *Node) Barrier(ctx context.Context) error {
	if err := n.await(ctx, n.raft.Barrier(untilDeadline(ctx))); err != nil {
		return n.leaderError(err)
	}
	return nil
}

// await returns f's error, or ctx's if that ends first. raft's futures know no
// context.
func (n *Node) await(ctx context.Context, f raft.Future) error {
	if ctx.Done() == nil {
		return f.Error()
	}
	result := make(chan error, 1)
	if !n.waits.run(func() { result <- f.Error() }) {
		return raft.ErrLeadershipLost // the node is ending; whatever f stands for was begun
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w while waiting for raft", ctx.Err())
	}
}

// proposeError sorts the ends of a command into those that never reached the log,
// and the rest.
func (n *Node) proposeError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return n.notLeader()
	case errors.Is(err, raft.ErrRaftShutdown):
		return fmt.Errorf("%w: this server is shutting down", ErrNotLeader)
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("propose: the log did not take the command in time, nothing was written: %w", context.DeadlineExceeded)
	}
	return fmt.Errorf("%w: the write may or may not take effect: %w", ErrOutcomeUnknown, err)
}

// leaderError says what a failure means where nothing was to be written.
func (n *Node) leaderError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost),
		errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return n.notLeader()
	case errors.Is(err, raft.ErrRaftShutdown):
		return fmt.Errorf("%w: this server is shutting down", ErrNotLeader)
	}
	return err
}

// notLeader is ErrNotLeader if another server is known to lead, else ErrNoLeader.
func (n *Node) notLeader() error {
	if leader := n.Leader(); leader.ID != "" && leader.ID != n.id {
		return fmt.Errorf("%w: %s is", ErrNotLeader, leader.Address)
	}
	return ErrNoLeader
}

// untilDeadline is ctx's time left in raft's terms, where 0 is for ever.
func untilDeadline(ctx context.Context) time.Duration {
	at, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(time.Until(at), time.Nanosecond)
}
