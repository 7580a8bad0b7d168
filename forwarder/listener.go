package forwarder

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	gometrics "github.com/hashicorp/go-metrics"

	"github.com/hanse-project/hanse/rpc"
)

// Dispatcher answers calls.
type Dispatcher interface {
	// Serve answers one call. decode fills in the request. ctx ends when the caller
	// does not wait any more; it outlives the call if the caller makes more of them.
	Serve(ctx context.Context, method string, decode func(rpc.Request) error) (reply any, err error)
}

// ListenerConfig is what a [Listener] is made of.
type ListenerConfig struct {
	Dispatcher Dispatcher
	// Raft takes raft's connections; nil closes them.
	Raft *RaftLayer
	// Snapshot serves a connection that carries a snapshot; nil closes it.
	Snapshot func(ctx context.Context, conn net.Conn) error
	// TLS gives the configuration for connections that ask for it. It, or what it
	// returns, is nil where none is spoken.
	TLS func() *tls.Config
	// RequireTLS closes connections that are not encrypted.
	RequireTLS bool
	// MaxConnsPerClient bounds the connections from one IP address; 0 is
	// [DefaultMaxConnsPerClient], below 0 there is no bound.
	MaxConnsPerClient int
	// MaxStreams bounds the open streams of one connection, each of which carries one call
	// at a time; 0 is [DefaultMaxStreams].
	MaxStreams int
	// MaxRequest bounds the bytes of one request; 0 is [DefaultMaxRequest].
	MaxRequest int
	// Drain bounds how long calls may go on when the listener ends; 0 is [DefaultDrain].
	// Blocking queries are not waited for: what they wait for may be minutes away, and their
	// callers can ask again.
	Drain time.Duration
	Log   hclog.Logger
}

// The defaults of [ListenerConfig].
const (
	DefaultMaxConnsPerClient = 100
	DefaultMaxStreams        = 4096
	DefaultMaxRequest        = 8 << 20
	DefaultDrain             = 5 * time.Second
)

const (
	// handshakeTimeout bounds the first byte, a TLS handshake and the byte inside, each.
	handshakeTimeout = 5 * time.Second
	// lingerTime is how long further calls are refused rather than cut off.
	lingerTime = 250 * time.Millisecond
)

// Listener serves the server port.
type Listener struct {
	config ListenerConfig
	log    hclog.Logger
	// draining is closed when no more calls are taken.
	draining chan struct{}
	streams  atomic.Int64 // open ones

	mu      sync.Mutex
	calls   sync.WaitGroup // those being answered; none is added while draining
	due     sync.WaitGroup // those of calls whose answer is not a change to be waited for
	conns   map[net.Conn]struct{}
	clients map[string]int // connections by IP address
	ended   bool
}

// NewListener makes a Listener. It serves once.
func NewListener(c ListenerConfig) *Listener {
	if c.MaxConnsPerClient == 0 {
		c.MaxConnsPerClient = DefaultMaxConnsPerClient
	}
	if c.MaxStreams == 0 {
		c.MaxStreams = DefaultMaxStreams
	}
	if c.MaxRequest == 0 {
		c.MaxRequest = DefaultMaxRequest
	}
	if c.Drain == 0 {
		c.Drain = DefaultDrain
	}
	if c.Log == nil {
		c.Log = hclog.NewNullLogger()
	}
	return &Listener{
		config: c, log: c.Log.Named("rpc"), draining: make(chan struct{}),
		conns: make(map[net.Conn]struct{}), clients: make(map[string]int),
	}
}

// Run serves ln until ctx ends, closes it, and returns when calls under way have ended
// or were cut short. Raft's connections are raft's to close.
func (l *Listener) Run(ctx context.Context, ln net.Listener) error {
	serving, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var handlers sync.WaitGroup
	err := l.accept(ctx, ln, func(conn net.Conn) {
		handlers.Go(func() { l.handle(serving, conn) })
	})
	ln.Close()
	ended := l.drain()
	cut()
	l.closeAll()
	handlers.Wait()
	<-ended
	return err
}

// accept hands connections on until ctx ends.
func (l *Listener) accept(ctx context.Context, ln net.Listener, handle func(net.Conn)) error {
	for failures := 0; ; {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		case err != nil:
			failures++
			l.log.Error("cannot accept a connection, will try again", "address", ln.Addr(), "error", err)
			if backoff(ctx, failures) != nil {
				return nil
			}
			continue
		}
		failures = 0
		gometrics.IncrCounter([]string{"rpc", "accept_conn"}, 1)
		if counted, ok := l.count(conn); ok {
			handle(counted)
		} else {
			l.log.Warn("closed a connection: too many from this address", "from", conn.RemoteAddr(), "limit", l.config.MaxConnsPerClient)
			conn.Close()
		}
	}
}

