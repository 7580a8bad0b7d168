package forwarder

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

const (
	// pingAfter is how long a session may be silent before it is pinged, while an answer is
	// due, and waitingPingAfter while only blocking queries are open.
	pingAfter        = 300 * time.Millisecond
	waitingPingAfter = 2 * time.Second
	// suspectAfter is how long a ping may be owed before the other servers of that
	// datacenter are looked at, too.
	suspectAfter = 200 * time.Millisecond
	// pingPatience and silenceLimit are how long a ping may be owed, and how long the
	// other side may be silent, before the session is given up.
	pingPatience = time.Second
	silenceLimit = 1500 * time.Millisecond
	// keepAlive is how long a session without calls may be silent before it is pinged.
	keepAlive = 15 * time.Second
	// idleLimit is how long a session without calls is kept.
	idleLimit = 2 * time.Minute

	// maxStreams bounds the streams of a session: yamux blocks when 256 that it opened
	// have not been acknowledged.
	maxStreams = 255
	// maxIdleStreams is how many streams are kept for the next call.
	maxIdleStreams = 64
	// streamBuffer is for the small parts of messages; strings are read past it.
	streamBuffer = 1 << 10
	// replyWindow is how much of an answer may be under way: at 80 ms it carries 12 MB/s.
	replyWindow = 1 << 20
)

var (
	errFull     = errors.New("the session has no room for another call")
	errGivenUp  = errors.New("it does not answer pings")
	errIdle     = errors.New("the session was idle")
	errShutdown = errors.New("the pool is shut down")
)

// session is one yamux connection to a server.
type session struct {
	peer peer
	conn *muxConn
	mux  *yamux.Session

	// begun counts the calls that were started, and begunAt is when the last one was, in
	// unix nanoseconds. due counts those that are open and not blocking queries. Each call
	// calls stir, once it is counted.
	begun   atomic.Uint64
	begunAt atomic.Int64
	due     atomic.Int64
	stir    func()

	mu      sync.Mutex
	idle    []*stream // the last used is at the end
	opening int
	retired bool // the other side takes no new streams
	// owed is when the ping was sent that is not answered yet, zero if there is none.
	owed     time.Time
	rtt      time.Duration // of the last ping, 0 before the first answer
	lastUsed time.Time
	lastSeen uint64 // begun at lastUsed
	cause    error  // why we closed the session, nil if the other side did
}

func newSession(p peer, conn net.Conn, stir func()) (*session, error) {
	now := time.Now()
	// The pool sends the first ping at once: it finds out whether anybody is there.
	s := &session{peer: p, stir: stir, conn: newMuxConn(conn), lastUsed: now, owed: now}
	mux, err := yamux.Client(s.conn, muxConfig(replyWindow, pingPatience))
	if err != nil {
		return nil, fmt.Errorf("begin session with %s: %w", p.addr, err)
	}
	s.mux = mux
	return s, nil
}

// stream takes an idle stream or opens one. For a write it makes sure that the other
// side has not closed it meanwhile.
func (s *session) stream(write bool) (*stream, error) {
	for {
		if s.mux.IsClosed() {
			return nil, yamux.ErrSessionShutdown
		}
		s.mu.Lock()
		n := len(s.idle)
		if n == 0 {
			break
		}
		st := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.mu.Unlock()
		if write && st.stale() {
			st.Close()
			continue
		}
		st.opened = time.Time{}
		return st, nil
	}
	if s.retired || s.mux.NumStreams()+s.opening >= maxStreams {
		s.mu.Unlock()
		return nil, errFull
	}
	s.opening++
	s.mu.Unlock()
	now := time.Now()
	opened, err := s.mux.OpenStream()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opening--
	if err != nil {
		return nil, err
	}
	wrapped := s.conn.wrap(opened)
	return &stream{wrapped, bufio.NewReaderSize(wrapped, streamBuffer), now}, nil
}

