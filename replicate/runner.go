package replicate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/time/rate"
)

// Conflict says what happens to a key that somebody else wrote below the destination prefix.
// It needs a sink that tells so.
type Conflict string

// The ways to treat a conflict. Both count it and list the key.
const (
	SourceWins Conflict = "source-wins" // it gets the source's value; so does ""
	ReportOnly Conflict = "report"      // it is left as it is
)

// RunnerConfig is what a Runner needs.
type RunnerConfig struct {
	Link Link

	// Name is what the link is called in logs and in its status; without one it is the
	// link itself.
	Name string

	Source Source
	Sink   Sink

	// Lease, if there is one, decides when the link is this daemon's, and has a sink to
	// write it with instead of Sink.
	Lease Lease

	// CheckpointKey is where the sink keeps the checkpoint.
	CheckpointKey string

	// StatusPath is a folder that is not copied, neither from there nor to there. It must
	// not be empty.
	StatusPath string

	// PagesOnly says that there are no listings of either side: what cannot be read in pages,
	// or only in part, is an error that is retried.
	PagesOnly bool

	// BinaryNames says that the names of keys come through whatever bytes they consist of.
	// Otherwise those that are not UTF-8 are left alone.
	BinaryNames bool

	Guard    Guard
	Conflict Conflict

	// Prune says that keys are deleted, too, that somebody else than the link wrote below the
	// destination prefix and the source does not have. Where the sink does not tell who
	// wrote a key, all of them are the link's.
	Prune bool

	// Delete says whether keys that the source deletes are deleted at the destination.
	// Without it they stay, and are the destination's own.
	Delete bool

	// RateLimit is how many keys a second are written at most, 0 for no limit.
	RateLimit int

	// VerifyInterval is how often source and destination are compared in the background,
	// 0 for never. Repair says whether what differs is put right.
	VerifyInterval time.Duration
	Repair         bool

	// Heartbeat is how often the source lets hear that there is nothing new, 0 for
	// the constant of that name.
	Heartbeat time.Duration

	Quiet Quiet
	Retry Retry

	// Once ends the run when the link is in step, after a comparison of everything.
	Once bool

	// ToAllow says what an operator does to let held deletes pass, for the log.
	ToAllow string

	// Writer names the one who runs the link in the checkpoint, for whoever finds two.
	Writer string

	Log hclog.Logger
}

func (c RunnerConfig) validate() error {
	var errs []error
	if c.CheckpointKey == "" || c.StatusPath == "" {
		errs = append(errs, errors.New("the link has no checkpoint key or no status path"))
	}
	switch c.Conflict {
	case "", SourceWins, ReportOnly:
	default:
		errs = append(errs, fmt.Errorf("conflict is %q: use %s or %s", c.Conflict, SourceWins, ReportOnly))
	}
	if c.RateLimit < 0 {
		errs = append(errs, fmt.Errorf("rate_limit is %d: use a number of keys a second, or 0 for no limit", c.RateLimit))
	}
	if c.VerifyInterval < 0 || c.Heartbeat < 0 {
		errs = append(errs, fmt.Errorf("the verify interval is %v and the heartbeat %v: neither may be below 0", c.VerifyInterval, c.Heartbeat))
	}
	return errors.Join(append(errs, c.Guard.validate(), c.Quiet.validate(), c.Retry.validate())...)
}

// Orders are what people asked of a link. Each is a number that only grows, 0 if there was
// none: the checkpoint says which was the last to be carried out, so that an order is
// neither lost nor repeated whoever runs the link.
type Orders struct {
	// Resync asks for a comparison of everything.
	Resync uint64

	// Decision decides on the deletes that are held: they are carried out, or, if they were
	// not Approved, given up: the keys stay, and are the destination's own.
	Decision uint64
	Approved bool
}

// Runner keeps one link in step.
type Runner struct {
	cfg RunnerConfig
	f   *follower
}

