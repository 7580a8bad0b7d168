package gossip

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
)

// RetryOptions says how [RetryJoin] goes on after a failure.
type RetryOptions struct {
	// Pool is the pool's name in log lines.
	Pool string
	// Interval is the longest wait between two tries; 0 means 30 seconds. The first
	// wait is a second, and it doubles.
	Interval time.Duration
	// Max is how many tries may fail; 0 means without end.
	Max int
	Log hclog.Logger
}

const (
	firstRetry        = time.Second
	defaultRetryPause = 30 * time.Second
)

// RetryJoin joins addrs and tries again until at least one answers. It returns an
// error when the tries are used up, or the context's when that ends first.
func RetryJoin(ctx context.Context, addrs []string, join func([]string) (int, error), o RetryOptions) error {
	if len(addrs) == 0 {
		return nil
	}
	if o.Interval <= 0 {
		o.Interval = defaultRetryPause
	}
	log := o.Log.With("cluster", o.Pool)
	log.Info("Joining cluster...", "addresses", addrs)
	wait := min(firstRetry, o.Interval)
	for try := 1; ; try++ {
		n, err := join(addrs)
		if err == nil {
			log.Info("Join cluster completed. Synced with initial agents", "num_agents", n)
			return nil
		}
		if o.Max > 0 && try >= o.Max {
			return fmt.Errorf("max join retry exhausted after %d tries in the %s pool: %w", try, o.Pool, err)
		}
		log.Warn("Join cluster failed, will retry", "retry_interval", wait, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, o.Interval)
	}
}
