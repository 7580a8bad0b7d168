package consensus

import "sync"

// tasks counts goroutines that may be started at any time until close.
type tasks struct {
	mu     sync.Mutex
	count  int
	closed bool
	idle   chan struct{} // made by close, closed when the last one ended
}

// run starts f, or returns false after close.
func (t *tasks) run(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.count++
	go func() {
		defer t.ended()
		f()
	}()
	return true
}

func (t *tasks) ended() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count--; t.closed && t.count == 0 {
		close(t.idle)
	}
}

// close lets nothing new start and returns a channel that closes when all ended.
func (t *tasks) close() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.idle = make(chan struct{})
	if t.count == 0 {
		close(t.idle)
	}
	return t.idle
}
