package forwarder

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/rpc"
)

// Server is one to try.
type Server struct {
	// Name is the node's name, for messages.
	Name string
	// Addr is host:port of its server port.
	Addr string
}

// Picker knows the servers of each datacenter. Its methods are called for every call
// and must not block.
type Picker interface {
	// Servers are those of dc in the order in which to try them. The caller does not
	// change the slice. known is false for a datacenter that does not exist.
	Servers(dc string) (servers []Server, known bool)
	// Failed notes that the connection to a server of dc failed.
	Failed(dc, addr string, err error)
	// Answered notes that a server of dc is alive. rtt is the round trip, 0 if it was
	// not measured.
	Answered(dc, addr string, rtt time.Duration)
}

// Config is what a [Router] or [Client] is made of.
type Config struct {
	// Datacenter is our own.
	Datacenter string
	Dialer     Dialer
	Picker     Picker
	// Hold is how long a call waits out an election; 0 is [DefaultHold].
	Hold time.Duration
	// MaxInFlight bounds the calls to one datacenter that wait for their answer; 0 is
	// [DefaultMaxInFlight].
	MaxInFlight int
	// MaxReply bounds the bytes of one answer; 0 is [DefaultMaxReply].
	MaxReply   int
	Log        hclog.Logger
	Registerer prometheus.Registerer
}

// The defaults of [Config].
const (
	DefaultHold        = 7 * time.Second
	DefaultMaxInFlight = 4096
	DefaultMaxReply    = 1 << 30
)

// Router makes the calls of a server to other servers. [Router.Run] must be running.
type Router struct {
	config  Config
	log     hclog.Logger
	metrics *metrics
	tasks   *tasks
	pool    *pool
	seq     atomic.Uint64

	mu    sync.RWMutex
	gates map[string]*gate
}

// New makes a Router. What it counts is registered with c.Registerer, if that is set.
func New(c Config) *Router {
	if c.Hold == 0 {
		c.Hold = DefaultHold
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	if c.MaxReply == 0 {
		c.MaxReply = DefaultMaxReply
	}
	if c.Log == nil {
		c.Log = hclog.NewNullLogger()
	}
	r := &Router{
		config: c, log: c.Log.Named("forwarder"), metrics: newMetrics(c.Registerer),
		tasks: newTasks(), gates: make(map[string]*gate),
	}
	r.pool = newPool(&r.config.Dialer, r.tasks, r.metrics)
	r.pool.suspect = r.suspect
	r.pool.alive = r.alive
	r.pool.exists = func(dc string) bool {
		_, known := c.Picker.Servers(dc)
		return known
	}
	return r
}

// forgetEvery is how often the router looks for datacenters that are gone.
const forgetEvery = 5 * time.Second

// Run watches over the connections until ctx ends, and closes them then. Calls that are
// under way fail.
func (r *Router) Run(ctx context.Context) error {
	defer r.tasks.stop()
	r.tasks.run(func() { r.pool.watch(r.tasks.ctx) })
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.forgetDatacenters()
		case <-ctx.Done():
			return nil
		}
	}
}

// forgetDatacenters drops what is known of datacenters that do not exist any more.
func (r *Router) forgetDatacenters() {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.gates, func(dc string, g *gate) bool {
		if _, known := r.config.Picker.Servers(dc); known || g.inFlight.Load() > 0 {
			return false
		}
		r.metrics.drop(dc)
		return true
	})
}

