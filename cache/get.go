package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hanse-project/hanse/rpc"
)

// From says where an answer came from.
type From struct {
	// Hit says that the answer, or the one before it that the caller knew, was here when
	// the call came.
	Hit bool
	// Age is for how long the answer may have been out of date: of one that is refreshed in
	// the background since the servers were lost, and of any other since it was fetched.
	Age time.Duration

	// old says that the servers were asked for a newer one and did not answer.
	old bool
}

// Get answers from the cache if the request says that it may be, and otherwise by a call
// to the servers. See the package for what is kept for how long.
func Get[Req, Rep any](ctx context.Context, c *Cache, m *rpc.Method[Req, Rep], req *Req) (*Rep, From, error) {
	request, ok := any(req).(rpc.Request)
	if !ok {
		return nil, From{}, fmt.Errorf("%s: %T has no envelope", m.Name, req)
	}
	q := request.Envelope().Query
	if q == nil || !q.UseCache || q.RequireConsistent {
		rep, err := m.Call(ctx, c.cfg.Caller, req)
		return rep, From{}, err
	}
	asked := *q
	question := *req // the caller may go on with its own
	key, err := keyOf(m.Name, any(&question).(rpc.Request))
	if err != nil {
		return nil, From{}, fmt.Errorf("%s: %w", m.Name, err)
	}
	fetch := func(ctx context.Context, after uint64) (any, error) {
		again := question
		q := any(&again).(rpc.Request).Envelope().Query
		q.MinQueryIndex, q.MaxQueryTime = after, refreshWait
		return m.Call(ctx, c.cfg.Caller, &again)
	}
	reply, from, err := c.get(ctx, key, fetch, m.Blocking, asked)
	if err != nil {
		return nil, from, err
	}
	if reply == nil { // there was no room
		rep, err := m.Call(ctx, c.cfg.Caller, req)
		return rep, From{}, err
	}
	return reply.(*Rep), from, nil
}

// get is [Get] without types. Its reply is nil if the cache has no room for another.
func (c *Cache) get(ctx context.Context, key string, fetch fetch, refreshes bool, q rpc.QueryOptions) (any, From, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, From{}, errStopped
	}
	e := c.enterLocked(key, fetch, refreshes)
	if e == nil {
		c.metrics.bypassed()
		return nil, From{}, nil
	}
	e.waiters++
	defer func() { e.waiters-- }()
	var reply any
	var from From
	var err error
	if refreshes {
		reply, from, err = c.followedLocked(ctx, e, q)
	} else {
		reply, from, err = c.keptLocked(ctx, e, q)
	}
	if err == nil {
		c.metrics.answered(from)
	}
	return reply, from, err
}

// followedLocked answers from an entry that is refreshed in the background, with an index
// above the one that the caller knows, or after the time that it waits.
func (c *Cache) followedLocked(ctx context.Context, e *entry, q rpc.QueryOptions) (any, From, error) {
	c.startLocked(e)
	wait := q.Wait()
	deadline := time.Now().Add(wait + rand.N(wait/rpc.JitterFraction+1))
	from := From{Hit: e.served()}
	for {
		over := q.MinQueryIndex == 0 || !time.Now().Before(deadline)
		switch {
		case e.reply == nil && e.err != nil:
			return nil, From{}, e.err
		case e.served() && (over || e.index > q.MinQueryIndex):
			if !e.lostAt.IsZero() {
				from = From{Hit: true, Age: time.Since(e.lostAt), old: true}
			}
			return e.reply, from, nil
		}
		var patience time.Duration
		if !over {
			patience = time.Until(deadline)
		}
		if err := c.waitLocked(ctx, e, patience); err != nil {
			return nil, From{}, err
		}
	}
}

// served tells whether what is kept can be the answer: it is up to date, or the servers
// were asked and did not answer.
func (e *entry) served() bool { return e.reply != nil && (e.current || e.err != nil) }

// keptLocked answers from an entry that is fetched when a caller finds it too old.
func (c *Cache) keptLocked(ctx context.Context, e *entry, q rpc.QueryOptions) (any, From, error) {
	age := time.Since(e.fetchedAt)
	if e.reply != nil && !q.MustRevalidate && (q.MaxAge <= 0 || age <= q.MaxAge) {
		return e.reply, From{Hit: true, Age: age}, nil
	}
	c.startLocked(e)
	for t := e.task; e.task == t; {
		if err := c.waitLocked(ctx, e, 0); err != nil {
			return nil, From{}, err
		}
	}
	if e.err == nil {
		return e.reply, From{}, nil
	}
	if age = time.Since(e.fetchedAt); e.reply != nil && age <= q.StaleIfError {
		return e.reply, From{Hit: true, Age: age, old: true}, nil
	}
	return nil, From{}, e.err
}

// waitLocked waits for a change of the entry, for the given time at most, if it is not 0.
func (c *Cache) waitLocked(ctx context.Context, e *entry, patience time.Duration) error {
	changed := e.changed
	c.mu.Unlock()
	defer c.mu.Lock()
	var over <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-changed:
	case <-over:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.ctx.Done():
		return errStopped
	}
	return nil
}
