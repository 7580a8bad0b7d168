// Package consensus is one member of the replicated log of a datacenter:
// hashicorp/raft, put together with a log store, a snapshot store, a transport,
// and the read index.
//
// [Open] starts a [Node] and [Node.Shutdown] ends it. In between, commands go in
// through [Node.Propose] on the leader, and come out in the same order in the
// [StateMachine] of every server. Package store is that state machine; neither
// package imports the other.
//
// # What a caller may rely on
//
// A command whose Propose returned nil is on the disks of a majority and in the
// leader's state machine. A command that failed with [ErrNotLeader] or
// [ErrNoLeader] was never logged, and may be sent again. One that failed with
// [ErrOutcomeUnknown] may or may not happen; nobody here tries it again.
//
// After [Node.ReadIndex] returned nil the local state machine holds every write
// that was acknowledged, by any server, before the call began. It costs one round
// trip, shared by all who wait, and trusts no clock: a leader that was cut off or
// frozen gets no answer from a majority, and says so. A follower learns of a commit
// about a millisecond after the log came to rest.
//
// # On disk
//
//	DATA-DIR/hanse.lock       held for as long as the node lives
//	DATA-DIR/raft/wal/        the log, in segments, and wal-meta.db
//	DATA-DIR/raft/snapshots/  the last two snapshots
//	DATA-DIR/raft/peers.json  read once and removed: the members, after a quorum was lost
//
// Before the log opens, every batch in it is checked against its checksum. A last
// batch that a crash cut short was never acknowledged and is dropped; damage
// anywhere else stops the start with an error instead of shortening the log.
package consensus
