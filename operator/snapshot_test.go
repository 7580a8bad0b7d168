package operator

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/hanse-project/hanse/rpc"
)

// refusing are snapshots of a server that knows no leader, and says so at once.
type refusing struct{}

func (refusing) Save(context.Context, *SnapshotRequest, io.Writer, func(*rpc.Meta)) error {
	return rpc.ErrNoLeader
}

func (refusing) Restore(context.Context, *SnapshotRequest, io.Reader) (*Restored, error) {
	return nil, rpc.ErrNoLeader
}

func TestARefusalReachesWhoIsStillSending(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				if err := ServeSnapshot(t.Context(), conn, refusing{}); !errors.Is(err, rpc.ErrNoLeader) {
					t.Errorf("the server ends with %v", err)
				}
				if n, err := conn.Read(make([]byte, 1)); n > 0 || err != io.EOF {
					t.Errorf("the server would close what it has not read to the end (%v)", err)
				}
			})
		}
	})
	remote := RemoteSnapshots{Open: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}}
	for _, size := range []int{10, 20 << 10, 16 << 20} {
		for range 3 {
			_, err := remote.Restore(t.Context(), &SnapshotRequest{Op: RestoreSnapshot}, bytes.NewReader(make([]byte, size)))
			if !errors.Is(err, rpc.ErrNoLeader) {
				t.Fatalf("an archive of %d bytes: %v", size, err)
			}
		}
	}
	l.Close()
	serving.Wait()
}
