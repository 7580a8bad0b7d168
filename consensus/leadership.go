package consensus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// ErrLostLeadership is the cause of a leader duty's end.
var ErrLostLeadership = errors.New("lost leadership")

// leadership is what the node last heard from raft.
type leadership struct {
	mu      sync.Mutex
	leading bool
	terms   uint64        // how often we came to lead
	changed chan struct{} // closed and replaced at every change, of any server
}

func (l *leadership) now() (leading bool, terms uint64, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leading, l.terms, l.changed
}

func (l *leadership) set(update func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	update()
	close(l.changed)
	l.changed = make(chan struct{})
}

// watchLeadership keeps n.leadership up to date. raft blocks on notify.
func (n *Node) watchLeadership(notify <-chan bool) {
	seen := make(chan raft.Observation, 16)
	observer := raft.NewObserver(seen, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	n.raft.RegisterObserver(observer)
	n.tasks.run(func() {
		defer n.raft.DeregisterObserver(observer)
		for {
			select {
			case leading := <-notify:
				n.paceHeartbeats(leading)
				n.leadership.set(func() {
					if n.leadership.leading = leading; leading {
						n.leadership.terms++
					}
				})
			case <-seen:
				n.leadership.set(func() {})
			case <-n.ctx.Done():
				return
			}
		}
	})
}

// leaderPace stretches the time between two heartbeats of a leader. raft beats ten to
// twenty times in the time after which a follower would stand for election, which is
// most of what idle servers do; five to ten times are plenty on streams that lose nothing.
const leaderPace = 2

// paceHeartbeats sets the leader's heartbeats. raft derives their distance from the
// leader's own timeouts, which mean nothing else as long as it leads.
func (n *Node) paceHeartbeats(leading bool) {
	timeout := n.timeout
	if leading {
		timeout *= leaderPace
	}
	conf := n.raft.ReloadableConfig()
	conf.HeartbeatTimeout, conf.ElectionTimeout = timeout, timeout
	if err := n.raft.ReloadConfig(conf); err != nil {
		n.log.Warn("heartbeats keep their pace", "error", err)
	}
}

// IsLeader says whether this server believes to lead. Another may lead by now.
func (n *Node) IsLeader() bool { return n.raft.State() == raft.Leader }

// Leader is the server that leads as far as this one knows; its fields are empty if
// none is known.
func (n *Node) Leader() raft.Server {
	if n.raft.State() == raft.Candidate {
		// A heartbeat that came in just as the wait for one ended leaves the name of who sent
		// it, and while others only ask whether they would be elected raft does not drop it.
		return raft.Server{}
	}
	addr, id := n.raft.LeaderWithID()
	return raft.Server{ID: id, Address: addr}
}

// KnownLeader says whether a leader is known.
func (n *Node) KnownLeader() bool { return n.Leader().Address != "" }

// LeaderChanged returns a channel that is closed at the next change of leader: ask
// for it before asking who leads.
func (n *Node) LeaderChanged() <-chan struct{} {
	_, _, changed := n.leadership.now()
	return changed
}

// LastContact is how long ago this server heard from a leader: 0 on the leader, the
// age of the node if it never did.
func (n *Node) LastContact() time.Duration {
	if n.IsLeader() {
		return 0
	}
	last := n.raft.LastContact()
	if last.IsZero() {
		last = n.started
	}
	return time.Since(last)
}

// WhileLeader calls duty whenever this server comes to lead, ends its context with
// the cause [ErrLostLeadership] when it does not any more, and waits for it to
// return. A duty that returns early runs again in the next term of office. It blocks
// until ctx or the node ends.
func (n *Node) WhileLeader(ctx context.Context, duty func(context.Context)) {
	for served := uint64(0); ; {
		leading, terms, changed := n.leadership.now()
		if leading && terms > served {
			served = terms
			n.serve(ctx, terms, duty)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-n.ctx.Done():
			return
		}
	}
}

// serve runs duty until it returns or the given term of office ends.
func (n *Node) serve(ctx context.Context, term uint64, duty func(context.Context)) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(n.ctx, func() { cancel(ErrLostLeadership) })
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		duty(ctx)
	}()
	for {
		leading, terms, changed := n.leadership.now()
		if !leading || terms != term {
			cancel(ErrLostLeadership)
			<-done
			return
		}
		select {
		case <-done:
			return
		case <-changed:
		}
	}
}
