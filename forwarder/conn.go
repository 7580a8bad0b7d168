package forwarder

import (
	"net"
	"sync"
)

// The first byte of a connection to the server port.
const (
	bytePlain     = 0 // calls, one after another
	byteRaft      = 1
	byteTLS       = 3 // then TLS, and inside it another first byte
	byteMultiplex = 4 // yamux, a call on each stream
	byteSnapshot  = 5 // a request and an archive
)

// The protocols that are negotiated where TLS begins without a first byte.
const (
	alpnPlain     = "consul/rpc-single"
	alpnRaft      = "consul/raft"
	alpnMultiplex = "consul/rpc-multi"
	alpnSnapshot  = "consul/rpc-snapshot"
)

// prefixConn gives back bytes that were read ahead.
type prefixConn struct {
	net.Conn
	prefix []byte
}

// Read implements net.Conn.
func (c *prefixConn) Read(b []byte) (int, error) {
	if len(c.prefix) > 0 {
		n := copy(b, c.prefix)
		c.prefix = c.prefix[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// countedConn calls release once, when it is closed.
type countedConn struct {
	net.Conn
	release func()
	once    sync.Once
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.release)
	return err
}
