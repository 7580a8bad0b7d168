package coordinate

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hanse-project/hanse/store"
)

const (
	// Period is how often a leader logs what it was told.
	Period = 5 * time.Second
	// batchSize is how many coordinates one log entry holds, of about 100 bytes each.
	batchSize = 256
	// maxTold is how many nodes may be told of in one period. A datacenter that is larger
	// tells of the others in the next: the agents slow down as their number grows.
	maxTold = 8192
	// recent is how old what was told may be when a leadership begins. Its first words come
	// before its work does, and agents that are at rest repeat them after minutes only.
	recent = Period
)

// told is what was said since the last batch, the last word for each node.
type told struct {
	mu      sync.Mutex
	last    map[string]word // by the node's name, in small letters
	dropped int
}

// word is where a node was said to be, and when.
type word struct {
	*Coordinate
	at time.Time
}

func (t *told) take(c *Coordinate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[string]word{}
	}
	node := strings.ToLower(c.Node)
	if _, known := t.last[node]; !known && len(t.last) >= maxTold {
		t.dropped++
		return
	}
	t.last[node] = word{c, time.Now()}
}

// forget drops what was said before a moment.
func (t *told) forget(before time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.last, func(_ string, w word) bool { return w.at.Before(before) })
	t.dropped = 0
}

// empty hands over what was said, in order of the nodes, and how much was dropped.
func (t *told) empty() (all []*Coordinate, dropped int) {
	t.mu.Lock()
	last, dropped := t.last, t.dropped
	t.last, t.dropped = nil, 0
	t.mu.Unlock()
	for _, w := range last {
		all = append(all, w.Coordinate)
	}
	slices.SortFunc(all, func(a, b *Coordinate) int { return cmp.Compare(a.Node, b.Node) })
	return all, dropped
}

// Run logs what this leader is told, once in every period, until ctx ends. What was told
// to an earlier leadership is out of date, unless that was a moment ago.
func (e *Endpoint) Run(ctx context.Context, period time.Duration) {
	e.told.forget(time.Now().Add(-recent))
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.flush(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// flush logs what is new, in entries of a bounded size.
func (e *Endpoint) flush(ctx context.Context) {
	all, dropped := e.told.empty()
	if dropped > 0 {
		e.cfg.Logger.Warn("more coordinates than can be kept at a time: some were dropped", "dropped", dropped)
	}
	v := e.cfg.Store.Read(nil)
	all = slices.DeleteFunc(all, func(c *Coordinate) bool { return !fresh(v, c) })
	for batch := range slices.Chunk(all, batchSize) {
		if _, _, err := store.Propose[int](ctx, e.cfg.Log, opUpdate, &update{batch}); err != nil {
			if ctx.Err() == nil {
				e.cfg.Logger.Warn("failed to log coordinates, the agents will tell them again", "count", len(batch), "error", err)
			}
			return
		}
	}
}
