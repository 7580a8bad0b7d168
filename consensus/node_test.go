package consensus

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

func TestOneServerServesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		m := c.start(t, "a", "")
		if m.HasState() {
			t.Error("a new server has state")
		}
		if _, _, err := m.Propose(t.Context(), []byte("x")); !errors.Is(err, ErrNoLeader) {
			t.Errorf("propose before the bootstrap: %v, want %v", err, ErrNoLeader)
		}
		if err := m.ReadIndex(t.Context()); !errors.Is(err, ErrNoLeader) {
			t.Errorf("read before the bootstrap: %v, want %v", err, ErrNoLeader)
		}
		c.bootstrap(t, m)
		leader(t, m)
		if got, _, err := m.Propose(t.Context(), []byte("x")); err != nil || got != 1 {
			t.Fatalf("propose = %v, %v", got, err)
		}
		if err := m.ReadIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.Bootstrap([]raft.Server{m.server}); !errors.Is(err, raft.ErrCantBootstrap) {
			t.Errorf("second bootstrap: %v", err)
		}
	})
}

func TestAcknowledgedWritesOutliveTheirLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := three(t)
		old := leader(t, nodes...)
		put(t, old, "one")
		put(t, old, "two")
		c.kill(t, old)
		rest := except(old, nodes)
		next := leader(t, rest...)
		put(t, next, "three")
		for _, m := range rest {
			if err := m.waitUntilRead(t); err != nil {
				t.Fatalf("read on %s: %v", m.id, err)
			}
			if got, want := m.journal.texts(), []string{"one", "two", "three"}; !slices.Equal(got, want) {
				t.Errorf("%s reads %q, want %q", m.id, got, want)
			}
		}
	})
}

func TestProposeOnAFollowerNamesTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, nodes := three(t)
		l := leader(t, nodes...)
		f := except(l, nodes)[0]
		if err := f.waitUntilRead(t); err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Propose(t.Context(), []byte("x")); !errors.Is(err, ErrNotLeader) {
			t.Errorf("propose: %v, want %v", err, ErrNotLeader)
		}
		if f.Leader() != l.server || !f.KnownLeader() {
			t.Errorf("leader is %v, want %v", f.Leader(), l.server)
		}
	})
}

func TestWriteOfACutOffLeaderHasAnUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := three(t)
		old := leader(t, nodes...)
		c.isolate(old.id, true)
		if _, _, err := old.Propose(t.Context(), []byte("lost")); !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("propose: %v, want %v", err, ErrOutcomeUnknown)
		}
		next := leader(t, except(old, nodes)...)
		put(t, next, "kept")
		c.isolate(old.id, false)
		if err := old.waitUntilRead(t); err != nil {
			t.Fatal(err)
		}
		if got, want := old.journal.texts(), []string{"kept"}; !slices.Equal(got, want) {
			t.Errorf("the old leader reads %q, want %q", got, want)
		}
	})
}

func TestDeadlineAfterTheCommandWasLoggedIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := three(t)
		l := leader(t, nodes...)
		c.isolate(l.id, true)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, _, err := l.Propose(ctx, []byte("x"))
		if !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("propose: %v, want %v by deadline", err, ErrOutcomeUnknown)
		}
	})
}

// waitUntilRead reads until a read succeeds.
func (m *member) waitUntilRead(t testing.TB) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		changed := m.LeaderChanged()
		err := m.ReadIndex(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond):
		}
	}
}
