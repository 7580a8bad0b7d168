package consensus

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// tcpStreams is raft's connections on a port of their own.
type tcpStreams struct{ net.Listener }

func (tcpStreams) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(addr), timeout)
}

// startTCP opens a node that speaks TCP; its peers' calls stay direct.
func (c *cluster) startTCP(t testing.TB, name, dir string) *member {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := c.open(t, raft.ServerAddress(l.Addr().String()), Config{DataDir: dir, NodeID: name, Streams: tcpStreams{l}})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[m.id] = m
	return m
}

// Everything that Open started ends with Shutdown.
func noGoroutines(t testing.TB) {
	t.Helper()
	buf := make([]byte, 1<<20)
	var left []string
	for range 3000 {
		left = left[:0]
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "hashicorp/raft") || strings.Contains(g, "consensus.(*") {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond) // they may still be on their way out
	}
	t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
}

func TestThreeServersOverTCP(t *testing.T) {
	defer noGoroutines(t)
	c := newCluster()
	var nodes []*member
	for _, name := range []string{"a", "b", "c"} {
		nodes = append(nodes, c.startTCP(t, name, t.TempDir()))
	}
	c.bootstrap(t, nodes[0])
	l := leader(t, nodes...)
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprint(i))
		put(t, l, want[i])
	}
	for _, m := range nodes {
		if err := m.waitUntilRead(t); err != nil {
			t.Fatal(err)
		}
		if got := m.journal.texts(); !slices.Equal(got, want) {
			t.Errorf("%s reads %d rows, want %d", m.id, len(got), len(want))
		}
	}
	if err := l.TransferLeadership(t.Context(), raft.Server{}); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	delete(c.nodes, l.id)
	c.mu.Unlock()
	l.stop(t)
	next := leader(t, except(l, nodes)...)
	put(t, next, "more")
	if err := next.RemoveID(t.Context(), l.id); err != nil {
		t.Fatal(err)
	}
	if err := next.RemoveAddress(t.Context(), l.server.Address); !errors.Is(err, ErrUnknownPeer) {
		t.Errorf("second removal: %v", err)
	}
	if servers, _ := next.Configuration(); len(servers) != 2 {
		t.Errorf("members are %v", servers)
	}
	for _, m := range nodes {
		m.stop(t)
	}
}
