package replicate

import (
	"context"
	"errors"
	"fmt"
)

// ErrLost means that the link is somebody else's by now, or may be. Nothing of the batch
// was applied.
var ErrLost = errors.New("the lock of the link was lost")

// Lease decides which of several daemons keeps a link in step.
type Lease interface {
	// Acquire waits until the link is this daemon's, and tells standby who has it meanwhile,
	// as often as it likes. key is where at the destination a lock may be kept.
	Acquire(ctx context.Context, key string, standby func(holder string)) (*Hold, error)
}

// Hold is a link that is this daemon's.
type Hold struct {
	// Sink writes as long as the link is this daemon's. Its Apply fails with [ErrLost] then.
	Sink Sink

	// Held ends when the link is known not to be this daemon's any more.
	Held context.Context
}

// LockKey is where a lock of the link with that checkpoint is kept.
func LockKey(checkpointKey string) string { return checkpointKey + "/.lock" }

// step takes the link's next step, once the link is this daemon's.
func (r *Runner) step(ctx context.Context) error {
	f := r.f
	if r.cfg.Lease == nil {
		return f.step(ctx)
	}
	if f.hold == nil {
		hold, err := r.cfg.Lease.Acquire(ctx, LockKey(f.ledger.key), f.standby)
		if err != nil {
			return fmt.Errorf("lock the link: %w", err)
		}
		f.begins(hold)
	}
	held, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.hold.Held, cancel)()
	err := f.step(held)
	if f.hold.Held.Err() != nil {
		err = ErrLost // and whatever failed, failed because of it
	}
	if errors.Is(err, ErrLost) {
		f.hold = nil
		f.endVerify()
	}
	return err
}

// begins makes the link this daemon's. What is known of the destination is old.
func (f *follower) begins(hold *Hold) {
	f.hold, f.ledger.sink, f.ledger.mirror = hold, hold.Sink, nil
	f.status.update(func(s *Status) { s.State, s.Holder = Syncing, "" })
	f.log.Info("this daemon is active")
}

// standby notes that another daemon has the link.
func (f *follower) standby(holder string) {
	if was := f.status.stoodBy(holder); was != holder {
		f.log.Info("standing by, another daemon is active", "active", holder)
	}
}
