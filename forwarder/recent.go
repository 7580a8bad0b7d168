package forwarder

import (
	"slices"
	"sync"
	"time"
)

const (
	// recentSize and recentFor bound which round trips count as recent.
	recentSize = 256
	recentFor  = 5 * time.Minute
)

// recent keeps the last round trips to a datacenter: of pings, and of calls whose
// answer is small.
type recent struct {
	mu   sync.Mutex
	ring [recentSize]struct {
		at   time.Time
		took time.Duration
	}
	next int
}

func (r *recent) add(took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[r.next].at, r.ring[r.next].took = time.Now(), took
	r.next = (r.next + 1) % recentSize
}

// quantiles are the median and the 99th percentile, 0 if there was nothing recently.
func (r *recent) quantiles() (median, p99 time.Duration) {
	since := time.Now().Add(-recentFor)
	r.mu.Lock()
	var all []time.Duration
	for _, trip := range r.ring {
		if trip.at.After(since) {
			all = append(all, trip.took)
		}
	}
	r.mu.Unlock()
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)/2], all[(len(all)*99+99)/100-1]
}

// Traffic is what the calls to one datacenter are like.
type Traffic struct {
	// Median and P99 are of the round trips of the last minutes, 0 if there were none.
	Median, P99 time.Duration
	// InFlight are the calls that wait for their answer, and Errors counts those that no
	// server answered since the datacenter was first called.
	InFlight, Errors int64
	// Sessions are the open connections to its servers.
	Sessions int
}

// Traffic tells what the calls to a datacenter are like. Calls within our own are not
// counted, its sessions are.
func (r *Router) Traffic(dc string) Traffic {
	t := Traffic{Sessions: r.pool.sessionsWith(dc)}
	if g := r.existingGate(dc); g != nil {
		t.Median, t.P99 = g.recent.quantiles()
		t.InFlight, t.Errors = g.inFlight.Load(), g.errors.Load()
	}
	return t
}
