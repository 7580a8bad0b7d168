package operator

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
)

// Snapshots travel on connections of their own: a request, for a restore followed by
// the archive, whose end is the end of what is sent; then a reply, after a save
// followed by the archive, to the end of the connection.

// SnapshotOp is what a snapshot connection is for.
type SnapshotOp int

// The operations, by their numbers on the wire.
const (
	SaveSnapshot    SnapshotOp = 0
	RestoreSnapshot SnapshotOp = 1
)

// SnapshotRequest begins a snapshot connection.
type SnapshotRequest struct {
	// Datacenter is the one whose state is meant, never "".
	Datacenter string
	Token      string
	// AllowStale lets any server save, not only the leader.
	AllowStale bool
	Op         SnapshotOp
}

// Restored says what became of an archive's records, by type byte.
type Restored struct {
	// Index is the index of everything that was restored.
	Index    uint64
	Restored map[byte]int
	Skipped  map[byte]int
}

// snapshotReply answers the request.
type snapshotReply struct {
	Error  string
	Reason rpc.Reason
	rpc.Meta
	HanseRestored *Restored
}

// Snapshots saves and restores the state of datacenters.
type Snapshots interface {
	// Save writes an archive to w, after it has called about, once, with where the
	// archive stands.
	Save(ctx context.Context, req *SnapshotRequest, w io.Writer, about func(*rpc.Meta)) error
	// Restore replaces the state by the archive that r holds to its end.
	Restore(ctx context.Context, req *SnapshotRequest, r io.Reader) (*Restored, error)
}

// snapshotRequestTime bounds the wait for a request.
const snapshotRequestTime = 5 * time.Second

// ServeSnapshot answers one snapshot connection. The caller closes it.
func ServeSnapshot(ctx context.Context, conn net.Conn, s Snapshots) error {
	if err := conn.SetReadDeadline(time.Now().Add(snapshotRequestTime)); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	var req SnapshotRequest
	if err := codec.NewDecoder(io.LimitReader(byteByByte{in}, 64<<10), rpc.Msgpack).Decode(&req); err != nil {
		return fmt.Errorf("read a snapshot request: %w", err)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	out := codec.NewEncoder(conn, rpc.Msgpack)
	var reply snapshotReply
	var err error
	begun := false
	switch req.Op {
	case SaveSnapshot:
		err = s.Save(ctx, &req, conn, func(m *rpc.Meta) {
			begun = out.Encode(&snapshotReply{Meta: *m}) == nil
		})
	case RestoreSnapshot:
		reply.HanseRestored, err = s.Restore(ctx, &req, in)
	default:
		err = rpc.Invalid(fmt.Sprintf("unknown snapshot operation %d", req.Op))
	}
	if begun {
		return err
	}
	if err != nil {
		reply.Error, reply.Reason = err.Error(), rpc.ReasonOf(err)
	}
	err = errors.Join(err, out.Encode(&reply))
	if req.Op == RestoreSnapshot {
		discard(conn, in)
	}
	return err
}

// discard reads what is left of an archive that was refused, for some time: a connection
// that is closed with something unread may take the answer with it.
func discard(conn net.Conn, in io.Reader) {
	if err := conn.SetReadDeadline(time.Now().Add(snapshotRequestTime)); err == nil {
		_, _ = io.Copy(io.Discard, in)
	}
}

// byteByByte keeps a decoder from reading past the value it wants.
type byteByByte struct{ *bufio.Reader }

// RemoteSnapshots are the [Snapshots] of a server that answers at the other end of a
// connection.
type RemoteSnapshots struct {
	// Open opens a snapshot connection.
	Open func(ctx context.Context) (net.Conn, error)
}

// Save implements [Snapshots].
func (r RemoteSnapshots) Save(ctx context.Context, req *SnapshotRequest, w io.Writer, about func(*rpc.Meta)) error {
	return r.talk(ctx, req, nil, func(reply *snapshotReply, in io.Reader) error {
		about(&reply.Meta)
		return copyArchive(w, in)
	})
}

// copyArchive copies to the end of in, which may be that of the archive or that of a
// server. Only the archive itself can tell.
func copyArchive(w io.Writer, in io.Reader) error {
	archive, err := gzip.NewReader(io.TeeReader(in, w))
	if err == nil {
		_, err = io.Copy(io.Discard, archive)
	}
	if err != nil {
		return fmt.Errorf("the archive ended before it was whole: %w", err)
	}
	return nil
}

// Restore implements [Snapshots].
func (r RemoteSnapshots) Restore(ctx context.Context, req *SnapshotRequest, archive io.Reader) (*Restored, error) {
	var restored *Restored
	err := r.talk(ctx, req, archive, func(reply *snapshotReply, _ io.Reader) error {
		restored = reply.HanseRestored
		return nil
	})
	return restored, err
}

// talk sends the request, and the archive if there is one, and hands over the reply
// with what follows it.
func (r RemoteSnapshots) talk(ctx context.Context, req *SnapshotRequest, archive io.Reader, then func(*snapshotReply, io.Reader) error) error {
	conn, err := r.Open(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := codec.NewEncoder(conn, rpc.Msgpack).Encode(req); err != nil {
		return fmt.Errorf("ask for a snapshot: %w", err)
	}
	sent := r.send(conn, archive)
	in := bufio.NewReader(conn)
	var reply snapshotReply
	// The other end may refuse before it has read everything: its word goes first.
	if err := codec.NewDecoder(byteByByte{in}, rpc.Msgpack).Decode(&reply); err != nil {
		return errors.Join(fmt.Errorf("read the answer about a snapshot: %w", err), sent)
	}
	if reply.Error != "" {
		return rpc.FromWire(reply.Error, reply.Reason)
	}
	if sent != nil {
		return sent
	}
	return then(&reply, in)
}

// send copies the archive and says that it is over.
func (RemoteSnapshots) send(conn net.Conn, archive io.Reader) error {
	if archive == nil {
		return nil
	}
	if _, err := io.Copy(conn, archive); err != nil {
		return fmt.Errorf("send the snapshot: %w", err)
	}
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("send the snapshot: a %T cannot say that it is over", conn)
	}
	return half.CloseWrite()
}
