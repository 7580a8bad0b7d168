package agent

import (
	"context"
	"time"
)

// Leave tells the datacenter that this agent goes for good, and then stops it. An agent
// that is stopped meanwhile waits for nobody.
func (a *Agent) Leave(ctx context.Context) error {
	a.leaveOnce.Do(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(a.stopping, cancel)()
		a.log.Info("Leaving the cluster")
		a.presence.end(localWithin)
		a.leaveErr = a.role.Leave(ctx)
		a.stop(errLeft)
	})
	return a.leaveErr
}

// presence is what puts this node into the catalog. It ends before the node leaves, so
// that it does not come back into a catalog that has just forgotten it.
type presence struct {
	leaving context.Context
	leave   context.CancelFunc
	ended   chan struct{}
}

func newPresence() presence {
	ctx, cancel := context.WithCancel(context.Background())
	return presence{leaving: ctx, leave: cancel, ended: make(chan struct{})}
}

// keep is run, but for its end when the agent leaves.
func (p presence) keep(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		defer close(p.ended)
		defer p.leave()
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		stop := context.AfterFunc(p.leaving, func() { cancel(errLeft) })
		defer stop()
		err := run(ctx)
		if p.leaving.Err() != nil {
			return nil
		}
		return err
	}
}

// end ends it and waits, though not longer than within.
func (p presence) end(within time.Duration) {
	p.leave()
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
	}
}
