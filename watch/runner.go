package watch

import (
	"context"
	"sync"

	"github.com/hashicorp/consul/api"
	library "github.com/hashicorp/consul/api/watch"
	"github.com/hashicorp/go-hclog"
)

// Config is what a [Runner] needs.
type Config struct {
	// Client makes a client of the agent, whose requests are for a datacenter, "" for the
	// agent's own, and carry a token.
	Client func(datacenter, token string) (*api.Client, error)
	Log    hclog.Logger
}

// Runner runs the watches of an agent.
type Runner struct {
	cfg  Config
	wake chan struct{}

	mu   sync.Mutex
	want []*Watch
}

// New makes a runner of no watches.
func New(cfg Config) *Runner {
	cfg.Log = cfg.Log.Named("watch")
	return &Runner{cfg: cfg, wake: make(chan struct{}, 1)}
}

// Set says what is to be run from now on. Watches that ran before and say the same go on
// as if nothing had happened.
func (r *Runner) Set(watches []*Watch) {
	r.mu.Lock()
	r.want = watches
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// running is a watch that runs.
type running struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// Run runs what was set until ctx ends. Handlers are ended with all they started.
func (r *Runner) Run(ctx context.Context) error {
	active := map[string][]*running{} // by identity: nothing forbids two that say the same
	for {
		r.apply(ctx, active)
		select {
		case <-r.wake:
		case <-ctx.Done():
			for _, same := range active {
				for _, one := range same {
					<-one.ended
				}
			}
			return ctx.Err()
		}
	}
}

// apply ends what is not wanted any more, waits for its end, and starts what is new.
func (r *Runner) apply(ctx context.Context, active map[string][]*running) {
	r.mu.Lock()
	want := map[string][]*Watch{}
	for _, w := range r.want {
		want[w.identity] = append(want[w.identity], w)
	}
	r.mu.Unlock()
	var ending []*running
	for identity, same := range active {
		keep := min(len(same), len(want[identity]))
		ending = append(ending, same[keep:]...)
		if active[identity] = same[:keep]; keep == 0 {
			delete(active, identity)
		}
	}
	for _, one := range ending {
		one.cancel()
	}
	for _, one := range ending {
		<-one.ended
	}
	for identity, same := range want {
		for _, w := range same[len(active[identity]):] {
			active[identity] = append(active[identity], r.start(ctx, w))
		}
	}
}

func (r *Runner) start(ctx context.Context, w *Watch) *running {
	ctx, cancel := context.WithCancel(ctx)
	one := &running{cancel, make(chan struct{})}
	go func() {
		defer close(one.ended)
		defer cancel()
		r.run(ctx, w)
	}()
	return one
}

// run runs one watch until ctx ends. The library asks again by itself after an error,
// later each time.
func (r *Runner) run(ctx context.Context, w *Watch) {
	log := r.cfg.Log.With("type", w.plan.Type)
	client, err := r.cfg.Client(w.plan.Datacenter, w.plan.Token)
	if err != nil {
		log.Error("a watch cannot run", "error", err)
		return
	}
	w.plan.HybridHandler = func(at library.BlockingParamVal, data any) {
		view, err := NewView(at, data)
		if err == nil {
			err = w.handler.handle(ctx, view, log)
		}
		if err != nil && ctx.Err() == nil {
			log.Error("a watch handler failed", "error", err)
		}
	}
	stop := context.AfterFunc(ctx, w.plan.Stop)
	defer stop()
	// It returns no error but those of a client that it would make itself.
	_ = w.plan.RunWithClientAndHclog(client, r.cfg.Log.ResetNamed(""))
}
