package gossip

import (
	"context"
	"sync"

	"github.com/hashicorp/serf/serf"
)

// Handler is told what happens in a pool, one thing at a time and in order. Either
// function may be nil. They may take their time and may call the pool.
type Handler struct {
	// Member is told of one member: [serf.EventMemberJoin], [serf.EventMemberUpdate],
	// [serf.EventMemberLeave], [serf.EventMemberFailed] or [serf.EventMemberReap].
	Member func(change serf.EventType, m serf.Member)
	// User is told of user events, our own among them.
	User func(serf.UserEvent)
}

// eventBuffer is for the moment between serf and the queue; it is read at once.
const eventBuffer = 1024

// maxUserEvents bounds what a flood of user events can hold in memory. Member events
// are bounded by the members.
const maxUserEvents = 8192

// queue holds events until the handler has time. serf sends events with its lock
// held, so a handler that called the pool while serf waited for it would deadlock.
type queue struct {
	wake chan struct{}

	mu      sync.Mutex
	events  []serf.Event
	users   int
	dropped int
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) push(e serf.Event) {
	q.mu.Lock()
	if e.EventType() == serf.EventUser {
		if q.users == maxUserEvents {
			q.dropped++
			q.mu.Unlock()
			return
		}
		q.users++
	}
	q.events = append(q.events, e)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take empties the queue. dropped is how many user events were lost before it.
func (q *queue) take() (events []serf.Event, dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	events, dropped = q.events, q.dropped
	q.events, q.users, q.dropped = nil, 0, 0
	return events, dropped
}

// pump moves events from serf into the queue until the pool is down. The buffer of
// the channel takes what serf may still send then.
func (p *Pool) pump(from <-chan serf.Event) {
	for {
		select {
		case e := <-from:
			if m, ok := e.(serf.MemberEvent); ok {
				for _, member := range m.Members {
					p.guard.observe(m.Type, member)
				}
			}
			p.events.push(e)
		case <-p.serf.ShutdownCh():
			return
		}
	}
}

// Run tells h what happens from the start of the pool on, until ctx ends or the pool
// is shut down. There is one Run at a time.
func (p *Pool) Run(ctx context.Context, h Handler) {
	for {
		events, dropped := p.events.take()
		if dropped > 0 {
			p.cfg.Log.Warn("user events arrive faster than they are handled, some are lost", "pool", p.cfg.Pool, "lost", dropped)
		}
		for _, e := range events {
			if ctx.Err() != nil {
				return
			}
			h.dispatch(e)
		}
		select {
		case <-p.events.wake:
		case <-ctx.Done():
			return
		case <-p.serf.ShutdownCh():
			return
		}
	}
}

func (h Handler) dispatch(e serf.Event) {
	switch e := e.(type) {
	case serf.MemberEvent:
		if h.Member == nil {
			return
		}
		for _, m := range e.Members {
			h.Member(e.Type, m)
		}
	case serf.UserEvent:
		if h.User != nil {
			h.User(e)
		}
	}
}
