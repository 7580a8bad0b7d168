package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// A server that began a datacenter by itself has a log of its own, and must never be let
// into ours, whatever the two are called: the logs agree about indexes and not about
// what stands there. So the leader asks a server whose it is before it adds it.

// kinship says to which datacenter the log of a server belongs.
type kinship struct {
	// ID is the datacenter's, "" as long as the server does not know it.
	ID string
	// HasLog says that the server's log is not empty.
	HasLog bool
}

var askKinship = rpc.Method[rpc.Empty, kinship]{Info: rpc.Info{Name: "Hanse.Kinship", Route: rpc.Local}}

// lineage is what a server knows of the datacenter that its log belongs to.
type lineage struct {
	node  replicated
	store *store.Store
	// file keeps the ID: after a restart the state is empty until a leader is heard.
	// "" keeps nothing.
	file string
}

// lineageFile is its name in the data directory.
const lineageFile = "datacenter-id"

func newLineage(node replicated, s *store.Store, dataDir string) *lineage {
	l := &lineage{node: node, store: s}
	if dataDir != "" {
		l.file = filepath.Join(dataDir, lineageFile)
	}
	return l
}

// id is the ID of our datacenter, "" if it is not known.
func (l *lineage) id() (string, error) {
	if identity, known := l.store.Read(nil).Identity(); known {
		return identity.ID, nil
	}
	if l.file == "" {
		return "", nil
	}
	text, err := os.ReadFile(l.file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the datacenter's ID: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// keep writes the ID down once the state has it.
func (l *lineage) keep(ctx context.Context) error {
	for {
		ws := make(rpc.WatchSet)
		identity, known := l.store.Read(ws).WatchIdentity()
		if known {
			if l.file == "" {
				return nil
			}
			if err := os.WriteFile(l.file, []byte(identity.ID+"\n"), 0o600); err != nil {
				return fmt.Errorf("keep the datacenter's ID: %w", err)
			}
			return nil
		}
		if ws.WatchCtx(ctx) != nil {
			return nil
		}
	}
}

// handler answers the question of a leader.
func (l *lineage) handler() rpc.Handler {
	return askKinship.Handle(func(context.Context, *rpc.Call, *rpc.Empty) (*kinship, error) {
		id, err := l.id()
		return &kinship{ID: id, HasLog: l.node.LastIndex() > 0}, err
	})
}

// check refuses a server whose log is another datacenter's.
func (l *lineage) check(ctx context.Context, router Router, s gossip.Server) error {
	ours, err := l.id()
	if err != nil {
		return err
	}
	theirs, err := askKinship.Call(ctx, at{router, s.Addr()}, &rpc.Empty{})
	switch {
	case err != nil:
		return fmt.Errorf("ask server %s to which datacenter its log belongs: %w", s.Name, err)
	case theirs.ID != "" && theirs.ID != ours:
		return fmt.Errorf("not adding Raft peer: server %s at %s has a log of its own, of a datacenter that was started apart from this one "+
			"(its ID is %s, ours is %s); take it out of this pool, or stop it, remove its data directory and start it without -bootstrap",
			s.Name, s.Addr(), theirs.ID, ours)
	case theirs.ID == "" && theirs.HasLog:
		return fmt.Errorf("server %s at %s has a log and does not say yet to which datacenter it belongs", s.Name, s.Addr())
	}
	return nil
}
