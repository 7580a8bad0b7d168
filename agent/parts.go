package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
)

// part is something that was started and has to be ended.
type part struct {
	name   string
	within time.Duration
	stop   func() error
}

// parts are what an agent is made of, in the order they were started.
type parts struct {
	list []part
	log  hclog.Logger
}

// partError is the end of a part that was not told to end.
type partError struct{ error }

func (e *partError) Unwrap() error { return e.error }

// errStopping is the cause of the end of every part that is told to end.
var errStopping = errors.New("the agent is stopping")

// add takes in what stop ends.
func (p *parts) add(name string, within time.Duration, stop func() error) {
	p.list = append(p.list, part{name, within, stop})
}

// run takes in do, which works until its context ends. If it fails before that, fail is
// told; if it returns early without an error, it has nothing left to do.
func (p *parts) run(name string, within time.Duration, fail func(*partError), do func(context.Context) error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := do(ctx)
		if err != nil && ctx.Err() == nil {
			fail(&partError{err})
			err = nil
		}
		ended <- err
	}()
	p.add(name, within, func() error {
		cancel(errStopping)
		err := <-ended
		if errors.Is(err, context.Canceled) || errors.Is(err, errStopping) {
			return nil
		}
		return err
	})
}

// stop ends the parts in reverse order. One that takes longer than its time is left
// behind, and named.
func (p *parts) stop() error {
	var errs []error
	for _, part := range slices.Backward(p.list) {
		done := make(chan error, 1)
		go func() { done <- part.stop() }()
		late := time.NewTimer(part.within)
		select {
		case err := <-done:
			if err != nil {
				errs = append(errs, fmt.Errorf("stop %s: %w", part.name, err))
			}
		case <-late.C:
			errs = append(errs, fmt.Errorf("stop %s: it did not end within %v", part.name, part.within))
		}
		late.Stop()
		p.log.Debug("stopped", "part", part.name)
	}
	p.list = nil
	return errors.Join(errs...)
}
