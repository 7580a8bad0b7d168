package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/process"
)

// How many checks wait for the network at a time, and how many processes there are.
const (
	maxSockets   = 4096
	maxProcesses = 256
)

// ErrCommandsDisabled is the answer to a definition that runs a command where that is not
// allowed. Clients match its text.
var ErrCommandsDisabled = errors.New("Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or 'enable_local_script_checks' to true")

// Runner makes checks. Its methods may be called by many at a time.
type Runner struct {
	cfg    Config
	log    hclog.Logger
	probes *probes
	wake   chan struct{}

	setting sync.Mutex // held by Set: what stands under an ID ends before the next begins

	mu        sync.Mutex
	checks    map[string]*check
	queue     queue
	sockets   lane
	processes lane
}

// Config is what a [Runner] needs.
type Config struct {
	Log hclog.Logger
	// Update is told how a check is whenever that is news: with its first result, and
	// when the status or the output is another. Calls for one check come one at a time
	// and in order. It must not call Set, Remove or SetTTL, and who calls those must not
	// hold a lock that it needs.
	Update func(id, status, output string)
	// Follow finds what alias checks look at; nil refuses such checks.
	Follow Follower
	// EnableCommands allows checks that run commands, here or in a container.
	EnableCommands bool
	// OutputMaxSize is how many bytes of an output are kept where a definition does not
	// say; 0 means DefaultOutputMaxSize.
	OutputMaxSize int
	Reach
}

// check is one that is being made.
type check struct {
	id     string
	def    Definition
	probe  probe  // nil for those that are told: ttl and alias
	follow func() // ends an alias; nil for others

	// order is held around Update, so that calls come in order.
	order sync.Mutex

	// The runner's lock guards the rest.
	at             time.Time // of the next turn, or when the TTL ends
	position       int       // in the queue; -1 is nowhere
	gone           bool
	cancel         context.CancelFunc // of the turn that goes on
	tally          tally
	told           bool // Update was called at least once
	status, output string
}

// New makes a runner without checks.
func New(cfg Config) *Runner {
	cfg.OutputMaxSize = cmp.Or(cfg.OutputMaxSize, DefaultOutputMaxSize)
	return &Runner{
		cfg: cfg, log: cfg.Log.Named("checks"), probes: newProbes(cfg.Reach), wake: make(chan struct{}, 1),
		checks: map[string]*check{}, sockets: lane{limit: maxSockets}, processes: lane{limit: maxProcesses},
	}
}

// Set makes the check id be made as def says, which the runner keeps and nobody changes.
// A check that is made so already goes on untouched; one that was made otherwise ends.
// status is what the check counts as until something else is known, critical if "". The
// first turn is at a random time within the interval.
func (r *Runner) Set(id string, def Definition, status string) error {
	if err := def.Validate(); err != nil {
		return err
	}
	if def.RunsCommands() && !r.cfg.EnableCommands {
		return ErrCommandsDisabled
	}
	kind := def.Type()
	if kind == "alias" && r.cfg.Follow == nil {
		return errors.New("alias checks are not supported here")
	}
	def.OutputMaxSize = cmp.Or(def.OutputMaxSize, r.cfg.OutputMaxSize)
	r.setting.Lock()
	defer r.setting.Unlock()
	r.mu.Lock()
	old := r.checks[id]
	r.mu.Unlock()
	if old != nil && old.def.equal(&def) {
		return nil
	}
	if kind != "ttl" && kind != "alias" && def.Interval < MinInterval {
		r.log.Warn("check has interval below minimum", "check", id, "minimum_interval", MinInterval)
	}
	c := &check{id: id, def: def, position: -1, status: cmp.Or(status, Critical)}
	var err error
	if c.probe, err = r.probes.of(&c.def); err != nil {
		return err
	}
	r.Remove(id)
	r.start(c)
	return nil
}

// start takes in a check whose ID is free.
func (r *Runner) start(c *check) {
	r.mu.Lock()
	r.checks[c.id] = c
	switch c.def.Type() {
	case "alias":
	case "ttl":
		r.planLocked(c, time.Now().Add(c.def.TTL))
	default:
		r.planLocked(c, time.Now().Add(rand.N(c.def.interval())))
	}
	r.mu.Unlock()
	if c.def.Type() != "alias" {
		return
	}
	alias := Alias{Node: c.def.AliasNode, Service: c.def.AliasService, Token: c.def.Token}
	stop := r.cfg.Follow(c.id, alias, func(all []Aliased, err error) {
		status, output := judge(all, err)
		r.report(c, func() (string, string, bool) { return status, shorten(output, c.def.OutputMaxSize), true })
	})
	r.mu.Lock()
	c.follow = stop
	gone := c.gone
	r.mu.Unlock()
	if gone {
		stop()
	}
}

