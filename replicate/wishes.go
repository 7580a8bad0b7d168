package replicate

import (
	"context"
	"errors"
	"sync"
)

// errWoken ends a question that waits for news because there are new orders.
var errWoken = errors.New("there are new orders")

// wishes are what others want of a follower.
type wishes struct {
	mu     sync.Mutex
	orders Orders
	wake   context.CancelCauseFunc // ends the question that waits, nil when none does
	woken  bool                    // since the last question ended

	// refusal says why no verification can begin, nil if one can. verify is one that is
	// wanted.
	refusal error
	verify  *bool // whether it is to repair
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

// wakeUp ends the question that waits.
func (w *wishes) wakeUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wakeLocked()
}

// wantVerify asks for a verification.
func (w *wishes) wantVerify(repair bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refusal != nil {
		return w.refusal
	}
	w.refusal, w.verify = errVerifying, &repair
	w.wakeLocked()
	return nil
}

// wantsVerify reports whether one is wanted, once.
func (w *wishes) wantsVerify() (repair, wanted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.verify == nil {
		return false, false
	}
	repair = *w.verify
	w.verify = nil
	return repair, true
}

// allowVerify says whether a verification can begin, or why it cannot.
func (w *wishes) allowVerify(refusal error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.verify == nil {
		w.refusal = refusal
	}
}

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
