//go:build linux

package fault

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/hanse-project/hanse/test/lab"
)

// garbage is what strangers send to a port.
var garbage = map[string][]byte{
	"HTTP":            []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	"zeros":           make([]byte, 4096),
	"one byte each":   {0x00},
	"RPC, junk":       append([]byte{0}, bytes.Repeat([]byte{0xff}, 4096)...),
	"raft, junk":      append([]byte{1}, bytes.Repeat([]byte{0xdd}, 4096)...),
	"raft, huge":      {1, 0, 0xc6, 0xff, 0xff, 0xff, 0xff},
	"TLS, junk":       append([]byte{3}, bytes.Repeat([]byte{0x16}, 4096)...),
	"mux, junk":       append([]byte{4}, bytes.Repeat([]byte{0xaa}, 4096)...),
	"mux, huge frame": {4, 0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff},
	"snapshot, junk":  append([]byte{5}, bytes.Repeat([]byte{0x91}, 4096)...),
	"gRPC":            append([]byte{8}, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"...),
	"gossip, huge":    {6, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	"gossip, label":   {244, 255, 'x'},
}

// stranger is an address that no agent has: connections are counted by address.
func stranger(n *lab.Node) net.Addr {
	ip := net.ParseIP(n.IP).To4()
	return &net.TCPAddr{IP: net.IPv4(ip[0], ip[1], ip[2], 200)}
}

func TestGarbageOnPortsHurtsNobody(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Clients("shanghai", 1), keepServers)
	dc := fed.DC("shanghai")
	target := dc.Leader(t)
	w := begin(t, 4, dc.Nodes...)
	w.waitAcked(t, 50)
	before := target.RSS(t)
	from := &net.Dialer{LocalAddr: stranger(target), Timeout: 10 * time.Second}
	for name, bytes := range garbage {
		for _, port := range []int{lab.ServerPort, lab.LANPort, lab.WANPort} {
			if err := throw(t, from, target.Addr(port), bytes); err != nil {
				t.Errorf("%s at port %d: %v", name, port, err)
			}
		}
	}
	for range 2000 {
		junk := make([]byte, 1+rand.IntN(1400))
		for i := range junk {
			junk[i] = byte(rand.Uint32())
		}
		for _, port := range []int{lab.LANPort, lab.WANPort} {
			datagram(t, target.Addr(port), junk)
		}
	}
	w.waitAcked(t, 100)
	dc.WaitWhole(t)
	if grown := target.RSS(t) - before; grown > 128<<20 {
		t.Errorf("resident memory grew by %d MB", grown>>20)
	}
	w.check(t)
}

// throw sends bytes and waits until the other side is done with them, or for a moment:
// it may well wait for more.
func throw(t *testing.T, from *net.Dialer, addr string, bytes []byte) error {
	conn, err := from.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, _ = conn.Write(bytes) // it may have closed the connection already
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
	return nil
}

func datagram(t *testing.T, addr string, bytes []byte) {
	t.Helper()
	conn, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(bytes); err != nil {
		t.Fatal(err)
	}
}

// Connections that say nothing, half a word, or one byte now and then are many, come
// from one address, and stay open. Everybody else is served.
func TestSilentAndSlowConnectionsHurtNobody(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Clients("shanghai", 1), keepServers)
	dc := fed.DC("shanghai")
	target := dc.Leader(t)
	w := begin(t, 4, dc.Nodes...)
	w.waitAcked(t, 50)
	from := &net.Dialer{LocalAddr: stranger(target), Timeout: 10 * time.Second}
	var conns []net.Conn
	for i := range 300 {
		port := []int{lab.ServerPort, lab.LANPort, lab.WANPort, lab.HTTPPort}[i%4]
		conn, err := from.DialContext(t.Context(), "tcp", target.Addr(port))
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	mutter := [][]byte{nil, {4}, {4, 0, 0}, {1, 0x83}, []byte("PUT /v1/kv/x HTTP/1.1\r\nContent-Length: 100\r\n")}
	for i, conn := range conns {
		_, _ = conn.Write(mutter[i%len(mutter)]) // those over a limit were closed
	}
	for round := range 5 {
		w.waitAcked(t, 60)
		for _, conn := range conns {
			_, _ = conn.Write([]byte{byte(round)})
		}
	}
	victim := dc.Followers(t)[0]
	victim.Kill(t)
	w.waitAcked(t, 60)
	victim.Start(t)
	dc.WaitWhole(t)
	w.check(t)
	closed := 0
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
			closed++
		}
	}
	t.Logf("%d of %d such connections were closed meanwhile", closed, len(conns))
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
