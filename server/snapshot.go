package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/consensus"
	"github.com/hanse-project/hanse/consensus/archive"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// maxState bounds the unpacked state of an archive, against one that is a bomb.
const maxState = 64 << 30

// snapshots saves the state to archives and replaces it by them: here, at the leader,
// or in another datacenter, whichever the request means.
type snapshots struct {
	node     replicated
	store    *store.Store
	network  *network
	resolver rpc.Resolver
	dc       string
	// scratch is a folder for what is unpacked, "" for the system's.
	scratch string
	// replaced is called after a restore.
	replaced func()
	log      hclog.Logger
}

var _ operator.Snapshots = (*snapshots)(nil)

// Save implements [operator.Snapshots].
func (s *snapshots) Save(ctx context.Context, req *operator.SnapshotRequest, w io.Writer, about func(*rpc.Meta)) error {
	remote, err := s.elsewhere(req, req.AllowStale)
	if err != nil {
		return err
	}
	if remote != nil {
		return remote.Save(ctx, req, w, about)
	}
	return s.save(ctx, req, w, about)
}

// Restore implements [operator.Snapshots].
func (s *snapshots) Restore(ctx context.Context, req *operator.SnapshotRequest, archive io.Reader) (*operator.Restored, error) {
	remote, err := s.elsewhere(req, false)
	if err != nil {
		return nil, err
	}
	if remote != nil {
		return remote.Restore(ctx, req, archive)
	}
	return s.restore(ctx, req, archive)
}

// elsewhere is the server that has to answer, nil for this one.
func (s *snapshots) elsewhere(req *operator.SnapshotRequest, anyServer bool) (operator.Snapshots, error) {
	if req.Datacenter == "" {
		return nil, rpc.Invalid("a snapshot request must name its datacenter")
	}
	if req.Datacenter != s.dc {
		return operator.RemoteSnapshots{Open: func(ctx context.Context) (net.Conn, error) {
			return s.network.router.OpenSnapshot(ctx, req.Datacenter, "")
		}}, nil
	}
	if anyServer || s.node.IsLeader() {
		return nil, nil
	}
	leader := s.node.LeaderAddress()
	if leader == "" {
		return nil, rpc.ErrNoLeader
	}
	return operator.RemoteSnapshots{Open: func(ctx context.Context) (net.Conn, error) {
		return s.network.router.OpenSnapshot(ctx, s.dc, leader)
	}}, nil
}

// authorize resolves the token of a request, which must allow everything.
func (s *snapshots) authorize(ctx context.Context, req *operator.SnapshotRequest) error {
	authz, err := s.resolver.Resolve(ctx, req.Token)
	if err != nil {
		return err
	}
	return (&rpc.Call{Authz: authz}).Allow(rpc.ResourceACL, rpc.AccessWrite, "")
}

// save writes an archive to w. It calls about once before that, with where it stands.
func (s *snapshots) save(ctx context.Context, req *operator.SnapshotRequest, w io.Writer, about func(*rpc.Meta)) error {
	if err := s.authorize(ctx, req); err != nil {
		return err
	}
	if !req.AllowStale {
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
func (s *snapshots) restore(ctx context.Context, req *operator.SnapshotRequest, from io.Reader) (*operator.Restored, error) {
	if err := s.authorize(ctx, req); err != nil {
		return nil, err
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
	s.replaced()
	s.log.Info("restored snapshot", "index", index, "records", imported.Records, "skipped", imported.Skipped)
	return &operator.Restored{Index: index, Restored: imported.Records, Skipped: imported.Skipped}, nil
}

// replace hands the imported state to raft by way of a file, whose size raft asks for.
func (s *snapshots) replace(ctx context.Context, index uint64, imported *store.Imported) error {
	file, err := os.CreateTemp(s.scratch, "restore-*")
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	defer file.Close()
	// Without a name the file is gone with the process, whatever ends it.
	if err := os.Remove(file.Name()); err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
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