// Remove ends a check. When it returns, Update is not called for it any more. An ID that
// is not known is left alone.
func (r *Runner) Remove(id string) {
	r.mu.Lock()
	c := r.checks[id]
	if c == nil {
		r.mu.Unlock()
		return
	}
	delete(r.checks, id)
	r.queue.drop(c)
	c.gone = true
	if c.cancel != nil {
		c.cancel()
	}
	stop := c.follow
	r.mu.Unlock()
	if stop != nil {
		stop()
	}
	c.order.Lock() // an Update that goes on ends first
	defer c.order.Unlock()
}

// SetTTL says how the thing behind a TTL check is, and gives it its whole time anew. It
// returns after Update did.
func (r *Runner) SetTTL(id, status, output string) error {
	r.mu.Lock()
	c := r.checks[id]
	r.mu.Unlock()
	if c == nil || c.def.TTL <= 0 {
		return fmt.Errorf("CheckID %q does not have associated TTL", id)
	}
	r.report(c, func() (string, string, bool) {
		r.planLocked(c, time.Now().Add(c.def.TTL))
		return status, shorten(output, c.def.OutputMaxSize), true
	})
	return nil
}

// Renew gives a TTL check its whole time anew, and leaves its status as it is. One whose
// time is over stays so.
func (r *Runner) Renew(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.checks[id]; c != nil && c.def.TTL > 0 && c.position >= 0 {
		r.planLocked(c, time.Now().Add(c.def.TTL))
	}
}

// report takes in what became known of a check, and passes it on if it is news. learn is
// called with the lock held; ok is false if there is nothing to say.
func (r *Runner) report(c *check, learn func() (status, output string, ok bool)) {
	c.order.Lock()
	defer c.order.Unlock()
	r.mu.Lock()
	if c.gone {
		r.mu.Unlock()
		return
	}
	status, output, ok := learn()
	if !ok || c.told && status == c.status && output == c.output {
		r.mu.Unlock()
		return
	}
	before := c.status
	c.told, c.status, c.output = true, status, output
	r.mu.Unlock()
	if before != status {
		r.log.Debug("check status", "check", c.id, "status", status)
	}
	r.cfg.Update(c.id, status, output)
}

// planLocked gives a check its next time, and wakes the runner if it is the nearest.
func (r *Runner) planLocked(c *check, at time.Time) {
	r.queue.plan(c, at)
	if c.position == 0 {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// Run makes the checks until ctx ends. Turns that go on then are broken off, and nothing
// is said of them.
func (r *Runner) Run(ctx context.Context) error {
	var turns sync.WaitGroup
	defer turns.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(r.next())
		select {
		case <-timer.C:
			r.begin(ctx, &turns)
		case <-r.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// next is the time until something is due.
func (r *Runner) next() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return time.Hour
	}
	return max(time.Until(r.queue[0].at), 0)
}

// begin makes the checks that are due, and ends the TTLs.
func (r *Runner) begin(ctx context.Context, turns *sync.WaitGroup) {
	r.mu.Lock()
	var expired []*check
	for _, c := range r.queue.due(time.Now()) {
		if c.probe == nil {
			expired = append(expired, c)
		} else if r.laneOf(c).enter(c) {
			turns.Go(func() { r.turns(ctx, c) })
		}
	}
	r.mu.Unlock()
	for _, c := range expired {
		r.expire(c)
	}
}

// laneOf is the line a check stands in. Run's lock guards it.
func (r *Runner) laneOf(c *check) *lane {
	if isProcess(c.def.Type()) {
		return &r.processes
	}
	return &r.sockets
}

// turns makes a check, and after it those that wait for its place.
func (r *Runner) turns(ctx context.Context, c *check) {
	for c != nil {
		r.turn(ctx, c)
		r.mu.Lock()
		if !c.gone {
			r.planLocked(c, following(c.at, time.Now(), c.def.interval()))
		}
		c = r.laneOf(c).leave()
		r.mu.Unlock()
	}
}

// turn makes a check once.
func (r *Runner) turn(ctx context.Context, c *check) {
	limited, cancel := context.WithTimeout(ctx, c.def.timeout())
	defer cancel()
	r.mu.Lock()
	if c.gone || ctx.Err() != nil {
		r.mu.Unlock()
		return
	}
	c.cancel = cancel
	r.mu.Unlock()
	result, output := c.probe(limited)
	output = process.Readable(output)
	r.report(c, func() (string, string, bool) {
		c.cancel = nil
		if ctx.Err() != nil {
			return "", "", false
		}
		status, ok := c.tally.settle(&c.def, c.status, result)
		return status, output, ok
	})
}

// expire makes a TTL check critical, unless it was heard of in the meantime.
func (r *Runner) expire(c *check) {
	r.report(c, func() (string, string, bool) {
		if c.position >= 0 {
			return "", "", false
		}
		if c.output == "" {
			return Critical, "TTL expired", true
		}
		return Critical, "TTL expired (last output before timeout follows): " + c.output, true
	})
}
