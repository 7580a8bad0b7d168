package cache

import (
	"container/list"
	"context"
	"math/rand/v2"
	"time"

	"github.com/hanse-project/hanse/rpc"
)

// fetch asks the servers, and waits there until the index is passed; 0 does not wait.
type fetch func(ctx context.Context, after uint64) (any, error)

// entry is one question and what was answered last. Its lower half is guarded by the
// cache's mu.
type entry struct {
	key   string
	fetch fetch
	// refreshes says that a blocking query keeps the answer up to date.
	refreshes bool

	place   *list.Element
	usedAt  time.Time
	waiters int
	size    int64
	// task fetches at the moment, nil if nobody does.
	task *task
	// reply is the last answer, nil if there is none.
	reply any
	index uint64
	// fetchedAt is when the answer came.
	fetchedAt time.Time
	// current says that a task has confirmed the answer, or tries to refresh it.
	current bool
	// lostAt is since when the answer may be old, zero while it is kept up to date.
	lostAt time.Time
	// err is how the last fetch ended, nil before one has.
	err error
	// changed is closed when any of this changes.
	changed chan struct{}
}

// task is one run of an entry's fetches. What it brings after it was stopped is not taken.
type task struct{ cancel context.CancelFunc }

const (
	// refreshWait is how long a background query waits for a change before it asks again.
	refreshWait = rpc.MaxWait
	// firstPause is the time after the first failure, and lastPause the longest one:
	// after an outage an answer is up to date within about that time.
	firstPause = time.Second
	lastPause  = 20 * time.Second
	// minRound is how fast a blocking query without news may come back. One that is faster
	// did not block.
	minRound = time.Second
)

// pace spaces the fetches of a task.
type pace struct {
	every time.Duration // 0 does not space them
	burst int
	// due is when the next one would come if there were no bursts.
	due time.Time
}

func (c *Cache) newPace() *pace {
	if c.cfg.FetchRate <= 0 {
		return &pace{}
	}
	return &pace{every: time.Duration(float64(time.Second) / c.cfg.FetchRate), burst: max(c.cfg.FetchBurst, 1)}
}

// wait returns when it is time for a fetch, or reports that ctx has ended.
func (p *pace) wait(ctx context.Context) bool {
	if p.every == 0 {
		return ctx.Err() == nil
	}
	now := time.Now()
	pause := p.due.Add(-time.Duration(p.burst-1) * p.every).Sub(now)
	if p.due.Before(now) {
		p.due = now
	}
	p.due = p.due.Add(p.every)
	return sleep(ctx, pause)
}

// startLocked begins to fetch, unless somebody does.
func (c *Cache) startLocked(e *entry) {
	if e.task != nil {
		return
	}
	ctx, cancel := context.WithCancel(c.ctx)
	t := &task{cancel}
	e.task = t
	c.metrics.fetching.Inc()
	c.tasks.Go(func() {
		defer c.metrics.fetching.Dec()
		defer cancel()
		if e.refreshes {
			c.refresh(ctx, e, t)
		} else {
			reply, err := c.ask(ctx, e, 0)
			c.take(e, t, reply, err)
		}
	})
}

// stopLocked ends the task of an entry. From now on its answer grows old.
func (c *Cache) stopLocked(e *entry, now time.Time) {
	if e.task == nil {
		return
	}
	e.task.cancel()
	e.task, e.current, e.err = nil, false, nil
	if e.lostAt.IsZero() {
		e.lostAt = now
	}
}

func (c *Cache) ask(ctx context.Context, e *entry, after uint64) (any, error) {
	reply, err := e.fetch(ctx, after)
	if ctx.Err() == nil {
		c.metrics.fetched(err)
	}
	return reply, err
}

// refresh keeps an entry up to date until it is stopped, or has nothing to keep.
func (c *Cache) refresh(ctx context.Context, e *entry, t *task) {
	failures, turn := 0, c.newPace()
	for after := uint64(0); ; {
		if !turn.wait(ctx) {
			return
		}
		begin := time.Now()
		reply, err := c.ask(ctx, e, after)
		if !c.take(e, t, reply, err) {
			return
		}
		var pause time.Duration
		if err != nil {
			pause = min(firstPause<<min(failures, 10), lastPause)
			pause = pause/2 + rand.N(pause/2)
			failures++
			c.log.Debug("refresh failed, will retry", "in", pause, "error", err)
		} else {
			index := indexOf(reply)
			if failures = 0; index <= after || index == 0 {
				pause = minRound - time.Since(begin)
			}
			if index < after {
				index = 0 // the history there was replaced: what is there now is asked for first
			}
			after = index
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

func indexOf(reply any) uint64 {
	if r, ok := reply.(rpc.Reply); ok {
		return r.QueryMeta().Index
	}
	return 0
}

func sleep(ctx context.Context, pause time.Duration) bool {
	if pause <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// take takes over what a task of the entry brought. It reports whether there is more to
// do for the task.
func (c *Cache) take(e *entry, t *task, reply any, err error) bool {
	var size int64
	if err == nil {
		size = sizeOf(reply) + int64(len(e.key))
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.task != t {
		return false
	}
	if err == nil {
		changed := !e.current || indexOf(reply) != e.index
		e.reply, e.index, e.fetchedAt, e.current, e.lostAt, e.err = reply, indexOf(reply), now, true, time.Time{}, nil
		if !e.refreshes {
			e.task = nil
		}
		if changed || !e.refreshes {
			e.announce()
		}
		c.resizeLocked(e, size)
		return e.task == t
	}
	if e.lostAt.IsZero() {
		e.lostAt = now
	}
	reason := rpc.ReasonOf(err)
	if e.reply == nil || reason == rpc.ReasonDenied || reason == rpc.ReasonACLNotFound {
		e.reply = nil
		c.dropLocked(e)
	} else if !e.refreshes {
		e.task = nil
	}
	e.err = err
	e.announce()
	return e.task == t
}

// announce wakes those who wait for a change of the entry.
func (e *entry) announce() {
	close(e.changed)
	e.changed = make(chan struct{})
}
