package server

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	uuid "github.com/hashicorp/go-uuid"

	"github.com/hanse-project/hanse/store"
)

// duty is something the leader owes its datacenter. It runs exactly while this server
// leads, and returns when its context ends.
type duty struct {
	name string
	run  func(ctx context.Context)
}

// lead runs all duties until ctx ends.
func lead(ctx context.Context, log hclog.Logger, duties []duty) {
	log.Info("cluster leadership acquired")
	var wg sync.WaitGroup
	for _, d := range duties {
		wg.Go(func() { d.run(ctx) })
	}
	wg.Wait()
	log.Info("cluster leadership lost", "cause", context.Cause(ctx))
}

// persistently repeats do until it succeeds or ctx ends.
func persistently(ctx context.Context, log hclog.Logger, what string, do func(ctx context.Context) error) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := do(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		log.Error("failed to "+what+", will retry", "error", err, "in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// identify gives a new datacenter its identity.
func identify(s *store.Store, log store.Log) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if _, known := s.Read(nil).Identity(); known {
			return nil
		}
		identity, err := newIdentity()
		if err != nil {
			return err
		}
		_, _, err = store.Propose[bool](ctx, log, store.OpIdentity, &identity)
		return err
	}
}

func newIdentity() (store.Identity, error) {
	id, err := uuid.GenerateUUID()
	if err != nil {
		return store.Identity{}, err
	}
	incarnation, err := uuid.GenerateUUID()
	return store.Identity{ID: id, Incarnation: incarnation}, err
}

// every calls do at once and then at each interval, until ctx ends.
func every(ctx context.Context, interval time.Duration, do func(ctx context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		do(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
