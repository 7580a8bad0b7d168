package forwarder

import (
	"encoding/binary"
	"io"
	"log"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// muxConn is a connection under yamux. It writes a frame's header and its body at
// once, which yamux gives to it one by one, and remembers when it last heard anything.
type muxConn struct {
	net.Conn
	// heard is when a byte was last read, in nanoseconds since epoch; 0 is never.
	heard atomic.Int64
	// broken is closed when nothing more can be read, for the reason readErr.
	broken  chan struct{}
	readErr error
	// closing is set, and the deadlines of streams are over, once yamux closes.
	closing atomic.Bool
	mu      sync.Mutex
	streams map[*muxStream]struct{}
	// pending is the header of a frame whose body comes with the next Write. Only
	// yamux's sender writes.
	pending []byte
}

func newMuxConn(conn net.Conn) *muxConn {
	return &muxConn{Conn: conn, broken: make(chan struct{}), streams: make(map[*muxStream]struct{})}
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
	if err != nil && c.readErr == nil { // only yamux's receiver reads
		c.readErr = err
		close(c.broken)
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
		return c.send(b)
	}
	c.pending = append(c.pending, b...)
	n, err := c.send(c.pending)
	n = max(n-yamuxHeader, 0)
	c.pending = c.pending[:0]
	return n, err
}

// send writes b. If that fails the other side may have said why, as an alert of TLS,
// which is lost when yamux closes the connection: so the reader comes first.
func (c *muxConn) send(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		select {
		case <-c.broken:
		case <-time.After(lastWords):
		}
	}
	return n, err
}

// lastWords is how long a reader may take to hear why a connection was closed.
const lastWords = 100 * time.Millisecond

// failure is why the connection ended, nil while it has not or if that is not known.
func (c *muxConn) failure() error {
	select {
	case <-c.broken:
		return c.readErr
	default:
		return nil
	}
}

// wantsBody tells whether the body of a data frame is worth waiting for.
func wantsBody(header []byte) bool {
	n := binary.BigEndian.Uint32(header[8:])
	return n > 0 && n <= coalesceLimit
}

// Close implements net.Conn. While yamux closes a session every goroutine that reads
// or waits to write spins, and may starve the one that closes, unless its deadline
// has passed: so now all deadlines do.
func (c *muxConn) Close() error {
	c.closing.Store(true)
	c.mu.Lock()
	for s := range c.streams {
		s.Stream.SetDeadline(longAgo)
	}
	c.mu.Unlock()
	return c.Conn.Close()
}

// lastHeard is when a byte was last read, long ago if none ever was.
func (c *muxConn) lastHeard() time.Time {
	heard := c.heard.Load()
	if heard == 0 {
		return time.Time{}
	}
	return epoch.Add(time.Duration(heard))
}

// longAgo is a deadline that makes a blocked read or write return.
var longAgo = time.Unix(1, 0)

// muxStream is a stream of a session on conn.
type muxStream struct {
	*yamux.Stream
	conn *muxConn
}

// wrap keeps the stream under the eyes of its connection until it is closed.
func (c *muxConn) wrap(s *yamux.Stream) *muxStream {
	w := &muxStream{s, c}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams[w] = struct{}{}
	return w
}

// Read implements net.Conn.
func (s *muxStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	return n, s.ended(err)
}

// Write implements net.Conn.
func (s *muxStream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	return n, s.ended(err)
}

// ended corrects the error of a deadline that passed because the session has ended.
func (s *muxStream) ended(err error) error {
	if err != nil && isDeadline(err) && s.conn.closing.Load() {
		return yamux.ErrSessionShutdown
	}
	return err
}

// SetReadDeadline implements net.Conn.
func (s *muxStream) SetReadDeadline(t time.Time) error {
	err := s.Stream.SetReadDeadline(t)
	if s.conn.closing.Load() {
		return s.Stream.SetReadDeadline(longAgo)
	}
	return err
}

// SetWriteDeadline implements net.Conn.
func (s *muxStream) SetWriteDeadline(t time.Time) error {
	err := s.Stream.SetWriteDeadline(t)
	if s.conn.closing.Load() {
		return s.Stream.SetWriteDeadline(longAgo)
	}
	return err
}

// Close implements net.Conn.
func (s *muxStream) Close() error {
	s.conn.mu.Lock()
	delete(s.conn.streams, s)
	s.conn.mu.Unlock()
	return s.Stream.Close()
}

// streamCloseTime is how long a stream that one side has closed waits for the other side to
// do the same. Others wait longer.
const streamCloseTime = 30 * time.Second

// muxConfig is yamux's configuration. A client has its sessions watched by its pool,
// which is why yamux itself only keeps them alive at the server's side.
func muxConfig(window uint32, writeTimeout time.Duration) *yamux.Config {
	config := yamux.DefaultConfig()
	config.MaxStreamWindowSize = window
	config.ConnectionWriteTimeout = writeTimeout
	config.EnableKeepAlive = false
	config.StreamOpenTimeout = 0
	config.StreamCloseTimeout = streamCloseTime
	config.LogOutput = nil
	config.Logger = log.New(io.Discard, "", 0)
	return config
}