// call makes c on a stream of the session. close takes care of a stream that is not
// to be used again: closing may have to wait for the other side.
func (s *session) call(ctx context.Context, c *call, closeStream func(*stream)) (any, error) {
	st, err := s.stream(c.info.Write)
	switch {
	case err == errFull:
		return nil, &notBegun{err}
	case err != nil:
		return nil, &notBegun{s.why(err)}
	}
	if !c.waits {
		s.due.Add(1)
		defer s.due.Add(-1)
	}
	s.begunAt.Store(time.Now().UnixNano())
	s.begun.Add(1)
	s.stir()
	reply, keep, err := c.do(ctx, st, s.conn.lastHeard)
	if keep = keep && s.keep(st); !keep {
		closeStream(st)
	}
	switch failure := err.(type) {
	case *notBegun:
		failure.err = s.why(failure.err)
	case *lost:
		if st.refused(failure.err) {
			return nil, &notBegun{failure.err}
		}
		if failure.open = !s.mux.IsClosed() && failure.err != errSilent; !failure.open {
			failure.err = s.why(failure.err)
		}
	}
	return reply, err
}

// retire has the session closed once its calls have ended.
func (s *session) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = true
}

// keep puts st among the idle ones, if there is room.
func (s *session) keep(st *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) >= maxIdleStreams || s.retired {
		return false
	}
	s.idle = append(s.idle, st)
	return true
}

// why is the reason for which the session was closed, err if it is not known.
func (s *session) why(err error) error {
	if !s.mux.IsClosed() {
		return err
	}
	s.mux.Close() // whoever closes it has then learned how the connection ended
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return s.cause
	}
	if failure := s.conn.failure(); failure != nil {
		return fmt.Errorf("the connection ended: %w", failure)
	}
	return err
}

// close ends the session and all calls on it for the given reason, if it has not ended for
// one of its own.
func (s *session) close(cause error) {
	s.mu.Lock()
	if s.cause == nil && s.conn.failure() == nil {
		s.cause = cause
	}
	s.mu.Unlock()
	s.mux.Close()
}

// verdict is what a look at a session says must be done.
type verdict uint8

const (
	fine verdict = iota
	ping
	suspect
	giveUp
	retire
)

// check judges the session. The caller carries out the verdict. A session rests while
// no answer is due: a blocking query is none, once its server was heard after it began.
func (s *session) check() (v verdict, rests bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, heard := time.Now(), s.conn.lastHeard()
	busy := s.opening > 0 || s.mux.NumStreams() > len(s.idle)
	begun := s.begun.Load()
	if busy || begun != s.lastSeen {
		s.lastUsed, s.lastSeen = now, begun
	}
	due := s.due.Load() > 0 || s.opening > 0 || s.begunAt.Load() > heard.UnixNano()
	v = s.judgeLocked(now, heard, busy, due)
	return v, !due && s.owed.IsZero() && !s.retired
}

func (s *session) judgeLocked(now, heard time.Time, busy, due bool) verdict {
	if heard.After(s.owed) {
		s.owed = time.Time{} // whatever it was that arrived, the other side is alive
	}
	silent := now.Sub(heard)
	if !s.owed.IsZero() {
		switch owed := now.Sub(s.owed); {
		case owed >= pingPatience && silent >= silenceLimit:
			return giveUp
		case owed >= max(suspectAfter, 2*s.rtt):
			return suspect
		}
		return fine
	}
	switch {
	case !busy && (s.retired || now.Sub(s.lastUsed) >= idleLimit):
		return retire
	case due && silent >= pingAfter, busy && silent >= waitingPingAfter, silent >= keepAlive:
		s.owed = now
		return ping
	}
	return fine
}

// owesPing tells whether a ping was sent after which nothing was heard.
func (s *session) owesPing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.owed.IsZero() && !s.conn.lastHeard().After(s.owed)
}

// ping asks for a sign of life and measures the round trip.
func (s *session) ping() (time.Duration, error) {
	rtt, err := s.mux.Ping()
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rtt = rtt
	return rtt, nil
}
