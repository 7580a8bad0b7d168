package consensus

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Of one transport: idle connections kept to each server, and the time one
// operation may take (a snapshot takes longer in proportion to its size).
const (
	idleConns = 3
	ioTimeout = 10 * time.Second
)

func (n *Node) openTransport(cfg Config) raft.Transport {
	n.silent = func(raft.ServerID) bool { return false }
	if cfg.Transport != nil {
		if c, ok := cfg.Transport.(raft.WithClose); ok {
			n.stops = append(n.stops, c.Close)
		}
		return cfg.Transport
	}
	streams := &ownedStreams{StreamLayer: cfg.Streams}
	trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:                  streams,
		ServerAddressProvider:   cfg.Addresses,
		MaxPool:                 idleConns,
		Timeout:                 ioTimeout,
		MsgpackUseNewTimeFormat: true,
		Logger:                  n.log.Named("raft-net"),
	})
	ctx, cancel := context.WithCancel(n.ctx)
	n.hangUp = func() error {
		cancel()
		err := trans.Close()
		trans.CloseStreams()
		streams.closeAll()
		return err
	}
	n.stops = append(n.stops, n.hangUp)
	own := &networkTransport{
		NetworkTransport: trans, closed: ctx.Done(), member: n.isMember,
		leading: func() (bool, <-chan struct{}) {
			leading, _, changed := n.leadership.now()
			return leading, changed
		},
	}
	n.silent = func(id raft.ServerID) bool { return own.beats.answered(id, n.raft.CurrentTerm()) != nil }
	return own
}

// networkTransport is raft's own, mended: its pipelines cannot get stuck, and entries
// wait for followers that are silent.
type networkTransport struct {
	*raft.NetworkTransport
	beats   heartbeats
	closed  <-chan struct{}
	member  func(raft.ServerID) bool
	leading func() (leading bool, changed <-chan struct{}) // changed is closed at the next change of leader
}

// ownedStreams remembers its connections, so that what raft does on them ends with the
// node and not with the other side.
type ownedStreams struct {
	raft.StreamLayer

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]bool
}

func (s *ownedStreams) Accept() (net.Conn, error) {
	c, err := s.StreamLayer.Accept()
	if err != nil {
		return nil, err
	}
	return s.own(c)
}

func (s *ownedStreams) Dial(to raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := s.StreamLayer.Dial(to, timeout)
	if err != nil {
		return nil, err
	}
	return s.own(c)
}

func (s *ownedStreams) own(c net.Conn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return nil, net.ErrClosed
	}
	if s.open == nil {
		s.open = make(map[net.Conn]bool)
	}
	own := &ownedConn{Conn: c, from: s}
	s.open[own] = true
	return own, nil
}

func (s *ownedStreams) closeAll() {
	s.mu.Lock()
	open := s.open
	s.closed, s.open = true, nil
	s.mu.Unlock()
	for c := range open {
		c.Close()
	}
}

type ownedConn struct {
	net.Conn
	from *ownedStreams
}

// Read ends like that of a connection which the other side closed, once we did: raft
// logs anything else as an error.
func (c *ownedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, net.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

func (c *ownedConn) Close() error {
	c.from.mu.Lock()
	delete(c.from.open, c)
	c.from.mu.Unlock()
	return c.Conn.Close()
}
