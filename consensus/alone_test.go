package consensus

import (
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A server alone does not wait for a timeout, neither at its first start nor later:
// with this one the test would not live to see it.
func TestServerAloneLeadsAtOnce(t *testing.T) {
	defer noGoroutines(t)
	c := newCluster()
	dir := t.TempDir()
	open := func(l net.Listener) *member {
		return c.open(t, raft.ServerAddress(l.Addr().String()), Config{
			DataDir: dir, NodeID: "a", Streams: tcpStreams{l}, Timeout: time.Hour,
		})
	}
	listen := func(addr string) net.Listener {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	first := listen("127.21.9.1:0") // where nobody takes the port while the server is down
	m := open(first)
	if err := m.Bootstrap([]raft.Server{m.server}); err != nil {
		t.Fatal(err)
	}
	put(t, leader(t, m), "one")
	m.stop(t)
	m = open(listen(first.Addr().String()))
	put(t, leader(t, m), "two")
	m.stop(t)
}
