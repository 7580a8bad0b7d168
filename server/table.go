package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hanse-project/hanse/forwarder"
	"github.com/hanse-project/hanse/rpc"
)

// Router carries a call that this server does not answer itself.
type Router interface {
	// ToDatacenter sends the call to a server of another datacenter.
	ToDatacenter(ctx context.Context, dc string, m *rpc.Info, req rpc.Request, newReply func() any) (any, error)
	// ToServer sends the call to one server of this datacenter, by its address.
	ToServer(ctx context.Context, addr string, m *rpc.Info, req rpc.Request, newReply func() any) (any, error)
}

// Position is what the table asks of the log to know where this server stands.
type Position interface {
	// IsLeader tells whether this server leads.
	IsLeader() bool
	// LeaderAddress is the leader's address, "" if none is known.
	LeaderAddress() string
	// LastContact is how long ago the leader was heard; 0 on the leader.
	LastContact() time.Duration
	// ReadIndex returns once the store holds every write acknowledged before the call.
	ReadIndex(ctx context.Context) error
}

// Table is every method that this server knows. It is the [rpc.Caller] of the faces
// in this process and answers the calls that arrive over the network.
type Table struct {
	datacenter string
	hold       time.Duration
	methods    map[string]*method
	position   Position
	router     Router
	answerer   *answerer
	// successor is the address of the server that answers instead of this one, "" if there is
	// none, once this one takes no part in the log any more: nil before that.
	successor atomic.Pointer[string]
}

// method is one entry of the table.
type method struct {
	rpc.Handler
	metrics methodMetrics
}

// newTable puts the methods into t, whose other fields are set.
func newTable(t *Table, m *metrics, handlers []rpc.Handler) (*Table, error) {
	t.methods = make(map[string]*method, len(handlers))
	for _, h := range handlers {
		if t.methods[h.Name] != nil {
			return nil, fmt.Errorf("method %s is declared twice", h.Name)
		}
		t.methods[h.Name] = &method{h, m.of(h.Name)}
	}
	return t, nil
}

// handOn sends what finds no leader here to another server from now on. With "" there
// is none.
func (t *Table) handOn(successor string) {
	if successor != "" {
		t.successor.Store(&successor)
	}
}

// end has no call wait for a leader any more: the log of this server is about to be closed.
// What finds none is sent to successor, and fails if that is "", so that its caller can try
// another server while this one can still say so.
func (t *Table) end(successor string) { t.successor.CompareAndSwap(nil, &successor) }

// Serve answers a call that arrived over the network. decode fills in the request.
func (t *Table) Serve(ctx context.Context, method string, decode func(rpc.Request) error) (any, error) {
	reply, err := t.serve(ctx, method, decode)
	countRequest(err)
	return reply, err
}

func (t *Table) serve(ctx context.Context, method string, decode func(rpc.Request) error) (any, error) {
	h := t.methods[method]
	if h == nil {
		return nil, t.unknown(method)
	}
	req := h.NewRequest()
	if err := decode(req); err != nil {
		return nil, err
	}
	return t.Call(ctx, h.Info, req, h.NewReply)
}

func (t *Table) unknown(method string) error {
	service, _, dotted := strings.Cut(method, ".")
	if !dotted {
		return rpc.Invalid("rpc: service/method request ill-formed: " + method)
	}
	for name := range t.methods {
		if strings.HasPrefix(name, service+".") {
			return &rpc.Error{Reason: rpc.ReasonUnknownMethod, Text: rpc.ErrUnknownMethod.Text + " " + method, Cause: rpc.ErrUnknownMethod}
		}
	}
	return &rpc.Error{Reason: rpc.ReasonUnknownMethod, Text: rpc.ErrUnknownService.Text + " " + method, Cause: rpc.ErrUnknownService}
}

// Call implements [rpc.Caller].
func (t *Table) Call(ctx context.Context, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	h := t.methods[m.Name]
	if h == nil {
		return nil, t.unknown(m.Name)
	}
	start := time.Now()
	reply, err := t.route(ctx, h, req, newReply)
	h.metrics.observe(time.Since(start), err)
	return reply, err
}