// NewRunner checks the configuration and wires the link. Nothing happens before Run.
func NewRunner(cfg RunnerConfig) (*Runner, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.Name = cmp.Or(cfg.Name, cfg.Link.String())
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, Heartbeat)
	status := newTracker(cfg.Name)
	var limit *rate.Limiter
	if cfg.RateLimit > 0 {
		limit = rate.NewLimiter(rate.Limit(cfg.RateLimit), cfg.RateLimit)
	}
	return &Runner{cfg: cfg, f: &follower{
		scope:  scope{link: cfg.Link, statusPath: cfg.StatusPath, binary: cfg.BinaryNames},
		source: cfg.Source,
		ledger: ledger{sink: cfg.Sink, link: cfg.Link, key: cfg.CheckpointKey, writer: cfg.Writer, limit: limit, status: status},
		guard:  cfg.Guard,
		rules:  rules{conflict: cmp.Or(cfg.Conflict, SourceWins), prune: cfg.Prune, delete: cfg.Delete},
		paged:  cfg.PagesOnly, pagesOnly: cfg.PagesOnly,
		always: cfg.Once, mangled: map[string]bool{},
		quiet: cfg.Quiet, heartbeat: cfg.Heartbeat,
		toAllow: cfg.ToAllow, maxNames: maxNames,
		pagesOf: cfg.Sink, verifications: verifications{every: cfg.VerifyInterval, repair: cfg.Repair},
		wishes: wishes{refusal: errNotInStep},
		log:    cfg.Log.Named("replicate").With("link", cfg.Name),
		status: status,
	}}, nil
}

// Run follows the link until ctx ends, and returns nil then. It returns an error when the
// link used up its attempts and, with Once, when deletes are held. A Runner runs once.
func (r *Runner) Run(ctx context.Context) error {
	f := r.f
	f.life = ctx
	f.verifications.await()
	defer f.endVerify()
	f.log.Info("link started", "checkpoint", f.ledger.key)
	failures := 0
	for ctx.Err() == nil {
		before := f.status.snapshot()
		err := r.step(ctx)
		now := f.status.snapshot()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			failures = 0
			logStep(f.log, before, now)
			if r.cfg.Once && (now.State == Following || now.State == Held) {
				return outcome(now)
			}
			continue // a step may end before the link is in step: somebody moved the checkpoint
		}
		failures++
		if before.State == Following {
			f.feed.hurry = true // that a quiet source is back is to be known before its next heartbeat
		}
		if r.cfg.Retry.Exhausted(failures) {
			f.status.failed(err, time.Time{})
			f.log.Error("giving up", "attempts", failures, "error", err)
			return err
		}
		delay := r.cfg.Retry.Delay(failures)
		f.status.failed(err, time.Now().Add(delay))
		level := hclog.Debug
		if failures&(failures-1) == 0 { // a failure that lasts is told ever more rarely
			level = hclog.Warn
		}
		f.log.Log(level, "attempt failed, will retry", "error", err, "failures", failures, "retry_in", delay.Round(time.Millisecond))
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
	return nil
}

func logStep(log hclog.Logger, before, now Status) {
	facts := []any{"state", now.State, "index", now.AppliedIndex,
		"set", now.Applied - before.Applied, "deleted", now.Deleted - before.Deleted, "bytes", now.Bytes - before.Bytes}
	first := (before.State == Syncing || before.State == Retrying) && now.State != Syncing
	if first && now.State == Held {
		log.Warn("in step with the source, but for the deletes that are held", append(facts, "held", now.HeldDeletes)...)
	} else if first {
		log.Info("in step with the source", facts...)
	} else if now.Applied != before.Applied || now.Deleted != before.Deleted {
		log.Debug("changes applied", facts...)
	}
}

func outcome(s Status) error {
	if s.State == Held {
		return fmt.Errorf("%w: %d keys (%s)", ErrHeld, s.HeldDeletes, s.HeldReason)
	}
	return nil
}

// Status reports on the link. It may be called at any time.
func (r *Runner) Status() Status { return r.f.status.snapshot() }

// Order tells the link the latest orders. It may be called at any time, before Run too, and
// the link takes them up at once. It needs a link that is read in pages.
func (r *Runner) Order(o Orders) { r.f.wishes.order(o) }

// Verify starts a comparison in the background, whose result the status will show. It puts
// right what differs if that is asked here or the link's settings say so. It fails when one
// is going on, and where the link is not in step yet or cannot be read in pages.
func (r *Runner) Verify(repair bool) error { return r.f.wishes.wantVerify(repair) }
