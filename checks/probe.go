package checks

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"time"
)

// Reach is how checks get at what they check. Its zero value is the machine's network,
// its certificate authorities, and Docker where it usually is.
type Reach struct {
	// Dial opens connections; nil is the network of the machine.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS returns what every TLS connection starts from, such as the agent's own
	// certificate, or the name to verify; nil is an empty configuration.
	TLS func() *tls.Config
	// DockerHost is the address of the Docker engine; "" means what the environment
	// variable DOCKER_HOST says, or else unix:///var/run/docker.sock.
	DockerHost string
}

// probe makes a check once. It returns when ctx ends at the latest, and leaves nothing
// behind.
type probe func(ctx context.Context) (result, output string)

// probes makes probes, and holds what they share.
type probes struct {
	reach  Reach
	plain  *http.Transport // for checks that begin without TLS
	docker *docker
}

func newProbes(reach Reach) *probes {
	if reach.Dial == nil {
		reach.Dial = new(net.Dialer).DialContext
	}
	if reach.TLS == nil {
		reach.TLS = func() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }
	}
	p := &probes{reach: reach}
	p.plain = p.plainTransport()
	p.docker = newDocker(reach.DockerHost)
	return p
}

// of returns the probe of a definition, and nil for one that is told and not made.
func (p *probes) of(d *Definition) (probe, error) {
	switch d.Type() {
	case "docker":
		return p.docker.probe(d)
	case "script":
		return script(d), nil
	case "http":
		return p.http(d), nil
	case "tcp":
		return p.tcp(d), nil
	case "udp":
		return p.udp(d), nil
	case "grpc":
		return p.grpc(d), nil
	case "h2ping":
		return p.h2ping(d), nil
	case "os_service":
		return osService(d), nil
	}
	return nil, nil
}

// tlsFor is the TLS configuration of a check. The name to verify is that of the definition,
// or else the agent's, or else host.
func (p *probes) tlsFor(d *Definition, host string, protos ...string) *tls.Config {
	c := p.reach.TLS().Clone()
	c.ServerName = cmp.Or(d.TLSServerName, c.ServerName, host)
	c.InsecureSkipVerify = d.TLSSkipVerify
	c.NextProtos = protos
	return c
}

// connect opens a connection to host:port for one turn, and breaks it off when ctx ends.
func (p *probes) connect(ctx context.Context, d *Definition, network, address string, useTLS bool, protos ...string) (net.Conn, error) {
	conn, err := p.reach.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // one that cannot be set is one that ctx ends too
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	if !useTLS {
		return &turnConn{conn, stop}, nil
	}
	host, _, _ := net.SplitHostPort(address)
	secure := tls.Client(conn, p.tlsFor(d, strings.TrimSuffix(host, "."), protos...))
	if err := secure.HandshakeContext(ctx); err != nil {
		stop()
		_ = conn.Close()
		return nil, err
	}
	return &turnConn{secure, stop}, nil
}

// turnConn is a connection of one turn.
type turnConn struct {
	net.Conn
	stop func() bool // ends the watch on the turn's context
}

// Close implements net.Conn.
func (c *turnConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
