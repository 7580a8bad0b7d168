//go:build linux

package lab

import (
	"sync"
	"testing"
	"time"
)

// rule is what happens to what is sent one way.
type rule struct {
	cut   bool
	delay time.Duration
	// loss is the part of packets that is dropped, 0 to 1. Within this process only
	// gossip is packets.
	loss float64
}

// links are the ways between agents, each with its rule.
type links struct {
	mu      sync.Mutex
	rules   map[[2]string]rule
	changed chan struct{} // closed by the next change
}

func newLinks() *links {
	return &links{rules: map[[2]string]rule{}, changed: make(chan struct{})}
}

// on is the rule of one way, and what is closed once any rule has changed.
func (l *links) on(from, to string) (rule, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rules[[2]string{from, to}], l.changed
}

func (l *links) edit(from, to string, change func(*rule)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	way := [2]string{from, to}
	r := l.rules[way]
	change(&r)
	l.rules[way] = r
	l.tellLocked()
}

func (l *links) healAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.rules)
	l.tellLocked()
}

func (l *links) tellLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Delay makes everything between two places take so much longer, each way.
func (f *Federation) Delay(t testing.TB, a, b string, each time.Duration) {
	t.Helper()
	f.DelayOneWay(t, a, b, each)
	f.DelayOneWay(t, b, a, each)
}

// DelayOneWay makes what one place sends to the other take so much longer.
func (f *Federation) DelayOneWay(t testing.TB, from, to string, d time.Duration) {
	t.Helper()
	f.edit(t, from, to, func(r *rule) { r.delay = d })
}

// Lose drops a part of the packets between two places, 0 to 1.
func (f *Federation) Lose(t testing.TB, a, b string, part float64) {
	t.Helper()
	lose := func(r *rule) { r.loss = part }
	f.edit(t, a, b, lose)
	f.edit(t, b, a, lose)
}
