package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/consensus"
	"github.com/hanse-project/hanse/consensus/archive"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// maxState bounds the unpacked state of an archive, against one that is a bomb.
const maxState = 64 << 30

// snapshots saves this server's state to archives and replaces it by them.
type snapshots struct {
	node  replicated
	store *store.Store
	// scratch is a folder for what is unpacked, "" for the system's.
	scratch string
	log     hclog.Logger
}

// Restored says what became of an archive's records, by type byte.
type Restored struct {
	// Index is the index of everything that was restored.
	Index    uint64
	Restored map[byte]int
	Skipped  map[byte]int
}

// save writes an archive to w. It calls about once before that, with where it stands.
func (s *snapshots) save(ctx context.Context, call *rpc.Call, stale bool, w io.Writer, about func(*rpc.Meta)) error {
	if err := call.Allow(rpc.ResourceACL, rpc.AccessWrite, ""); err != nil {
		return err
	}
	if !stale {
		if err := s.node.ReadIndex(ctx); err != nil {
			return fmt.Errorf("save snapshot: %w", err)
		}
	}
	meta, state, err := s.node.Snapshot(ctx)
	if err != nil {
		return travelling(err)
	}
	about(&rpc.Meta{Index: meta.Index, LastContact: s.node.LastContact(), KnownLeader: s.node.KnownLeader()})
	if err := archive.Write(w, meta, state); err != nil {
		return errors.Join(fmt.Errorf("save snapshot: %w", err), state.Close())
	}
	return state.Close()
}

// restore replaces the state of the datacenter. Everything in the archive is checked
// before anything is changed. The datacenter keeps its ID and begins a new incarnation.
func (s *snapshots) restore(ctx context.Context, call *rpc.Call, from io.Reader) (*Restored, error) {
	if err := call.Allow(rpc.ResourceACL, rpc.AccessWrite, ""); err != nil {
		return nil, err
	}
	if !s.node.IsLeader() {
		return nil, rpc.ErrNoLeader
	}
	a, err := archive.Read(from, s.scratch, maxState)
	if err != nil {
		return nil, rpc.Invalid("restore snapshot: " + err.Error())
	}
	defer a.Close()
	identity, err := newIdentity()
	if err != nil {
		return nil, fmt.Errorf("restore snapshot: %w", err)
	}
	if now, known := s.store.Read(nil).Identity(); known {
		identity.ID = now.ID
	}
	index := s.node.RestoreIndex()
	imported, err := s.store.Import(a.State(), index, identity)
	if err != nil {
		return nil, rpc.Invalid("restore snapshot: " + err.Error())
	}
	if err := s.replace(ctx, index, imported); err != nil {
		return nil, err
	}
	s.log.Info("restored snapshot", "index", index, "records", imported.Records, "skipped", imported.Skipped)
	return &Restored{Index: index, Restored: imported.Records, Skipped: imported.Skipped}, nil
}

// replace hands the imported state to raft by way of a file, whose size raft asks for.
func (s *snapshots) replace(ctx context.Context, index uint64, imported *store.Imported) error {
	file, err := os.CreateTemp(s.scratch, "restore-*")
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := imported.Write(file); err != nil {
		return fmt.Errorf("restore snapshot: write the state: %w", err)
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	err = s.node.Restore(ctx, index, file, size)
	if errors.Is(err, consensus.ErrRestoreOutrun) {
		return err
	}
	return travelling(err)
}
