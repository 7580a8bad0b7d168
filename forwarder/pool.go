package forwarder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/hanse-project/hanse/rpc"
)

const (
	// watchEvery is how often sessions are looked at while calls are open, and restEvery
	// while all rest.
	watchEvery = 100 * time.Millisecond
	restEvery  = time.Second
	// slowDial is how long a connection may take before its server is suspected.
	slowDial = 300 * time.Millisecond
	// maxSessions bounds the sessions to one server, which takes 100 from one address.
	maxSessions = 64
)

// peer is a server as the pool knows it.
type peer struct{ dc, addr string }

// pool keeps sessions with servers. Its watcher ends sessions whose server is silent.
type pool struct {
	dialer  *Dialer
	tasks   *tasks
	metrics *metrics
	// suspect is told of a server that is silent, slow to dial or gone, and alive of a
	// ping that was answered. Both are called without locks held.
	suspect func(peer)
	alive   func(peer, time.Duration)
	// exists tells whether a datacenter is known to exist.
	exists func(dc string) bool

	// resting is set while the watcher looks rarely, and stirred ends that.
	resting atomic.Bool
	stirred chan struct{}

	mu    sync.Mutex
	peers map[peer]*connections
	all   map[*session]struct{}
}

// connections are the sessions with one server.
type connections struct {
	sessions []*session
	// dialing is the attempt to add one, nil if there is none.
	dialing *dialing
}

// dialing is a connection that is being made; err is valid once done is closed.
type dialing struct {
	done chan struct{}
	err  error
}

func newPool(d *Dialer, t *tasks, m *metrics) *pool {
	return &pool{dialer: d, tasks: t, metrics: m, stirred: make(chan struct{}, 1), peers: make(map[peer]*connections), all: make(map[*session]struct{})}
}

// call makes c at p. Its error is a [*notBegun], [*lost] or [*ended] if there was no
// answer, and otherwise what the server answered.
func (l *pool) call(ctx context.Context, p peer, c *call) (any, error) {
	for resets := 0; ; {
		if c.refused != nil {
			if err := c.refused(); err != nil {
				return nil, &notBegun{err}
			}
		}
		s, d, err := l.session(p)
		if err != nil {
			return nil, err
		}
		if s == nil {
			if err := l.awaitDial(ctx, d, c); err != nil {
				return nil, err
			}
			continue
		}
		reply, err := s.call(ctx, c, l.closeStream)
		if _, ok := err.(*notBegun); !ok || !l.passOver(s, err, &resets) {
			return reply, err
		}
	}
}

// maxResets is how often a call is tried again whose stream the other side refused.
const maxResets = 3

// passOver tells whether another stream or session may serve a call that s could not
// begin.
func (l *pool) passOver(s *session, err error, resets *int) bool {
	switch {
	case errors.Is(err, errFull):
		return true
	case s.mux.IsClosed():
		l.forget(s)
	case errors.Is(err, yamux.ErrRemoteGoAway), errors.Is(err, yamux.ErrStreamsExhausted):
		s.retire()
		l.forget(s)
		return true
	}
	*resets++
	return *resets <= maxResets
}

// session finds one with room, or the dialing that will add one.
func (l *pool) session(p peer) (*session, *dialing, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.peers[p]
	if c == nil {
		c = new(connections)
		l.peers[p] = c
	}
	for _, s := range c.sessions {
		if !s.full() {
			return s, nil, nil
		}
	}
	if c.dialing != nil {
		return nil, c.dialing, nil
	}
	if len(c.sessions) >= maxSessions {
		return nil, nil, rpc.Wrap(rpc.ErrOverloaded, fmt.Sprintf("%d sessions with %s are full", maxSessions, p.addr))
	}
	d := &dialing{done: make(chan struct{})}
	if !l.tasks.run(func() { l.dial(p, d) }) {
		return nil, nil, &notBegun{errShutdown}
	}
	c.dialing = d
	return nil, d, nil
}

// full tells whether the session has no room. An answer may be late.
func (s *session) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.idle) == 0 && (s.retired || s.mux.NumStreams()+s.opening >= maxStreams)
}

func (l *pool) awaitDial(ctx context.Context, d *dialing, c *call) error {
	until := c.deadline
	if !c.patience.IsZero() && c.patience.Before(until) {
		until = c.patience
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-d.done:
		if d.err != nil {
			return &notBegun{d.err}
		}
		return nil
	case <-ctx.Done():
		return &ended{err: context.Cause(ctx)}
	case <-timer.C:
		return &notBegun{errSilent}
	}
}

