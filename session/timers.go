package session

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/store"
)

// ttlSlack is how many times its TTL a session lives without being renewed. The TTL is
// what is promised; the rest is for the network and for a leader that was busy.
const ttlSlack = 2

// expireAtOnce bounds how many sessions end in one log entry.
const expireAtOnce = 128

// Timers end sessions that were not renewed. They count while Run does, on the leader.
type Timers struct {
	store *store.Store
	log   store.Log
	logs  hclog.Logger
	wake  chan struct{}

	mu    sync.Mutex
	on    bool
	queue deadlines
	byID  map[string]*deadline
}

// NewTimers makes timers that end sessions of s through log.
func NewTimers(s *store.Store, log store.Log, logs hclog.Logger) *Timers {
	return &Timers{store: s, log: log, logs: logs, wake: make(chan struct{}, 1), byID: map[string]*deadline{}}
}

// Start begins to count the time of s, anew if it was counted before.
func (t *Timers) Start(s *Session) {
	ttl, err := time.ParseDuration(s.TTL)
	if err != nil || ttl <= 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on {
		return
	}
	at := time.Now().Add(ttlSlack * ttl)
	if d := t.byID[s.ID]; d != nil {
		d.at = at
		heap.Fix(&t.queue, d.position)
	} else {
		d = &deadline{id: s.ID, at: at}
		t.byID[s.ID] = d
		heap.Push(&t.queue, d)
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Stop ends the counting for a session.
func (t *Timers) Stop(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeLocked(id)
}

func (t *Timers) removeLocked(id string) {
	if d := t.byID[id]; d != nil {
		heap.Remove(&t.queue, d.position)
		delete(t.byID, id)
	}
}

// Run counts until ctx ends. Every session that there is gets its whole time at first:
// what an earlier leader had counted is not known.
func (t *Timers) Run(ctx context.Context) {
	t.turn(true)
	defer t.turn(false)
	for s := range store.Rows[*Session](t.store.Read(nil), table, "id") {
		t.Start(s)
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(t.next())
		select {
		case <-timer.C:
			t.expire(ctx)
		case <-t.wake:
		case <-ctx.Done():
			return
		}
	}
}

func (t *Timers) turn(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.on = on
	t.queue, t.byID = nil, map[string]*deadline{}
}

// next is the time to the first deadline.
func (t *Timers) next() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		return time.Hour
	}
	return max(time.Until(t.queue[0].at), 0)
}

// expire ends the sessions whose time is over. Those that could not be ended are tried
// again soon.
func (t *Timers) expire(ctx context.Context) {
	due := t.takeDue()
	if len(due) == 0 {
		return
	}
	if _, _, err := store.Propose[bool](ctx, t.log, opDestroy, &destroy{IDs: due}); err != nil {
		t.logs.Error("failed to end sessions whose TTL ran out, will retry", "sessions", len(due), "error", err)
		t.again(due)
		return
	}
	t.logs.Debug("ended sessions whose TTL ran out", "sessions", due)
}

func (t *Timers) takeDue() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var due []string
	now := time.Now()
	for len(t.queue) > 0 && len(due) < expireAtOnce && !t.queue[0].at.After(now) {
		due = append(due, t.queue[0].id)
		t.removeLocked(t.queue[0].id)
	}
	return due
}

// again gives sessions a short time more.
func (t *Timers) again(ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		if t.on && t.byID[id] == nil {
			d := &deadline{id: id, at: time.Now().Add(time.Second)}
			t.byID[id] = d
			heap.Push(&t.queue, d)
		}
	}
}

// deadline is when a session ends if it is not renewed.
type deadline struct {
	id       string
	at       time.Time
	position int
}

// deadlines is a heap, the nearest first.
type deadlines []*deadline

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].position, d[j].position = i, j
}

// Push implements heap.Interface.
func (d *deadlines) Push(x any) {
	item := x.(*deadline)
	item.position = len(*d)
	*d = append(*d, item)
}

// Pop implements heap.Interface.
func (d *deadlines) Pop() any {
	old := *d
	last := old[len(old)-1]
	*d = old[:len(old)-1]
	return last
}
