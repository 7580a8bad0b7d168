package dnsserver

import (
	"sync"
	"time"
)

const (
	// memoFor is how long an answer is kept at most, so that the age of the server's state
	// and the caller's rights are looked at again.
	memoFor = time.Second
	// memoMax bounds how many answers are kept.
	memoMax = 4096
)

// memo keeps answers that were read in this process until what they were read from
// changes. They are shared, and read-only.
type memo struct {
	mu   sync.RWMutex
	kept map[memoKey]*memoEntry
}

// memoKey is a question. The name stands as it was written, as it does in the answer.
type memoKey struct {
	name  string
	qtype uint16
}

type memoEntry struct {
	answer   *answer
	kind     kind
	settings *Settings
	until    time.Time
	changed  []<-chan struct{}
}

func newMemo() *memo { return &memo{kept: map[memoKey]*memoEntry{}} }

// get finds the answer to a question, nil if it has to be asked for.
func (m *memo) get(r *request, now time.Time) *memoEntry {
	m.mu.RLock()
	e := m.kept[memoKey{r.Name, r.Qtype}]
	m.mu.RUnlock()
	if e == nil || e.settings != r.settings || !now.Before(e.until) {
		return nil
	}
	for _, ch := range e.changed {
		select {
		case <-ch:
			return nil
		default:
		}
	}
	return e
}

// put keeps an answer, if it was read in this process and is for everybody.
func (m *memo) put(r *request, k kind, a *answer, now time.Time) {
	set, ws := r.settings, r.trace.watch
	if len(ws) == 0 || r.trace.unsure || a.empty() || !set.AllowStale || set.MaxStale < memoFor {
		return
	}
	e := &memoEntry{answer: a, kind: k, settings: set, until: now.Add(memoFor)}
	for ch := range ws {
		e.changed = append(e.changed, ch)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.kept) >= memoMax {
		clear(m.kept)
	}
	m.kept[memoKey{r.Name, r.Qtype}] = e
}
