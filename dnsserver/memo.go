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
// changes, and those made of what the cache gave until it gives something else. They are
// shared, and read-only.
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
	// changed close when the answer is no more. There are none if it came from reply, a
	// reply of the cache.
	changed []<-chan struct{}
	reply   any
}

func newMemo() *memo { return &memo{kept: map[memoKey]*memoEntry{}} }

// get finds the answer to a question, nil if it has to be asked for.
func (m *memo) get(r *request, now time.Time) *memoEntry {
	m.mu.RLock()
	e := m.kept[memoKey{r.Name, r.Qtype}]
	m.mu.RUnlock()
	if e == nil || len(e.changed) == 0 || e.settings != r.settings || !now.Before(e.until) {
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

// from finds the answer to a question that was made of the same reply, nil if none was.
func (m *memo) from(r *request, reply any) *answer {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if e := m.kept[memoKey{r.Name, r.Qtype}]; e != nil && e.reply == reply && e.settings == r.settings {
		return e.answer
	}
	return nil
}

// put keeps an answer, if it was read in this process and is for everybody, or came from
// the cache.
func (m *memo) put(r *request, k kind, a *answer, now time.Time) {
	set, t := r.settings, r.trace
	watched := len(t.watch) > 0 && !t.elsewhere && set.AllowStale && set.MaxStale >= memoFor
	cached := t.reply != nil && t.calls == 1
	if a.empty() || t.unsure || !watched && !cached {
		return
	}
	e := &memoEntry{answer: a, kind: k, settings: set, until: now.Add(memoFor), reply: t.reply}
	if watched {
		for ch := range t.watch {
			e.changed = append(e.changed, ch)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.kept) >= memoMax {
		clear(m.kept)
	}
	m.kept[memoKey{r.Name, r.Qtype}] = e
}
