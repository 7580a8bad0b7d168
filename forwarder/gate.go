package forwarder

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/rpc"
)

// BreakerState says whether calls to a datacenter are tried at all.
type BreakerState uint8

// The states of a breaker. Their numbers are those of the metric.
const (
	// BreakerClosed lets calls through.
	BreakerClosed BreakerState = iota
	// BreakerHalfOpen is BreakerOpen while a probe is under way.
	BreakerHalfOpen
	// BreakerOpen fails calls at once: no server of the datacenter can be reached.
	BreakerOpen
)

// String names the state.
func (s BreakerState) String() string {
	return [...]string{"closed", "half-open", "open"}[s]
}

// gate is what all calls to one datacenter pass. It bounds how many there are, and
// closes the way when every server of the datacenter has failed.
type gate struct {
	dc     string
	router *Router
	// refuses is false where calls are tried even if all servers failed: in our own
	// datacenter.
	refuses bool

	// errors counts the calls that no server answered.
	inFlight, errors atomic.Int64
	recent           recent
	// state is a BreakerState, and rtt a time.Duration: the last measured round trip.
	state atomic.Int32
	rtt   atomic.Int64
	// troubled says that down is not empty.
	troubled atomic.Bool

	inFlightGauge, stateGauge prometheus.Gauge
	// seconds is indexed by the class of the call.
	seconds [classes]prometheus.Observer

	mu sync.Mutex
	// down holds the last failure of every server, by address, whose connections
	// failed and which has not been heard of since.
	down map[string]error
	// since is when the breaker opened, and lastErr the failure that opened it.
	since   time.Time
	lastErr error
	// probing says that a prober runs, and suspected that it shall look at all servers.
	probing, suspected bool
}

func newGate(r *Router, dc string, refuses bool) *gate {
	g := &gate{
		dc: dc, router: r, refuses: refuses, down: make(map[string]error),
		inFlightGauge: r.metrics.inFlight.WithLabelValues(dc),
		stateGauge:    r.metrics.breaker.WithLabelValues(dc),
	}
	for c := range g.seconds {
		g.seconds[c] = r.metrics.seconds.WithLabelValues(dc, class(c).String())
	}
	return g
}

// enter admits a call, which leaves afterwards, or says and counts why not.
func (g *gate) enter() error {
	err := g.refusal()
	if err == nil {
		err = g.admit()
	}
	if err != nil {
		g.countFailure(err)
	}
	return err
}

// countFailure notes that no server answered a call.
func (g *gate) countFailure(err error) {
	g.errors.Add(1)
	g.router.metrics.failed(g.dc, err)
}

func (g *gate) admit() error {
	if limit := int64(g.router.config.MaxInFlight); g.inFlight.Add(1) > limit {
		g.inFlight.Add(-1)
		return rpc.Wrap(rpc.ErrOverloaded, fmt.Sprintf("%d calls to datacenter %s wait for their answers", limit, g.dc))
	}
	g.inFlightGauge.Inc()
	return nil
}

func (g *gate) leave() {
	g.inFlight.Add(-1)
	g.inFlightGauge.Dec()
}

// measure notes how long a call took, with all its attempts.
func (g *gate) measure(of class, begin time.Time) {
	g.seconds[of].Observe(time.Since(begin).Seconds())
}

