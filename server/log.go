package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/hanse-project/hanse/consensus"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// replicated is this server's part in the log, with errors that travel: what package
// consensus calls "not the leader" is, to a caller elsewhere, the lack of one.
type replicated struct{ *consensus.Node }

var (
	_ store.Log    = replicated{}
	_ Position     = replicated{}
	_ operator.Log = replicated{}
)

// Propose implements [store.Log].
func (r replicated) Propose(ctx context.Context, entry []byte) (any, uint64, error) {
	response, index, err := r.Node.Propose(ctx, entry)
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, consensus.ErrOutcomeUnknown) {
		return nil, 0, &rpc.Error{Reason: rpc.ReasonTimeout, Text: err.Error(), Cause: errors.Join(rpc.ErrTimeout, err)}
	}
	return response, index, travelling(err)
}

// ReadIndex implements [Position].
func (r replicated) ReadIndex(ctx context.Context) error { return travelling(r.Node.ReadIndex(ctx)) }

// LeaderAddress implements [Position].
func (r replicated) LeaderAddress() string { return string(r.Leader().Address) }

// RemovePeer implements [operator.Log].
func (r replicated) RemovePeer(ctx context.Context, id raft.ServerID) error {
	return travelling(r.RemoveID(ctx, id))
}

// travelling gives err the reason it has between servers.
func travelling(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, consensus.ErrOutcomeUnknown):
		return &rpc.Error{Reason: rpc.ReasonUnknownOutcome, Text: err.Error(), Cause: rpc.ErrOutcomeUnknown}
	case errors.Is(err, consensus.ErrNotLeader), errors.Is(err, consensus.ErrNoLeader):
		return &rpc.Error{Reason: rpc.ReasonNoLeader, Text: noLeaderText(err), Cause: rpc.ErrNoLeader}
	case errors.Is(err, context.DeadlineExceeded):
		return &rpc.Error{Reason: rpc.ReasonNotReady, Text: rpc.ErrNotReady.Text + ": " + err.Error(), Cause: errors.Join(rpc.ErrNotReady, err)}
	}
	return err
}

// noLeaderText begins with the words that clients match.
func noLeaderText(err error) string {
	if err == consensus.ErrNoLeader {
		return rpc.ErrNoLeader.Text
	}
	return fmt.Sprintf("%s: %v", rpc.ErrNoLeader.Text, err)
}

// remoteLog are the calls that package consensus makes to other servers.
type remoteLog struct{ router Router }

type termRequest struct {
	rpc.Empty
	// ID is the raft ID of the server asked, Term the one in which the asker leads.
	ID   string
	Term uint64
}

type indexRequest struct {
	rpc.Empty
	// ID is the raft ID of the server that asks, Term the one it is in.
	ID   string
	Term uint64
}

var (
	confirmTerm = rpc.Method[termRequest, bool]{Info: rpc.Info{Name: "Hanse.ConfirmTerm", Route: rpc.Local}}
	readIndex   = rpc.Method[indexRequest, uint64]{Info: rpc.Info{Name: "Hanse.ReadIndex", Route: rpc.Local}}
)

// at is the [rpc.Caller] of one server of this datacenter.
type at struct {
	router Router
	addr   string
}

// Call implements [rpc.Caller].
func (a at) Call(ctx context.Context, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	return a.router.ToServer(ctx, a.addr, m, req, newReply)
}

// ConfirmTerm implements [consensus.Peers].
func (l remoteLog) ConfirmTerm(ctx context.Context, to raft.Server, term uint64) (bool, error) {
	ok, err := confirmTerm.Call(ctx, at{l.router, string(to.Address)}, &termRequest{ID: string(to.ID), Term: term})
	if err != nil {
		return false, err
	}
	return *ok, nil
}

// ReadIndex implements [consensus.Peers].
func (l remoteLog) ReadIndex(ctx context.Context, leader raft.Server, from raft.ServerID, term uint64) (uint64, error) {
	index, err := readIndex.Call(ctx, at{l.router, string(leader.Address)}, &indexRequest{ID: string(from), Term: term})
	if err != nil {
		return 0, err
	}
	return *index, nil
}

// answerPeers binds the methods by which servers of one datacenter ask each other
// about the log.
func (r replicated) answerPeers() []rpc.Handler {
	return []rpc.Handler{
		confirmTerm.Handle(func(_ context.Context, _ *rpc.Call, req *termRequest) (*bool, error) {
			return new(r.ConfirmTerm(raft.ServerID(req.ID), req.Term)), nil
		}),
		readIndex.Handle(func(ctx context.Context, _ *rpc.Call, req *indexRequest) (*uint64, error) {
			index, err := r.ReadIndexFor(ctx, raft.ServerID(req.ID), req.Term)
			return &index, travelling(err)
		}),
	}
}

// RaftStats implements [operator.Log].
func (r replicated) RaftStats() (operator.RaftStats, error) {
	stats, err := r.AutopilotStats()
	contact := "never"
	if stats.LastContact >= 0 {
		contact = stats.LastContact.String()
	}
	return operator.RaftStats{LastContact: contact, LastTerm: stats.LastTerm, LastIndex: stats.LastIndex}, err
}