// count admits a connection. Closing what it returns makes room for another.
func (l *Listener) count(conn net.Conn) (net.Conn, bool) {
	ip := conn.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(ip); err == nil {
		ip = host
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit := l.config.MaxConnsPerClient; limit > 0 && l.clients[ip] >= limit {
		return nil, false
	}
	l.clients[ip]++
	return &countedConn{Conn: conn, release: func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.clients[ip]--; l.clients[ip] == 0 {
			delete(l.clients, ip)
		}
	}}, true
}

// handle serves one connection, whatever it carries, and closes it.
func (l *Listener) handle(ctx context.Context, conn net.Conn) {
	if !l.track(conn) {
		conn.Close()
		return
	}
	kept := false
	defer func() {
		l.untrack(conn)
		if !kept {
			conn.Close()
		}
	}()
	inner, first, err := l.begin(ctx, conn)
	if err != nil {
		l.log.Debug("closed a connection", "from", conn.RemoteAddr(), "error", err)
		return
	}
	switch first {
	case bytePlain:
		l.serveStream(ctx, inner)
	case byteMultiplex:
		err = l.serveSession(ctx, inner)
	case byteRaft:
		l.untrack(conn) // it is raft's from here on, and so its end
		kept = l.config.Raft != nil && l.config.Raft.hand(ctx, inner)
	case byteSnapshot:
		if l.config.Snapshot != nil {
			err = l.config.Snapshot(ctx, inner)
		}
	default:
		err = fmt.Errorf("first byte %d is not spoken here", first)
	}
	if err != nil {
		l.log.Debug("a connection ended", "from", conn.RemoteAddr(), "error", err)
	}
}

// begin finds out what a connection carries, and decrypts it if it is encrypted.
func (l *Listener) begin(ctx context.Context, conn net.Conn) (inner net.Conn, first byte, err error) {
	if first, err = readFirst(conn); err != nil {
		return nil, 0, err
	}
	var config *tls.Config
	if l.config.TLS != nil {
		config = l.config.TLS()
	}
	switch {
	case first == byteTLS && config != nil:
		secured, err := handshake(ctx, conn, config)
		if err != nil {
			return nil, 0, err
		}
		if first, err = readFirst(secured); err == nil && first == byteTLS {
			err = errors.New("TLS inside TLS")
		}
		return secured, first, err
	case first == recordHandshake && config != nil:
		return negotiate(ctx, &prefixConn{conn, []byte{first}}, config)
	case l.config.RequireTLS:
		return nil, 0, errors.New("it is not encrypted")
	}
	return conn, first, nil
}

// recordHandshake is the first byte of a TLS connection.
const recordHandshake = 0x16

func readFirst(conn net.Conn) (byte, error) {
	var first [1]byte
	if err := conn.SetReadDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(conn, first[:]); err != nil {
		return 0, fmt.Errorf("read the first byte: %w", err)
	}
	return first[0], conn.SetReadDeadline(time.Time{})
}

func handshake(ctx context.Context, conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	secured := tls.Server(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secured, nil
}

// negotiate is for connections that begin with TLS and say inside it what they carry.
func negotiate(ctx context.Context, conn net.Conn, config *tls.Config) (net.Conn, byte, error) {
	firsts := map[string]byte{alpnMultiplex: byteMultiplex, alpnPlain: bytePlain, alpnRaft: byteRaft, alpnSnapshot: byteSnapshot}
	config = config.Clone()
	config.NextProtos = slices.Sorted(maps.Keys(firsts))
	secured, err := handshake(ctx, conn, config)
	if err != nil {
		return nil, 0, err
	}
	protocol := secured.ConnectionState().NegotiatedProtocol
	first, ok := firsts[protocol]
	if !ok {
		return nil, 0, fmt.Errorf("protocol %q is not spoken here", protocol)
	}
	return secured, first, nil
}

// track notes a connection to be closed at the end. It reports false after the end.
func (l *Listener) track(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.conns[conn] = struct{}{}
	}
	return !l.ended
}

func (l *Listener) untrack(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}

func (l *Listener) closeAll() {
	l.mu.Lock()
	l.ended = true
	conns := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
	}
}
