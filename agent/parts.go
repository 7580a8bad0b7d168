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

func (p *parts) add(name string, within time.Duration, stop func() error) {
	p.list = append(p.list, part{name, within, stop})
}

// stop ends the parts in reverse order. One that takes longer than its time is left
// behind, and named.
func (p *parts) stop() error {
	var errs []error
	for _, part := range slices.Backward(p.list) {
		done := make(chan error, 1)
		go func() { done <- part.stop() }()
		ctx, cancel := context.WithTimeout(context.Background(), part.within)
		select {
		case err := <-done:
			if err != nil {
				errs = append(errs, fmt.Errorf("stop %s: %w", part.name, err))
			}
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("stop %s: it did not end within %v", part.name, part.within))
		}
		cancel()
		p.log.Debug("stopped", "part", part.name)
	}
	p.list = nil
	return errors.Join(errs...)
}
