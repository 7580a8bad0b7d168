package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// Bootstrap makes the given servers the first members of a new log. It is called on
// each of them with the same list, once, or on one of them; a node that has state
// refuses with [raft.ErrCantBootstrap].
func (n *Node) Bootstrap(servers []raft.Server) error {
	if n.HasState() {
		return fmt.Errorf("bootstrap: %w", raft.ErrCantBootstrap)
	}
	if err := n.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		return fmt.Errorf("bootstrap with %d servers: %w", len(servers), err)
	}
	n.standAlone()
	return nil
}

// Configuration returns the members of the log and the index that made them so. The
// newest may not be committed yet. The slice is the caller's.
func (n *Node) Configuration() (servers []raft.Server, index uint64) {
	f := n.raft.GetConfiguration()
	if f.Error() != nil {
		return nil, 0 // raft answers this one from memory, and never with an error
	}
	return slices.Clone(f.Configuration().Servers), f.Index()
}

// ErrUnknownPeer means that no such server is a member of the log.
var ErrUnknownPeer = errors.New("not a member of the Raft configuration")

// RemoveID takes the server with this ID out of the log. Only the leader can.
func (n *Node) RemoveID(ctx context.Context, id raft.ServerID) error {
	return n.remove(ctx, "id "+string(id), func(s raft.Server) bool { return s.ID == id })
}

// RemoveAddress takes the server with this address out of the log. Only the leader
// can.
func (n *Node) RemoveAddress(ctx context.Context, addr raft.ServerAddress) error {
	return n.remove(ctx, "address "+string(addr), func(s raft.Server) bool { return s.Address == addr })
}

func (n *Node) remove(ctx context.Context, what string, is func(raft.Server) bool) error {
	servers, _ := n.Configuration()
	for _, s := range servers {
		if !is(s) {
			continue
		}
		if err := n.await(ctx, n.raft.RemoveServer(s.ID, 0, untilDeadline(ctx))); err != nil {
			return fmt.Errorf("remove server with %s: %w", what, n.leaderError(err))
		}
		return nil
	}
	return fmt.Errorf("remove server with %s: %w", what, ErrUnknownPeer)
}

// ErrSilent means that a server does not answer the leader.
var ErrSilent = errors.New("the server does not answer heartbeats: choose another")

// TransferLeadership hands the lead to a server that is up to date: to if its ID is
// set, else to any. It returns when this one does not lead any more.
//
// A server that is silent is not asked ([ErrSilent]): raft takes no writes while it waits
// for one that does not come.
func (n *Node) TransferLeadership(ctx context.Context, to raft.Server) error {
	if to.ID == "" {
		to = n.heir()
	}
	if n.silent(to.ID) {
		return fmt.Errorf("transfer leadership to %s at %s: %w", to.ID, to.Address, ErrSilent)
	}
	var f raft.Future
	if to.ID == "" {
		f = n.raft.LeadershipTransfer()
	} else {
		f = n.raft.LeadershipTransferToServer(to.ID, to.Address)
	}
	if err := n.await(ctx, f); err != nil {
		return fmt.Errorf("transfer leadership: %w", n.leaderError(err))
	}
	return nil
}

// heir is the server that shall lead next, with an empty ID where raft's choice will do:
// it looks at logs alone, and would as soon choose one that is silent.
func (n *Node) heir() raft.Server {
	voters, _ := n.voters()
	answering := slices.DeleteFunc(slices.Clone(voters), func(s raft.Server) bool { return n.silent(s.ID) })
	switch {
	case len(answering) == len(voters):
		return raft.Server{}
	case len(answering) == 0:
		return voters[0]
	}
	return answering[0]
}

// Stats are raft's own figures, as texts under raft's names.
func (n *Node) Stats() map[string]string { return n.raft.Stats() }

// LastIndex is the last index of the local log, committed or not.
func (n *Node) LastIndex() uint64 { return n.raft.LastIndex() }
