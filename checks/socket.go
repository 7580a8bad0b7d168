package checks

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// tcp connects. With TLS the handshake counts too.
func (p *probes) tcp(d *Definition) probe {
	return func(ctx context.Context) (string, string) {
		conn, err := p.connect(ctx, d, "tcp", d.TCP, d.TCPUseTLS)
		if err != nil {
			return Critical, err.Error()
		}
		_ = conn.Close()
		return Passing, fmt.Sprintf("TCP connect %s: Success", d.TCP)
	}
}

// udp sends a datagram. An answer is good, and so is silence, because many a server only
// speaks when it understands; a refusal is not.
func (p *probes) udp(d *Definition) probe {
	return func(ctx context.Context) (string, string) {
		conn, err := p.connect(ctx, d, "udp", d.UDP, false)
		if err != nil {
			return Critical, err.Error()
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("ping\n")); err != nil {
			return Critical, err.Error()
		}
		_, err = conn.Read(make([]byte, 1))
		if timeout := net.Error(nil); err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
			return Critical, err.Error()
		}
		return Passing, fmt.Sprintf("UDP connect %s: Success", d.UDP)
	}
}
