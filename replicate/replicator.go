package replicate

import (
	"context"
	"errors"
	"fmt"
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

	// Lease, if there is one, decides when a link is this daemon's, and has a sink to
	// write it with instead of Sink.
	Lease Lease

	// Once ends the run when every link is in step.
	Once bool

	Guard Guard
	Quiet Quiet
	Retry Retry

	// VerifyInterval and Repair are as in RunnerConfig.
	VerifyInterval time.Duration
	Repair         bool

	// Writer names this daemon in the checkpoints, for whoever finds two of them.
	Writer string

	Log hclog.Logger
}

// Validate names all mistakes.
func (c Config) Validate() error {
	var errs []error
	if _, err := CleanStatusPath(c.StatusPath); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.Guard.validate(), c.Quiet.validate(), c.Retry.validate())
	statusPath, _ := CleanStatusPath(c.StatusPath)
	return errors.Join(append(errs, CheckLinks(c.Links, c.DestinationDC, statusPath))...)
}

// Replicator keeps a set of links in step.
type Replicator struct {
	Statuses
	cfg     Config
	runners []*Runner
}

// New checks the configuration and wires the links. Nothing happens before Run.
func New(cfg Config) (*Replicator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.StatusPath, _ = CleanStatusPath(cfg.StatusPath)
	r := &Replicator{cfg: cfg}
	for _, link := range cfg.Links {
		runner, err := NewRunner(RunnerConfig{
			Link: link, Source: cfg.Source(link.SourceDC), Sink: cfg.Sink, Lease: cfg.Lease,
			CheckpointKey: CheckpointKey(cfg.StatusPath, link), StatusPath: cfg.StatusPath,
			Guard: cfg.Guard, Delete: true, Quiet: cfg.Quiet, Retry: cfg.Retry, Once: cfg.Once,
			VerifyInterval: cfg.VerifyInterval, Repair: cfg.Repair,
			ToAllow: "run once with -allow-mass-delete -once",
			Writer:  cfg.Writer, Log: cfg.Log,
		})
		if err != nil {
			return nil, fmt.Errorf("link %s: %w", link, err)
		}
		r.runners = append(r.runners, runner)
	}
	r.Statuses = r.Status
	return r, nil
}

// Run follows every link until ctx ends, and returns nil then. With Once it returns
// when each link is in step or has failed. A link that used up its attempts fails,
// and without Once takes the others with it. A Replicator runs once.
func (r *Replicator) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(r.runners))
	var wg sync.WaitGroup
	for i, runner := range r.runners {
		wg.Go(func() {
			if err := runner.Run(ctx); err != nil {
				errs[i] = fmt.Errorf("link %s: %w", runner.cfg.Link, err)
				if !r.cfg.Once {
					cancel()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Status reports every link, in the order they were given. It may be called at any time.
func (r *Replicator) Status() []Status {
	all := make([]Status, 0, len(r.runners))
	for _, runner := range r.runners {
		all = append(all, runner.Status())
	}
	return all
}
