package forwarder

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/hanse-project/hanse/rpc"
)

// call is one call on its way, to one server or to several in turn.
type call struct {
	info     *rpc.Info
	newReply func() any
	// request is encoded once for all attempts, and reply is the room for the answers.
	request, reply *message
	maxReply       int
	// waits marks a blocking query: its answer may be minutes away.
	waits bool

	begin time.Time
	// refused, if set, says why the call shall not be begun any more, nil if it may.
	refused func() error
	// deadline ends the call in any case, patience if its server was not heard since
	// begin. A zero patience means that only deadline counts.
	deadline, patience time.Time
}

// newCall encodes the request. The caller frees the call.
func newCall(seq uint64, info *rpc.Info, forwarded bool, req rpc.Request, newReply func() any) (*call, error) {
	c := &call{info: info, newReply: newReply, request: newMessage(), reply: newMessage(), begin: time.Now()}
	if q := req.Envelope().Query; q != nil {
		c.waits = info.Blocking && q.MinQueryIndex > 0
	}
	h := header{seq: seq, method: info.Name, forwarded: forwarded}
	c.request.head = h.appendRequest(c.request.head[:0])
	if err := c.request.encodeBody(req); err != nil {
		c.free()
		return nil, err
	}
	return c, nil
}

func (c *call) free() {
	c.request.free()
	c.reply.free()
}

// errSilent ends a call whose server was not heard since it began.
var errSilent = errors.New("it has not been heard of since the call began")

// stream is one of a session's streams. It carries one call at a time.
type stream struct {
	*muxStream
	r *bufio.Reader
	// opened is when the stream was opened, zero once it has carried a call.
	opened time.Time
}

// refused tells whether err, with which the first call on a stream was lost, means that the
// other side never took the stream: it goes away, or has too many. The only other streams
// that yamux resets are those that were closed before, after a while.
func (st *stream) refused(err error) bool {
	return errors.Is(err, yamux.ErrConnectionReset) && time.Since(st.opened) < streamCloseTime
}

// stale tells whether the other side closed a stream while it was idle.
func (st *stream) stale() bool {
	st.SetReadDeadline(longAgo)
	_, err := st.r.Peek(1)
	return err == nil || !isDeadline(err)
}

func isDeadline(err error) bool {
	return errors.Is(err, yamux.ErrTimeout) || errors.Is(err, os.ErrDeadlineExceeded)
}

// do makes the call on st. keep tells whether the stream may carry another call.
func (c *call) do(ctx context.Context, st *stream, lastHeard func() time.Time) (reply any, keep bool, err error) {
	if err := c.request.write(st, 0); err != nil {
		err = fmt.Errorf("send the request: %w", err)
		if errors.Is(err, yamux.ErrStreamClosed) || errors.Is(err, yamux.ErrConnectionReset) {
			return nil, false, &notBegun{err} // the request was not sent whole
		}
		return nil, false, &lost{err: err}
	}
	stop := context.AfterFunc(ctx, func() { st.SetReadDeadline(longAgo) })
	defer stop()
	if err := c.awaitReply(ctx, st, lastHeard); err != nil {
		return nil, false, err
	}
	if err := c.reply.read(st.r, c.maxReply); err != nil {
		if isDeadline(err) {
			return nil, false, c.expired(ctx)
		}
		if errors.Is(err, errTooLarge) {
			return nil, false, rpc.Wrap(rpc.ErrTooLarge, fmt.Sprintf("the answer to %s has more than %d bytes", c.info.Name, c.maxReply))
		}
		return nil, false, &lost{err: fmt.Errorf("read the answer: %w", err)}
	}
	h, err := parseHeader(c.reply.head)
	if err != nil {
		return nil, false, &lost{err: fmt.Errorf("read the answer: %w", err)}
	}
	if h.err != "" {
		return nil, false, rpc.FromWire(h.err, h.reason)
	}
	reply = c.newReply()
	if err := c.reply.decodeBody(reply); err != nil {
		return nil, false, fmt.Errorf("decode the answer to %s: %w", c.info.Name, err)
	}
	return reply, stop(), nil
}

// awaitReply returns when the reply has begun to arrive.
func (c *call) awaitReply(ctx context.Context, st *stream, lastHeard func() time.Time) error {
	until := c.deadline
	if !c.patience.IsZero() && c.patience.Before(until) {
		until = c.patience
	}
	for {
		st.SetReadDeadline(until)
		if ctx.Err() != nil { // and the deadline that its end set may just have been replaced
			return c.expired(ctx)
		}
		_, err := st.r.Peek(1)
		switch {
		case err == nil:
			// The patience was for a sign of life. A long answer may take its time.
			st.SetReadDeadline(c.deadline)
			if ctx.Err() != nil {
				return c.expired(ctx)
			}
			return nil
		case !isDeadline(err):
			return &lost{err: fmt.Errorf("wait for the answer: %w", err)}
		case ctx.Err() != nil || !time.Now().Before(c.deadline):
			return c.expired(ctx)
		case !lastHeard().After(c.begin):
			return &lost{err: errSilent}
		}
		until = c.deadline
	}
}

// expired is the error of a call that ended before its answer came.
func (c *call) expired(ctx context.Context) error {
	if ctx.Err() != nil {
		return &ended{err: fmt.Errorf("%s: %w", c.info.Name, context.Cause(ctx)), begun: true}
	}
	detail := fmt.Sprintf("%s was not answered within %v", c.info.Name, c.deadline.Sub(c.begin).Round(time.Millisecond))
	return &ended{err: rpc.Wrap(rpc.ErrTimeout, detail), begun: true}
}