// gate finds or makes the gate of dc.
func (r *Router) gate(dc string) *gate {
	r.mu.RLock()
	g := r.gates[dc]
	r.mu.RUnlock()
	if g != nil {
		return g
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if g = r.gates[dc]; g == nil {
		g = newGate(r, dc, dc != r.config.Datacenter)
		r.gates[dc] = g
	}
	return g
}

// existingGate is the gate of dc, nil before the first call to it.
func (r *Router) existingGate(dc string) *gate {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.gates[dc]
}

func (r *Router) suspect(p peer) {
	if g := r.existingGate(p.dc); g != nil {
		g.suspect()
	}
}

func (r *Router) alive(p peer, rtt time.Duration) {
	r.config.Picker.Answered(p.dc, p.addr, rtt)
	if g := r.existingGate(p.dc); g != nil {
		g.rtt.Store(int64(rtt))
		g.recent.add(rtt)
		g.answered(p.addr)
	}
}

// Breaker tells the state of the breaker of dc, since when it is not closed, and the
// failure that was seen last.
func (r *Router) Breaker(dc string) (state BreakerState, since time.Time, last error) {
	g := r.existingGate(dc)
	if g == nil {
		return BreakerClosed, time.Time{}, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if state = BreakerState(g.state.Load()); state != BreakerClosed {
		since = g.since
	}
	return state, since, g.lastErr
}

// ToDatacenter makes a call at a server of another datacenter, and at the next one if
// that fails and the call may be repeated. Errors carry an [rpc.Reason]:
//
//	unknown_dc        no server of dc was ever seen
//	no_live_server    none of its servers can be reached
//	breaker_open      none could, a moment ago
//	timeout           its servers did not answer in time
//	no_remote_leader  it has no leader
//	tls               the certificates do not agree
//	overloaded        too many calls wait for answers of it
//	outcome_unknown   the write may or may not have happened
//
// or are what a handler there answered.
func (r *Router) ToDatacenter(ctx context.Context, dc string, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	if _, known := r.config.Picker.Servers(dc); !known {
		err := rpc.Wrap(rpc.ErrNoPath, dc)
		r.metrics.failed(unknownDatacenter, err)
		return nil, err
	}
	g := r.gate(dc)
	defer g.measure(classOf(m, req), time.Now())
	if err := g.enter(); err != nil {
		return nil, err
	}
	defer g.leave()
	c, err := newCall(r.seq.Add(1), m, false, req, newReply)
	if err != nil {
		return nil, err
	}
	defer c.free()
	c.maxReply = r.config.MaxReply
	c.deadline = c.begin.Add(remoteDeadline(m, req, r.config.Hold, time.Duration(g.rtt.Load())))
	c.patience = c.begin.Add(patience)
	c.refused = g.failure
	t := trial{router: r, gate: g, call: c}
	reply, err := t.run(ctx)
	if err == nil && classOf(m, req) == classPoint {
		g.recent.add(time.Since(c.begin))
	}
	return reply, err
}

// ToServer makes a call at one server of this datacenter, once. An error that is
// [rpc.ErrNoLeader] says that nothing has happened: the server does not lead, or could
// not be reached at all.
func (r *Router) ToServer(ctx context.Context, addr string, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	c, err := newCall(r.seq.Add(1), m, true, req, newReply)
	if err != nil {
		return nil, err
	}
	defer c.free()
	c.maxReply = r.config.MaxReply
	c.deadline = c.begin.Add(localDeadline(m, req, r.config.Hold))
	reply, err := r.pool.call(ctx, peer{r.config.Datacenter, addr}, c)
	switch {
	case err == nil:
		return reply, nil
	case m.Write && mayHaveBegun(err):
		return nil, unknownOutcome(m, err)
	case !connectionFailed(err):
		return nil, err
	case mayHaveBegun(err):
		return nil, connectionLost(m, addr, err)
	}
	return nil, rpc.Wrap(rpc.ErrNoLeader, fmt.Sprintf("server %s cannot be reached (%v)", addr, err))
}

// ping asks a server for a sign of life.
func (r *Router) ping(dc, addr string) error {
	c, err := newCall(r.seq.Add(1), &pingInfo, false, new(rpc.Empty), func() any { return new(rpc.Nothing) })
	if err != nil {
		return err
	}
	defer c.free()
	c.maxReply = maxHeader
	c.deadline = c.begin.Add(patience)
	_, err = r.pool.call(r.tasks.ctx, peer{dc, addr}, c)
	return err
}

// pingInfo is the method of which every server knows that it does nothing.
var pingInfo = rpc.Info{Name: "Status.Ping", Route: rpc.Local}

// backoff waits before the next round of tries, longer each time.
func backoff(ctx context.Context, round int) error {
	d := min(20*time.Millisecond<<min(round, 5), 500*time.Millisecond)
	timer := time.NewTimer(d/2 + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
