package consensus

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"
)

// restoreGap is how far above the log a restore begins, so that the writes of the
// time it takes to prepare one stay below.
const restoreGap = 1 << 20

// ErrRestoreOutrun means that the log grew past the index chosen for a restore.
var ErrRestoreOutrun = errors.New("the log outran the restore")

// Snapshot writes the present state to a snapshot and opens it, on the leader or on
// a follower. The caller closes the reader.
func (n *Node) Snapshot(ctx context.Context) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if n.IsLeader() {
		// The state of a log without new entries since the start has no index to be
		// known by; a barrier is one.
		if err := n.Barrier(ctx); err != nil {
			return nil, nil, fmt.Errorf("snapshot: %w", err)
		}
	}
	f := n.raft.Snapshot()
	err := n.await(ctx, f)
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return n.latestSnapshot()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("snapshot: %w", err)
	}
	meta, r, err := f.Open()
	if err != nil {
		return nil, nil, fmt.Errorf("open the snapshot just taken: %w", err)
	}
	return meta, r, nil
}

func (n *Node) latestSnapshot() (*raft.SnapshotMeta, io.ReadCloser, error) {
	list, err := n.snaps.List()
	if err != nil {
		return nil, nil, fmt.Errorf("list snapshots: %w", err)
	}
	if len(list) == 0 {
		return nil, nil, fmt.Errorf("snapshot: %w", raft.ErrNothingNewToSnapshot)
	}
	meta, r, err := n.snaps.Open(list[0].ID)
	if err != nil {
		return nil, nil, fmt.Errorf("open snapshot %s: %w", list[0].ID, err)
	}
	return meta, r, nil
}

// RestoreIndex is an index for a restore that begins soon: well above the log. The
// stream given to Restore must carry it as the index of its rows.
func (n *Node) RestoreIndex() uint64 { return n.raft.LastIndex() + restoreGap }

// Restore replaces the state of all servers by a stream of size bytes, which the
// state machine must be known to accept: raft ends the process if it does not. index
// comes from RestoreIndex. Proposals in flight end with ErrOutcomeUnknown. Only the
// leader can; ctx bounds the wait for raft to begin and for the followers to follow.
func (n *Node) Restore(ctx context.Context, index uint64, state io.Reader, size int64) error {
	if !n.IsLeader() {
		return fmt.Errorf("restore: %w", n.notLeader())
	}
	// raft takes the index after the higher of the log's last and the one given.
	if last := n.raft.LastIndex(); last >= index-1 {
		return fmt.Errorf("restore at index %d: %w: it is at %d now; nothing was changed, try again", index, ErrRestoreOutrun, last)
	}
	meta := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Index: index - 1, Size: size}
	if err := n.raft.Restore(meta, state, untilDeadline(ctx)); err != nil {
		return fmt.Errorf("restore at index %d: %w", index, n.leaderError(err))
	}
	return nil
}