// refusal is the error of a call while the breaker is open, nil while it is closed.
func (g *gate) refusal() error {
	if !g.refuses || BreakerState(g.state.Load()) == BreakerClosed {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return &rpc.Error{
		Reason: rpc.ReasonBreakerOpen,
		Cause:  rpc.ErrBreakerOpen,
		Text: fmt.Sprintf("%s: all %d servers of datacenter %s have failed for %v, it is tried again every second (%v)",
			rpc.ErrUnreachable.Text, len(g.down), g.dc, time.Since(g.since).Round(time.Millisecond), g.lastErr),
	}
}

// failure is what opened the breaker, nil while it is closed.
func (g *gate) failure() error {
	if BreakerState(g.state.Load()) == BreakerClosed {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lastErr
}

// failed notes that the connection to a server failed.
func (g *gate) failed(addr string, err error) {
	g.router.config.Picker.Failed(g.dc, addr, err)
	servers, _ := g.router.config.Picker.Servers(g.dc)
	if g.noteFailure(addr, err, servers) && g.refuses {
		// Calls that have moved on to yet another server need not find out for themselves.
		g.router.pool.giveUp(g.dc, err)
	}
}

// noteFailure reports whether the breaker has opened.
func (g *gate) noteFailure(addr string, err error, servers []Server) (opened bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.down[addr] = err
	g.troubled.Store(true)
	allDown := true
	for _, s := range servers {
		allDown = allDown && g.down[s.Addr] != nil
	}
	opened = allDown && BreakerState(g.state.Load()) == BreakerClosed
	if opened {
		g.since = time.Now()
		g.setLocked(BreakerOpen)
		g.router.log.Warn("no server of the datacenter can be reached", "datacenter", g.dc, "servers", len(servers), "error", err)
	}
	g.lastErr = err
	g.probeLocked()
	return opened
}

// answered notes that a server is alive.
func (g *gate) answered(addr string) {
	if !g.troubled.Load() {
		return
	}
	g.mu.Lock()
	delete(g.down, addr)
	g.troubled.Store(len(g.down) > 0)
	if BreakerState(g.state.Load()) != BreakerClosed {
		g.setLocked(BreakerClosed)
		g.router.log.Info("the datacenter can be reached again", "datacenter", g.dc, "server", addr,
			"after", time.Since(g.since).Round(time.Millisecond))
	}
	g.mu.Unlock()
	g.router.config.Picker.Answered(g.dc, addr, 0)
}

func (g *gate) setLocked(s BreakerState) {
	g.state.Store(int32(s))
	g.stateGauge.Set(float64(s))
}

// suspect has all servers looked at: one of them is silent.
func (g *gate) suspect() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.probing {
		g.suspected = true
		g.probeLocked()
	}
}

func (g *gate) probeLocked() {
	if !g.probing {
		g.probing = g.router.tasks.run(g.probe)
	}
}

// probeEvery is how long a server that failed is left alone.
const probeEvery = time.Second

// probe asks servers that failed, until none is left, for a sign of life.
func (g *gate) probe() {
	for {
		targets := g.targets()
		if len(targets) == 0 {
			return
		}
		var wg sync.WaitGroup
		for _, s := range targets {
			wg.Go(func() { g.probeServer(s.Addr) })
		}
		wg.Wait()
		g.mu.Lock()
		if BreakerState(g.state.Load()) == BreakerHalfOpen {
			g.setLocked(BreakerOpen)
		}
		g.mu.Unlock()
		select {
		case <-time.After(probeEvery - rand.N(probeEvery/10)):
		case <-g.router.tasks.ctx.Done():
			return
		}
	}
}

// targets are the servers that shall be probed now. If there are none the prober has
// ended: a new one is started by the next failure.
func (g *gate) targets() []Server {
	servers, _ := g.router.config.Picker.Servers(g.dc)
	g.mu.Lock()
	defer g.mu.Unlock()
	var targets []Server
	known := make(map[string]bool, len(servers))
	for _, s := range servers {
		known[s.Addr] = true
		if g.suspected || g.down[s.Addr] != nil {
			targets = append(targets, s)
		}
	}
	for addr := range g.down {
		if !known[addr] {
			delete(g.down, addr)
		}
	}
	g.troubled.Store(len(g.down) > 0)
	g.suspected = false
	state := BreakerState(g.state.Load())
	switch {
	case len(targets) == 0:
		g.probing = false
		if state != BreakerClosed {
			g.setLocked(BreakerClosed)
		}
	case state == BreakerOpen:
		g.setLocked(BreakerHalfOpen)
	}
	return targets
}

// probeServer makes the smallest of calls.
func (g *gate) probeServer(addr string) {
	err := g.router.ping(g.dc, addr)
	switch {
	case serverFailed(err):
		g.failed(addr, err)
	default: // even an error is an answer
		g.answered(addr)
	}
}
