package replicate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// locks are those of one destination. Whoever has one loses it when it is taken.
type locks struct {
	sink memSink

	mu      sync.Mutex
	holder  string
	token   int // counts the holds
	lose    context.CancelFunc
	changed chan struct{}
}

func newLocks(sink memSink) *locks { return &locks{sink: sink, changed: make(chan struct{})} }

// free ends a hold. Its holder is told if it is known that it ended.
func (l *locks) free(told bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if told {
		l.lose()
	}
	l.holder = ""
	l.token++
	close(l.changed)
	l.changed = make(chan struct{})
}

// lease is one daemon's.
type lease struct {
	*locks
	name string
}

func (l lease) Acquire(ctx context.Context, _ string, standby func(string)) (*Hold, error) {
	for {
		l.mu.Lock()
		if l.holder == "" {
			defer l.mu.Unlock()
			l.holder = l.name
			l.token++
			held, lose := context.WithCancel(ctx)
			l.lose = lose
			return &Hold{Sink: fencedSink{l.sink, l.locks, l.token}, Held: held}, nil
		}
		holder, changed := l.holder, l.changed
		l.mu.Unlock()
		standby(holder)
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// fencedSink writes during one hold.
type fencedSink struct {
	memSink
	locks *locks
	token int
}

func (s fencedSink) Apply(ctx context.Context, b Batch) (uint64, error) {
	s.locks.mu.Lock()
	defer s.locks.mu.Unlock()
	if s.token != s.locks.token {
		return 0, ErrLost
	}
	return s.memSink.Apply(ctx, b)
}

func TestOneDaemonIsActiveAndTheNextTakesOver(t *testing.T) {
	for _, told := range []bool{true, false} {
		eitherWay(t, func(t *testing.T, newSource func() *store) {
			source, sink := newSource(), newStore()
			l := newLocks(memSink{store: sink, paged: source.paged})
			var both []*Replicator
			for _, name := range []string{"one", "two"} {
				cfg := testConfig(t, source, sink, "a/@x")
				cfg.Writer, cfg.Lease = name, lease{l, name}
				cfg.VerifyInterval, cfg.Repair = time.Second, true
				r, _ := run(t, cfg)
				both = append(both, r)
				synctest.Wait()
			}
			for n := range 4 {
				active, idle := both[n%2], both[1-n%2]
				source.put("a/k", string(rune('a'+n)), 0)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				sameContents(t, source, sink, "a/", "a/")
				if a, b := active.Status()[0], idle.Status()[0]; a.State != Following || b.State != Standby || b.Holder != []string{"one", "two"}[n%2] || b.Lag != 0 || a.Holder != "" {
					t.Fatalf("round %d: active %+v\nidle %+v", n, a, b)
				}
				l.free(told)
				for i := 0; !told && active.Status()[0].State != Standby; i++ { // until it writes, and not the other one before
					if i == 100 {
						t.Fatalf("round %d: it does not notice: %+v", n, active.Status()[0])
					}
					source.put("a/other", fmt.Sprint(n, i), 0)
					time.Sleep(5 * time.Second)
					synctest.Wait()
				}
				synctest.Wait()
			}
		})
	}
}

func TestALostLockEndsTheStepThatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := newStore(), newStore()
		source.put("a/k", "v", 0)
		held, lose := context.WithCancel(t.Context())
		cfg := testConfig(t, source, sink, "a/@x")
		f := &follower{
			scope: scope{link: cfg.Links[0]}, source: memSource{store: source}, hold: &Hold{Held: held}, log: cfg.Log, status: newTracker("a"),
			ledger: ledger{sink: memSink{store: sink}, status: newTracker("a")},
		}
		r := &Runner{cfg: RunnerConfig{Lease: lease{}}, f: f}
		lose()
		if err := r.step(t.Context()); !errors.Is(err, ErrLost) || f.hold != nil {
			t.Errorf("error %v, hold %v", err, f.hold)
		}
	})
}
