package replicate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// ErrHeld is how a run with Once ends for a link whose deletes are held. Everything
// else was copied.
var ErrHeld = errors.New("deletes are held")

// Config is what a Replicator needs.
type Config struct {
	Links []Link

	// DestinationDC is the datacenter Sink writes to.
	DestinationDC string

	// StatusPath is where the checkpoints live at the destination.
	StatusPath string

	// Source gives the source for a datacenter.
	Source func(dc string) Source
	Sink   Sink

	// Once ends the run when every link is in step.
	Once bool

	Guard Guard
	Quiet Quiet
	Retry Retry

	// Writer names this daemon in the checkpoints, for whoever finds two of them.
	Writer string

	Log hclog.Logger
}

// Quiet lets a source settle: after news a link waits until there was none for Min,
// but no longer than Max. Zero waits for nothing.
type Quiet struct{ Min, Max time.Duration }

// Retry says how failed attempts are repeated.
type Retry struct {
	// Base is the first delay; it doubles up to Max, 0 meaning without limit.
	Base, Max time.Duration

	// Attempts is how many may fail in a row before a link gives up, 0 for never.
	Attempts int
}

// Delay is how long to wait after so many failures in a row (at least 1): half of it
// is fixed and half of it random, so that daemons do not come back in step.
func (r Retry) Delay(failures int) time.Duration {
	d := r.Base
	for range failures - 1 {
		if d *= 2; d >= time.Hour || r.Max > 0 && d >= r.Max {
			break
		}
	}
	if r.Max > 0 {
		d = min(d, r.Max)
	}
	return d/2 + rand.N(d/2+1)
}

// Exhausted reports whether so many failures in a row are too many.
func (r Retry) Exhausted(failures int) bool { return r.Attempts > 0 && failures >= r.Attempts }

// Validate names all mistakes.
func (c Config) Validate() error {
	var errs []error
	if _, err := CleanStatusPath(c.StatusPath); err != nil {
		errs = append(errs, err)
	}
	if c.Guard.MaxFraction < 0 || c.Guard.MaxFraction > 1 {
		errs = append(errs, fmt.Errorf("max-delete-fraction is %v: use a number from 0 to 1", c.Guard.MaxFraction))
	}
	if c.Quiet.Min < 0 || c.Quiet.Max < c.Quiet.Min {
		errs = append(errs, fmt.Errorf("wait is %v:%v: the maximum must not be below the minimum, nor either below 0", c.Quiet.Min, c.Quiet.Max))
	}
	if c.Retry.Base <= 0 || c.Retry.Max < 0 || c.Retry.Attempts < 0 {
		errs = append(errs, fmt.Errorf("retry has backoff %v, max backoff %v, attempts %d: use a positive backoff and nothing negative", c.Retry.Base, c.Retry.Max, c.Retry.Attempts))
	}
	statusPath, _ := CleanStatusPath(c.StatusPath)
	return errors.Join(append(errs, CheckLinks(c.Links, c.DestinationDC, statusPath))...)
}

// Replicator keeps a set of links in step.
type Replicator struct {
	cfg       Config
	followers []*follower
}

// New checks the configuration and wires the links. Nothing happens before Run.
func New(cfg Config) (*Replicator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.StatusPath, _ = CleanStatusPath(cfg.StatusPath)
	r := &Replicator{cfg: cfg}
	for _, link := range cfg.Links {
		status := newTracker(link.String())
		r.followers = append(r.followers, &follower{
			scope:  scope{link: link, statusPath: cfg.StatusPath},
			source: cfg.Source(link.SourceDC),
			ledger: ledger{sink: cfg.Sink, link: link, key: CheckpointKey(cfg.StatusPath, link), writer: cfg.Writer, status: status},
			guard:  cfg.Guard,
			always: cfg.Once, mangled: map[string]bool{},
			quiet:  cfg.Quiet,
			log:    cfg.Log.Named("replicate").With("link", link.String()),
			status: status,
		})
	}
	return r, nil
}

// Run follows every link until ctx ends, and returns nil then. With Once it returns
// when each link is in step or has failed. A link that used up its attempts fails,
// and without Once takes the others with it. A Replicator runs once.
func (r *Replicator) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(r.followers))
	var wg sync.WaitGroup
	for i, f := range r.followers {
		wg.Go(func() {
			if err := r.follow(ctx, f); err != nil {
				errs[i] = fmt.Errorf("link %s: %w", f.scope.link, err)
				if !r.cfg.Once {
					cancel()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (r *Replicator) follow(ctx context.Context, f *follower) error {
	f.log.Info("link started", "checkpoint", f.ledger.key)
	failures := 0
	for ctx.Err() == nil {
		before := f.status.snapshot()
		err := f.step(ctx)
		now := f.status.snapshot()
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			failures = 0
			logStep(f.log, before, now)
			if r.cfg.Once {
				return outcome(now)
			}
			continue
		}
		failures++
		f.status.failed(err)
		if r.cfg.Retry.Exhausted(failures) {
			f.log.Error("giving up", "attempts", failures, "error", err)
			return err
		}
		delay := r.cfg.Retry.Delay(failures)
		f.log.Warn("attempt failed, will retry", "error", err, "retry_in", delay.Round(time.Millisecond))
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

// Status reports every link, in the order they were given. It may be called at any time.
func (r *Replicator) Status() []Status {
	all := make([]Status, 0, len(r.followers))
	for _, f := range r.followers {
		all = append(all, f.status.snapshot())
	}
	return all
}
