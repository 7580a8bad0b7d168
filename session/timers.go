package session

import (
	"container/heap"
	"context"
	"iter"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

const (
	// ttlSlack is how many times its TTL a session lives without being renewed. The TTL
	// is what is promised; the rest is for the network and for a leader that was busy.
	ttlSlack = 2
	// expireAtOnce bounds how many sessions end in one log entry.
	expireAtOnce = 128
	// tableEvery is how often the table is looked at while it changes. No TTL is so short
	// that a session could end unseen.
	tableEvery = time.Second
	// retryEvery is how long a session that could not be ended waits for the next try.
	retryEvery = time.Second
)

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

// Renew begins to count the time of s anew. It is false if the session is being ended
// at this moment: whoever holds it must not believe to have it any longer.
func (t *Timers) Renew(s *Session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on {
		return true // whoever begins to count gives it its whole time
	}
	d := t.byID[s.ID]
	switch {
	case d == nil:
		t.startLocked(s)
	case d.ending:
		return false
	default:
		d.at = time.Now().Add(d.patience)
		heap.Fix(&t.queue, d.position)
	}
	return true
}

func (t *Timers) startLocked(s *Session) {
	ttl, err := time.ParseDuration(s.TTL)
	if err != nil || ttl <= 0 {
		return
	}
	t.pushLocked(&deadline{id: s.ID, patience: ttlSlack * ttl, at: time.Now().Add(ttlSlack * ttl)})
}

func (t *Timers) pushLocked(d *deadline) {
	t.byID[d.id] = d
	heap.Push(&t.queue, d)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Run counts until ctx ends. Every session that there is gets its whole time at first:
// what an earlier leader had counted is not known.
func (t *Timers) Run(ctx context.Context) {
	t.turn(true)
	defer t.turn(false)
	var wg sync.WaitGroup
	wg.Go(func() { t.follow(ctx) })
	t.watchClock(ctx)
	wg.Wait()
}

func (t *Timers) turn(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.on, t.queue, t.byID = on, nil, map[string]*deadline{}
}

// follow counts for exactly the sessions of the table, however they came there: by a
// request whose answer was lost, from an earlier leader, out of a snapshot.
func (t *Timers) follow(ctx context.Context) {
	for {
		changes := make(rpc.WatchSet)
		t.adopt(store.Rows[*Session](t.store.Read(changes), table, "id"))
		if changes.WatchCtx(ctx) != nil {
			return
		}
		select {
		case <-time.After(tableEvery):
		case <-ctx.Done():
			return
		}
	}
}

func (t *Timers) adopt(rows iter.Seq[*Session]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	there := make(map[string]bool, len(t.byID))
	for s := range rows {
		there[s.ID] = true
		if t.byID[s.ID] == nil {
			t.startLocked(s)
		}
	}
	for id, d := range t.byID {
		if !there[id] {
			delete(t.byID, id)
			if d.position >= 0 {
				heap.Remove(&t.queue, d.position)
			}
		}
	}
}

// watchClock ends what is due until ctx ends.
func (t *Timers) watchClock(ctx context.Context) {
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
		d := heap.Pop(&t.queue).(*deadline)
		d.ending = true
		due = append(due, d.id)
	}
	return due
}

func (t *Timers) again(ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		if d := t.byID[id]; d != nil {
			d.at = time.Now().Add(retryEvery)
			t.pushLocked(d)
		}
	}
}

// deadline is when a session ends if it is not renewed.
type deadline struct {
	id       string
	at       time.Time
	patience time.Duration
	// ending is set from when the time is over: there is no way back.
	ending   bool
	position int // in the heap, -1 outside
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
	last.position = -1
	*d = old[:len(old)-1]
	return last
}
