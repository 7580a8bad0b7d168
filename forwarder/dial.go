package forwarder

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// dialTimeout bounds connecting and, with TLS, the handshake.
const dialTimeout = time.Second

// Dialer opens connections to server ports.
type Dialer struct {
	// Dial connects to host:port; nil is TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// TLS is the configuration for servers of dc, with the server name to verify. It, or
	// what it returns, is nil where connections are not encrypted. It is asked for
	// every connection, so that certificates may be renewed.
	TLS func(dc string) *tls.Config
}

// open connects to addr and says with a first byte what the connection carries.
func (d *Dialer) open(ctx context.Context, dc, addr string, first byte) (net.Conn, error) {
	dial := d.Dial
	if dial == nil {
		dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
	conn, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	var config *tls.Config
	if d.TLS != nil {
		config = d.TLS(dc)
	}
	secured, err := greet(ctx, conn, config, first)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("begin connection to %s: %w", addr, err)
	}
	return secured, nil
}

// greet writes the first bytes, and shakes hands where config asks for TLS.
func greet(ctx context.Context, conn net.Conn, config *tls.Config, first byte) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	defer stop()
	if config != nil {
		if _, err := conn.Write([]byte{byteTLS}); err != nil {
			return nil, err
		}
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, &tlsError{err}
		}
		conn = secured
	}
	if _, err := conn.Write([]byte{first}); err != nil {
		return nil, err
	}
	if !stop() {
		return nil, context.Cause(ctx)
	}
	return conn, nil
}

// tlsError is a handshake that failed.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return "TLS: " + e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }

// isTLS tells whether the certificates, not the network, are at fault. The other side
// may find fault with ours only after the handshake, as an alert.
func isTLS(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return true
	}
	handshake, ok := errors.AsType[*tlsError](err)
	if !ok {
		return false
	}
	timeout, ok := errors.AsType[net.Error](handshake.err)
	return !(ok && timeout.Timeout()) && !errors.Is(handshake.err, io.EOF) &&
		!errors.Is(handshake.err, syscall.ECONNRESET) && !errors.Is(handshake.err, context.Canceled)
}
