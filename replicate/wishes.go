package replicate

import (
	"context"
	"errors"
	"sync"
)

// errWoken ends a question that waits for news because there are new orders.
var errWoken = errors.New("there are new orders")

// errNoVerify says that a link cannot be verified.
var errNoVerify = errors.New("the link is not read in pages, so it cannot be verified in the background")

// wishes are what others want of a follower.
type wishes struct {
	mu     sync.Mutex
	orders Orders
	wake   context.CancelCauseFunc // ends the question that waits, nil when none does
	woken  bool                    // since the last question ended
}

func (w *wishes) order(o Orders) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o == w.orders {
		return
	}
	w.orders = o
	w.wakeLocked()
}

func (w *wishes) wakeLocked() {
	w.woken = true
	if w.wake != nil {
		w.wake(errWoken)
	}
}

func (w *wishes) read() Orders {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.orders
}

func (w *wishes) verify(bool) error { return errNoVerify }

// interrupt returns a context that ends when there is something new. done must be called.
func (w *wishes) interrupt(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake = cancel
	if w.woken {
		cancel(errWoken)
	}
	return ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.wake, w.woken = nil, false
		cancel(nil)
	}
}
