package event

import (
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Kept is how many events an agent remembers.
const Kept = 256

// History is the last events that an agent was meant by.
type History struct {
	mu      sync.Mutex
	events  []*Event // the oldest first
	changed chan struct{}
}

// NewHistory makes a history of nothing.
func NewHistory() *History { return &History{changed: make(chan struct{})} }

// List answers the events of that name, of every name for "", the oldest first, and what
// is closed when another event comes. The events are read-only.
func (h *History) List(name string) (events []*Event, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	events = slices.Clone(h.events)
	if name != "" {
		events = slices.DeleteFunc(events, func(e *Event) bool { return e.Name != name })
	}
	return events, h.changed
}

// add remembers an event, and forgets the oldest one if there are too many.
func (h *History) add(e *Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) == Kept {
		h.events = slices.Delete(h.events, 0, 1)
	}
	h.events = append(h.events, e)
	close(h.changed)
	h.changed = make(chan struct{})
}

// Index is what a client passes to wait for the next event after the last of these: a
// number made of its ID, since events have no order that a whole datacenter agrees on.
// It is 0 without events. Clients compute the same of the IDs they are shown.
func Index(events []*Event) uint64 {
	if len(events) == 0 {
		return 0
	}
	digits := strings.ReplaceAll(events[len(events)-1].ID, "-", "")
	low, _ := strconv.ParseUint(digits[:16], 16, 64) // IDs are UUIDs
	high, _ := strconv.ParseUint(digits[16:], 16, 64)
	return low ^ high
}
