package consensus

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// roundLimit is how many election timeouts one round may take: an election will have
// been decided by then.
const roundLimit = 4

func (n *Node) roundContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(n.ctx, roundLimit*n.timeout)
}

// voters returns the other voters, and how many of them make a majority with us.
func (n *Node) voters() (others []raft.Server, need int) {
	servers, _ := n.Configuration()
	voters := 0
	for _, s := range servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if s.ID == n.id {
			need--
		} else {
			others = append(others, s)
		}
	}
	return others, need + voters/2 + 1
}

// confirmMajority returns nil once a majority of voters said, to a question sent
// after the call, that their term is still this one.
func (n *Node) confirmMajority(ctx context.Context, term uint64) error {
	others, need := n.voters()
	t := &tally{term: term, need: need, left: len(others), decided: make(chan struct{})}
	if t.need <= 0 {
		return nil
	}
	for _, s := range others {
		n.confirms.ask(n, s, t)
	}
	select {
	case <-t.decided:
		if t.need > 0 {
			return fmt.Errorf("%w: no majority confirms the term of this server", ErrNoLeader)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: no majority answered this server in time", ErrNoLeader)
	}
}

// tally counts the answers of one round.
type tally struct {
	term    uint64
	decided chan struct{} // closed when need is met, or cannot be any more

	mu   sync.Mutex
	need int // answers "yes" still missing; settled once decided is closed
	left int // answers still to come
}

func (t *tally) vote(yes bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.isDecided() {
		return
	}
	t.left--
	if yes {
		t.need--
	}
	if t.need == 0 || t.left < t.need {
		close(t.decided)
	}
}

func (t *tally) isDecided() bool {
	select {
	case <-t.decided:
		return true
	default:
		return false
	}
}

// confirmer asks other servers, each one question at a time: a server that does not
// answer holds up one call, not one for every round. When it does, it is asked for
// the newest round.
type confirmer struct {
	mu    sync.Mutex
	wants map[raft.ServerID]*want // for as long as a call is under way
}

type want struct {
	server raft.Server
	tally  *tally
}

func (c *confirmer) ask(n *Node, s raft.Server, t *tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w, busy := c.wants[s.ID]; busy {
		w.server, w.tally = s, t
		return
	}
	if c.wants == nil {
		c.wants = make(map[raft.ServerID]*want)
	}
	w := &want{server: s, tally: t}
	if !n.tasks.run(func() { c.work(n, w) }) {
		t.vote(false)
		return
	}
	c.wants[s.ID] = w
}

// work asks one server until nothing is wanted of it.
func (c *confirmer) work(n *Node, w *want) {
	for {
		c.mu.Lock()
		server, t := w.server, w.tally
		w.tally = nil
		if t == nil {
			delete(c.wants, server.ID)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		if t.isDecided() {
			continue
		}
		ctx, cancel := n.roundContext()
		yes, err := n.peers.ConfirmTerm(ctx, server, t.term)
		cancel()
		t.vote(yes && err == nil)
	}
}