// dial adds a session. It runs on its own, since several calls wait for it.
func (l *pool) dial(p peer, d *dialing) {
	slow := time.AfterFunc(slowDial, func() { l.suspect(p) })
	s, err := l.connect(p)
	slow.Stop()
	l.mu.Lock()
	c := l.peers[p]
	c.dialing = nil
	if err == nil {
		c.sessions = append(c.sessions, s)
		l.all[s] = struct{}{}
		l.countLocked(p.dc)
	}
	l.mu.Unlock()
	l.stir()
	d.err = err
	close(d.done)
	if err != nil {
		return
	}
	l.sendPing(s)
	select {
	case <-s.mux.CloseChan():
	case <-l.tasks.ctx.Done():
		s.close(errShutdown)
	}
	l.buried(s)
}

func (l *pool) connect(p peer) (*session, error) {
	ctx, cancel := context.WithTimeout(l.tasks.ctx, dialTimeout)
	defer cancel()
	conn, err := l.dialer.open(ctx, p.dc, p.addr, byteMultiplex)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", p.addr, err)
	}
	s, err := newSession(p, conn, l.stir)
	if err != nil {
		conn.Close()
	}
	return s, err
}

// buried clears away a session that has ended.
func (l *pool) buried(s *session) {
	l.forget(s)
	l.mu.Lock()
	delete(l.all, s)
	l.countLocked(s.peer.dc)
	l.mu.Unlock()
	s.mu.Lock()
	expected := s.retired || errors.Is(s.cause, errIdle) || errors.Is(s.cause, errShutdown)
	s.mu.Unlock()
	if !expected {
		l.suspect(s.peer)
	}
}

// countLocked publishes the number of sessions with servers of dc. Of a datacenter that
// is gone nothing is published once the last has ended.
func (l *pool) countLocked(dc string) {
	n := l.sessionsLocked(dc)
	if n == 0 && !l.exists(dc) {
		l.metrics.sessions.DeleteLabelValues(dc)
		return
	}
	l.metrics.sessions.WithLabelValues(dc).Set(float64(n))
}

func (l *pool) sessionsLocked(dc string) int {
	n := 0
	for s := range l.all {
		if s.peer.dc == dc {
			n++
		}
	}
	return n
}

// sessionsWith is the number of sessions with servers of dc.
func (l *pool) sessionsWith(dc string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessionsLocked(dc)
}

// forget gives no more calls to s.
func (l *pool) forget(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.peers[s.peer]
	if c == nil {
		return
	}
	c.sessions = slices.DeleteFunc(c.sessions, func(other *session) bool { return other == s })
	if len(c.sessions) == 0 && c.dialing == nil {
		delete(l.peers, s.peer)
	}
}

func (l *pool) closeStream(st *stream) {
	if !l.tasks.run(func() { st.Close() }) {
		st.Close()
	}
}

func (l *pool) sendPing(s *session) {
	l.tasks.run(func() {
		if rtt, err := s.ping(); err == nil {
			l.alive(s.peer, rtt)
		}
	})
}

// watch looks after all sessions until ctx ends. An idle agent has nothing to look at
// but sessions that rest, and sleeps.
func (l *pool) watch(ctx context.Context) {
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	var sessions []*session
	for {
		select {
		case <-timer.C:
			// Set first, since a call may begin behind the look at its session.
			l.resting.Store(true)
			sessions = l.snapshot(sessions[:0])
			next := restEvery
			for _, s := range sessions {
				verdict, rests := s.check()
				l.carryOut(s, verdict)
				if !rests {
					next = watchEvery
				}
			}
			clear(sessions)
			if next == watchEvery {
				l.resting.Store(false)
			}
			timer.Reset(next)
		case <-l.stirred:
			timer.Reset(watchEvery)
		case <-ctx.Done():
			return
		}
	}
}

// stir has the watcher look often again. It is called whenever a call or a session has
// begun.
func (l *pool) stir() {
	if l.resting.Load() && l.resting.CompareAndSwap(true, false) {
		select {
		case l.stirred <- struct{}{}:
		default:
		}
	}
}

func (l *pool) snapshot(into []*session) []*session {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.all {
		into = append(into, s)
	}
	return into
}

// giveUp ends the sessions with servers of dc that owe an answer to a ping, after another
// connection to dc has failed with err. If that was for the certificates so will they.
func (l *pool) giveUp(dc string, err error) {
	cause := errGivenUp
	if isTLS(err) {
		cause = err
	}
	for _, s := range l.snapshot(nil) {
		if s.peer.dc == dc && s.owesPing() {
			l.tasks.run(func() { s.close(cause) })
		}
	}
}

func (l *pool) carryOut(s *session, v verdict) {
	switch v {
	case ping:
		l.sendPing(s)
	case suspect:
		l.suspect(s.peer)
	case giveUp:
		l.tasks.run(func() { s.close(errGivenUp) })
	case retire:
		l.forget(s)
		l.tasks.run(func() { s.close(errIdle) })
	}
}
