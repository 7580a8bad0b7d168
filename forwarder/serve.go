package forwarder

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/hanse-project/hanse/rpc"
)

const (
	// requestTime is how long a request may take from its first byte to its last.
	requestTime = 30 * time.Second
	// replyTime is how long the caller may take nothing of an answer.
	replyTime = 30 * time.Second
	// watchAfter is how long a call may take before its caller is watched.
	watchAfter = 10 * time.Millisecond
	// windowOfRequests is how much of a request may be under way on one stream.
	windowOfRequests = 256 << 10
)

// serveSession serves the streams of a yamux session until it ends.
func (l *Listener) serveSession(ctx context.Context, conn net.Conn) error {
	config := muxConfig(windowOfRequests, 10*time.Second)
	config.EnableKeepAlive = true
	below := newMuxConn(conn)
	mux, err := yamux.Server(below, config)
	if err != nil {
		return err
	}
	defer mux.Close()
	var streams sync.WaitGroup
	defer streams.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := make(chan struct{})
	defer close(stopped)
	streams.Go(func() {
		select {
		case <-l.draining:
			mux.GoAway()
		case <-stopped:
		}
	})
	var open atomic.Int64
	for {
		accepted, err := mux.AcceptStream()
		if err != nil {
			return err
		}
		stream := below.wrap(accepted)
		if open.Add(1) > int64(l.config.MaxStreams) {
			open.Add(-1)
			stream.Close()
			continue
		}
		streams.Go(func() {
			defer open.Add(-1)
			defer stream.Close()
			l.serveStream(ctx, stream)
		})
	}
}

// serveStream serves the calls of a stream, or of a plain connection, one after
// another. It does not close it.
func (l *Listener) serveStream(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.streams.Add(1)
	defer l.streams.Add(-1)
	s := &served{listener: l, conn: conn, r: bufio.NewReaderSize(conn, streamBuffer), cancel: cancel}
	for s.next(ctx) {
	}
}

// served is a stream whose calls are being answered.
type served struct {
	listener *Listener
	conn     net.Conn
	r        *bufio.Reader
	cancel   context.CancelFunc
}

// next answers the next call. It reports false when there will be no more.
func (s *served) next(ctx context.Context) bool {
	if _, err := s.r.Peek(1); err != nil {
		return false
	}
	m := newMessage()
	defer m.free()
	if s.conn.SetReadDeadline(time.Now().Add(requestTime)) != nil {
		return false
	}
	if err := m.readHead(s.r); err != nil {
		return false
	}
	h, err := parseHeader(m.head)
	if err != nil {
		return false
	}
	if err := m.readBody(s.r, s.listener.config.MaxRequest); err != nil {
		if errors.Is(err, errTooLarge) {
			s.reply(m, header{seq: h.seq, method: h.method}, nil, rpc.Wrap(rpc.ErrTooLarge, "the request"))
		}
		return false
	}
	if s.conn.SetReadDeadline(time.Time{}) != nil {
		return false
	}
	return s.answer(ctx, m, h)
}

// answer has the dispatcher answer a call, and sends what it says.
func (s *served) answer(ctx context.Context, m *message, h header) bool {
	if h.forwarded {
		ctx = context.WithValue(ctx, forwardedKey{}, true)
	}
	back := header{seq: h.seq, method: h.method}
	if !strings.Contains(h.method, ".") {
		s.reply(m, back, nil, rpc.Invalid("rpc: service/method request ill-formed: "+h.method))
		return false
	}
	if !s.listener.startCall() {
		return s.reply(m, back, nil, rpc.Wrap(rpc.ErrNoLeader, "this server is shutting down"))
	}
	defer s.listener.calls.Done()
	notDue := sync.OnceFunc(s.listener.due.Done)
	defer notDue()
	var garbled error
	unwatch := s.watch()
	reply, err := s.listener.config.Dispatcher.Serve(ctx, h.method, func(req rpc.Request) error {
		if err := m.decodeBody(req); err != nil {
			garbled = rpc.Invalid(err.Error())
		} else if q := req.Envelope().Query; q != nil && q.MinQueryIndex > 0 {
			notDue()
		}
		return garbled
	})
	if !unwatch() {
		return false
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		// The call ended with this server, not by what it asks. The caller finds its
		// connection closed, and repeats elsewhere what may be repeated.
		return false
	}
	unknown := errors.Is(err, rpc.ErrUnknownMethod) || errors.Is(err, rpc.ErrUnknownService)
	return s.reply(m, back, reply, err) && garbled == nil && !unknown
}

// reply sends the answer to a call.
func (s *served) reply(m *message, h header, reply any, err error) bool {
	if err == nil {
		err = m.encodeBody(reply)
	}
	if err != nil {
		h.err, h.reason = errorText(err), rpc.ReasonOf(err)
		m.body = append(m.body[:0], emptyMap...)
	}
	m.head = h.appendReply(m.head[:0])
	return m.write(s.conn, replyTime) == nil
}

// errorText is the text of err. An empty one would be taken for success.
func errorText(err error) string {
	text := err.Error()
	if text == "" {
		return "unknown error"
	}
	return text[:min(len(text), maxHeader/2)]
}

// watch has the call's context end when the caller goes away, if the call takes
// longer. The function it returns ends the watch and reports whether the caller is
// still there.
func (s *served) watch() (unwatch func() bool) {
	gone, ended := false, make(chan struct{})
	timer := time.AfterFunc(watchAfter, func() {
		defer close(ended)
		// The caller sends nothing before it has its answer.
		if _, err := s.r.Peek(1); err != nil && !isDeadline(err) {
			gone = true
			s.cancel()
		}
	})
	return func() bool {
		if timer.Stop() {
			return true
		}
		s.conn.SetReadDeadline(longAgo)
		<-ended
		return !gone && s.conn.SetReadDeadline(time.Time{}) == nil
	}
}

// forwardedKey is the key of a context's mark that the call was forwarded.
type forwardedKey struct{}

// Forwarded tells whether the call that ctx belongs to was sent to this server because
// its caller, a server of the same datacenter, takes it for the leader. If it is
// not, it answers [rpc.ErrNoLeader] and does not pass the call on: the caller knows to
// wait for the election, and no call runs in circles.
func Forwarded(ctx context.Context) bool { return ctx.Value(forwardedKey{}) != nil }

// startCall counts a call. It reports false if none is to be answered any more.
func (l *Listener) startCall() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.draining:
		return false
	default:
		l.calls.Add(1)
		l.due.Add(1)
		return true
	}
}

// drain refuses further calls, and waits for those under way whose answer is due, and then a
// moment for refusals to reach callers that do not know of the end yet. The channel is
// closed once the last call has ended.
func (l *Listener) drain() (ended <-chan struct{}) {
	l.mu.Lock()
	close(l.draining)
	l.mu.Unlock()
	if l.streams.Load() > 0 {
		select {
		case <-closedAfter(&l.due):
			time.Sleep(lingerTime)
		case <-time.After(l.config.Drain):
		}
	}
	return closedAfter(&l.calls)
}

// closedAfter is closed once wg has nothing to wait for.
func closedAfter(wg *sync.WaitGroup) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		wg.Wait()
	}()
	return done
}
