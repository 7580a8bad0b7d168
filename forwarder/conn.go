package forwarder

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"
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

// muxConn is a connection under yamux. It writes a frame's header and its body at
// once, which yamux gives to it one by one, and remembers when it last heard anything.
type muxConn struct {
	net.Conn
	// heard is when a byte was last read, in nanoseconds since epoch; 0 is never.
	heard atomic.Int64
	// broken is why nothing more can be read, nil while it can.
	broken atomic.Pointer[error]
	// pending is the header of a frame whose body comes with the next Write. Only
	// yamux's sender writes.
	pending []byte
}

// epoch is the beginning of the monotonic clock that muxConn.heard counts on.
var epoch = time.Now()

// yamuxHeader is the length of a frame's header:
//
//	version 1 | type 1 | flags 2 | stream 4 | length 4
//
// where type 0 is data, whose length is that of the body behind it.
const yamuxHeader = 12

// coalesceLimit is the longest body that is copied to go out with its header.
const coalesceLimit = 16 << 10

// Read implements net.Conn.
func (c *muxConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(int64(time.Since(epoch)))
	}
	if err != nil {
		c.broken.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Write implements net.Conn. A header that waits for its body counts as written.
func (c *muxConn) Write(b []byte) (int, error) {
	if len(c.pending) == 0 {
		if len(b) == yamuxHeader && b[1] == 0 && wantsBody(b) {
			c.pending = append(c.pending, b...)
			return len(b), nil
		}
		return c.Conn.Write(b)
	}
	c.pending = append(c.pending, b...)
	n, err := c.Conn.Write(c.pending)
	n = max(n-yamuxHeader, 0)
	c.pending = c.pending[:0]
	return n, err
}

// wantsBody tells whether the body of a data frame is worth waiting for.
func wantsBody(header []byte) bool {
	n := binary.BigEndian.Uint32(header[8:])
	return n > 0 && n <= coalesceLimit
}

// lastHeard is when a byte was last read, long ago if none ever was.
func (c *muxConn) lastHeard() time.Time {
	heard := c.heard.Load()
	if heard == 0 {
		return time.Time{}
	}
	return epoch.Add(time.Duration(heard))
}

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
