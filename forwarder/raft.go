package forwarder

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// RaftLayer carries raft's connections over the server port. It implements
// [raft.StreamLayer].
type RaftLayer struct {
	dialer     *Dialer
	datacenter string
	addr       net.Addr
	conns      chan net.Conn

	close  sync.Once
	closed chan struct{}
	// dialing ends with the layer.
	dialing context.Context
	hangUp  context.CancelFunc
}

// NewRaftLayer makes the layer of a server of datacenter that others reach at addr. A
// [Listener] is given to it to hand over the connections of others.
func NewRaftLayer(dialer *Dialer, datacenter string, addr net.Addr) *RaftLayer {
	l := &RaftLayer{
		dialer: dialer, datacenter: datacenter, addr: addr,
		conns: make(chan net.Conn), closed: make(chan struct{}),
	}
	l.dialing, l.hangUp = context.WithCancel(context.Background())
	return l
}

// Accept implements net.Listener.
func (l *RaftLayer) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that were handed over are raft's.
func (l *RaftLayer) Close() error {
	l.close.Do(func() {
		close(l.closed)
		l.hangUp()
	})
	return nil
}

// Addr implements net.Listener: it is the address that others dial.
func (l *RaftLayer) Addr() net.Addr { return l.addr }

// Dial implements [raft.StreamLayer].
func (l *RaftLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.dialing, timeout)
	defer cancel()
	return l.dialer.open(ctx, l.datacenter, string(address), byteRaft)
}

// hand gives conn to raft. It reports false if raft takes none any more.
func (l *RaftLayer) hand(ctx context.Context, conn net.Conn) bool {
	select {
	case l.conns <- conn:
		return true
	case <-l.closed:
	case <-ctx.Done():
	}
	return false
}
