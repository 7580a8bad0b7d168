package rexec

import (
	"context"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/event"
	"github.com/hanse-project/hanse/rpc"
)

// maxJobs is how many jobs run at once. Further ones are not taken.
const maxJobs = 16

// Config is what a [Runner] needs.
type Config struct {
	// Node and Datacenter are the agent's.
	Node, Datacenter string
	// Caller carries the calls that read jobs and write what becomes of them.
	Caller rpc.Caller
	// Token answers the token that is sent with them.
	Token func() string
	Log   hclog.Logger
}

// Runner runs the jobs that events ask an agent for.
type Runner struct {
	cfg    Config
	orders chan *event.Event
}

// New makes a runner.
func New(cfg Config) *Runner {
	cfg.Log = cfg.Log.Named("rexec")
	return &Runner{cfg, make(chan *event.Event, maxJobs)}
}

// Take is told of an event that asks for a job. It does not wait for it.
func (r *Runner) Take(e *event.Event) {
	select {
	case r.orders <- e:
	default:
		r.cfg.Log.Warn("a job is not taken: too many are waiting", "event", e.ID, "limit", maxJobs)
	}
}

// Run runs jobs until ctx ends. Those that run then are killed.
func (r *Runner) Run(ctx context.Context) error {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	running := make(chan struct{}, maxJobs)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-r.orders:
			select {
			case running <- struct{}{}:
				jobs.Go(func() {
					defer func() { <-running }()
					r.carryOut(ctx, e)
				})
			default:
				r.cfg.Log.Warn("a job is not taken: too many are running", "event", e.ID, "limit", maxJobs)
			}
		}
	}
}
