package local

import (
	"math/rand/v2"
	"sync"
	"time"
)

// queue is what the catalog has yet to hear of: IDs only, since what is sent is what
// stands when it is sent.
type queue struct {
	wake chan struct{} // holds one when there is something to take

	mu       sync.Mutex
	node     bool
	services map[string]struct{}
	checks   map[string]struct{}
	// outputs are the checks of which only the output is new, with the time by which the
	// catalog is to have it.
	outputs map[string]time.Time
}

// work is what was taken from a queue.
type work struct {
	node     bool
	services map[string]struct{}
	checks   map[string]struct{}
}

func newQueue() *queue {
	return &queue{
		wake: make(chan struct{}, 1), services: map[string]struct{}{}, checks: map[string]struct{}{},
		outputs: map[string]time.Time{},
	}
}

func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// nodeInfo notes that the node itself is to be registered.
func (q *queue) nodeInfo() {
	q.mu.Lock()
	q.node = true
	q.mu.Unlock()
	q.poke()
}

// service notes that a service is new, or another one, or gone.
func (q *queue) service(id string) {
	q.mu.Lock()
	q.services[id] = struct{}{}
	q.mu.Unlock()
	q.poke()
}

// check notes it of a check.
func (q *queue) check(id string) {
	q.mu.Lock()
	q.checks[id] = struct{}{}
	delete(q.outputs, id)
	q.mu.Unlock()
	q.poke()
}

// output notes that only the output of a check is new: it may wait for about as long as
// given, so that the outputs of many checks come at different times.
func (q *queue) output(id string, wait time.Duration) {
	if wait <= 0 {
		q.check(id)
		return
	}
	q.mu.Lock()
	_, sent := q.checks[id]
	_, waits := q.outputs[id]
	if !sent && !waits {
		q.outputs[id] = time.Now().Add(wait/2 + rand.N(wait))
	}
	q.mu.Unlock()
	if !sent && !waits {
		q.poke() // so that the time is looked at
	}
}

// waiting tells whether the output of a check is on its way.
func (q *queue) waiting(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, waits := q.outputs[id]
	return waits
}

// back returns what could not be done.
func (q *queue) back(w work) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.node = q.node || w.node
	for id := range w.services {
		q.services[id] = struct{}{}
	}
	for id := range w.checks {
		q.checks[id] = struct{}{}
	}
}

// take empties the queue, all but the outputs that may still wait. next is when the
// first of those is due, zero if there is none.
func (q *queue) take() (w work, next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for id, due := range q.outputs {
		switch {
		case !due.After(now):
			q.checks[id] = struct{}{}
			delete(q.outputs, id)
		case next.IsZero() || due.Before(next):
			next = due
		}
	}
	w = work{q.node, q.services, q.checks}
	q.node, q.services, q.checks = false, map[string]struct{}{}, map[string]struct{}{}
	return w, next
}

func (w work) empty() bool { return !w.node && len(w.services) == 0 && len(w.checks) == 0 }