func (t *Table) route(ctx context.Context, h *method, req rpc.Request, newReply func() any) (any, error) {
	env := req.Envelope()
	if dc := *env.Datacenter; h.Route != rpc.Local && dc != "" && dc != t.datacenter {
		countCrossDC()
		return t.router.ToDatacenter(ctx, dc, h.Info, req, newReply)
	}
	if h.Route != rpc.Forward {
		return t.answerer.answer(ctx, &h.Handler, req)
	}
	reply, err := t.withLog(ctx, h, req, newReply)
	if next := t.successor.Load(); next != nil && *next != "" && leaderMissing(err) && !forwarder.Forwarded(ctx) {
		return t.router.ToServer(ctx, *next, h.Info, req, newReply)
	}
	return reply, err
}

// withLog answers a call that needs the log: here, or through the leader.
func (t *Table) withLog(ctx context.Context, h *method, req rpc.Request, newReply func() any) (any, error) {
	switch env := req.Envelope(); {
	case h.StaleAnywhere && env.Query != nil && env.Query.AllowStale:
		return t.answerer.answer(ctx, &h.Handler, req)
	case env.Query == nil || h.Leader:
		return t.atLeader(ctx, &h.Handler, req, newReply)
	case env.Query.AllowStale:
		if !t.answerer.everLed() {
			return nil, rpc.ErrNoLeader
		}
		return t.answerer.answer(ctx, &h.Handler, req)
	}
	return t.read(ctx, &h.Handler, req)
}

// atLeader has the leader answer. An election in the meantime is waited out: until a
// leader has taken the call nothing has happened.
func (t *Table) atLeader(ctx context.Context, h *rpc.Handler, req rpc.Request, newReply func() any) (reply any, err error) {
	attempt := func(ctx context.Context) error {
		var err error
		if t.position.IsLeader() {
			if err := t.provenLead(ctx, req); err != nil {
				return err
			}
			defer timed(h.Timer, time.Now())
			reply, err = t.answerer.answer(ctx, h, req)
			return err
		}
		leader := t.position.LeaderAddress()
		if leader == "" || forwarder.Forwarded(ctx) {
			return rpc.ErrNoLeader // the server that took us for the leader looks again
		}
		reply, err = t.router.ToServer(ctx, leader, h.Info, req, newReply)
		return err
	}
	if forwarder.Forwarded(ctx) {
		err = attempt(ctx)
	} else {
		err = t.holding(ctx, attempt)
	}
	return reply, err
}

// provenLead returns nil for a write, which the log proves by taking it, and for a read
// once this leader holds all that was acknowledged, and leads still.
func (t *Table) provenLead(ctx context.Context, req rpc.Request) error {
	if q := req.Envelope().Query; q == nil || q.AllowStale {
		return nil
	}
	if err := t.position.ReadIndex(ctx); err != nil {
		return err
	}
	if !t.position.IsLeader() {
		return rpc.ErrNoLeader
	}
	return nil
}

// read answers here once this server's state is proven to be recent enough.
func (t *Table) read(ctx context.Context, h *rpc.Handler, req rpc.Request) (any, error) {
	if err := t.holding(ctx, t.position.ReadIndex); err != nil {
		return nil, err
	}
	return t.answerer.answer(ctx, h, req)
}

// retryEvery is how often a call that waits for a leader looks again.
const retryEvery = 20 * time.Millisecond

// holding repeats do while there is no leader to ask, or the one that was asked is lost,
// for the hold time at most.
func (t *Table) holding(ctx context.Context, do func(context.Context) error) error {
	err := do(ctx)
	if !leaderMissing(err) {
		return err
	}
	end := time.NewTimer(t.hold)
	defer end.Stop()
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for leaderMissing(err) && t.successor.Load() == nil {
		select {
		case <-tick.C:
			err = do(ctx)
		case <-end.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
	return err
}

// leaderMissing tells whether a call can be made again. A connection that was lost is
// only ever the error of a read: the fate of a write is then unknown.
func leaderMissing(err error) bool {
	return errors.Is(err, rpc.ErrNoLeader) || errors.Is(err, rpc.ErrConnectionLost)
}
