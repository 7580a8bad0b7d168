package gossiptest

import (
	"testing"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/gossip"
)

// Watch follows the events of a pool, so that tests can wait for what they expect
// instead of polling. It shuts the pool down when the test ends.
type Watch struct {
	pool    *gossip.Pool
	changed chan struct{}
}

// NewWatch runs the pool's events until the test ends. h may be empty.
func NewWatch(t testing.TB, pool *gossip.Pool, h gossip.Handler) *Watch {
	t.Helper()
	w := &Watch{pool: pool, changed: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		pool.Run(t.Context(), gossip.Handler{
			Member: func(change serf.EventType, m serf.Member) {
				if h.Member != nil {
					h.Member(change, m)
				}
				w.wake()
			},
			User: func(e serf.UserEvent) {
				if h.User != nil {
					h.User(e)
				}
				w.wake()
			},
		})
	}()
	t.Cleanup(func() {
		if err := pool.Shutdown(); err != nil {
			t.Errorf("shut down: %v", err)
		}
		<-done
	})
	return w
}

func (w *Watch) wake() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// Until returns once cond holds. It looks again after each event of the pool.
func (w *Watch) Until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	patience := time.After(2 * time.Minute)
	for !cond() {
		select {
		case <-w.changed:
		case <-patience:
			t.Fatalf("%s: not within two minutes; members are %v", what, w.statuses())
		}
	}
}

// UntilStatus returns once the pool holds member in status; serf.StatusNone waits
// until it is unknown.
func (w *Watch) UntilStatus(t testing.TB, member string, status serf.MemberStatus) {
	t.Helper()
	w.Until(t, member+" is "+status.String(), func() bool { return w.statuses()[member] == status })
}

func (w *Watch) statuses() map[string]serf.MemberStatus {
	all := make(map[string]serf.MemberStatus)
	for _, m := range w.pool.Members() {
		all[m.Name] = m.Status
	}
	return all
}
