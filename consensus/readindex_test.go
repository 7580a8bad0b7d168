package consensus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/hashicorp/raft"
)

func TestCutOffLeaderDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := three(t)
		old := leader(t, nodes...)
		c.isolate(old.id, true)
		if !old.IsLeader() {
			t.Fatal("the cut was noticed at once, so this test shows nothing")
		}
		if err := old.ReadIndex(t.Context()); !errors.Is(err, ErrNoLeader) {
			t.Errorf("read on the leader: %v, want %v", err, ErrNoLeader)
		}
	})
}

// Late answers to heartbeats keep a leader believing in itself for a while after the
// others have elected another. Its lease is longer than the time they wait.
func TestLeaderThatHearsOldAnswersDoesNotAnswer(t *testing.T) {
	for name, raftOnly := range map[string]bool{"all packets": false, "raft's packets alone": true} {
		t.Run(name, func(t *testing.T) {
			two := 0                                                  // how often there were two leaders
			for try := 0; try < 40 || two == 0 && try < 1000; try++ { // it comes about once in six tries
				synctest.Test(t, func(t *testing.T) {
					if twoLeaders(t, raftOnly) {
						two++
					}
				})
			}
			t.Logf("%d times there were two leaders", two)
			if two == 0 {
				t.Error("there were never two leaders, so this test showed nothing")
			}
		})
	}
}

// twoLeaders tries to have two leaders at a time, and reads on the old one.
func twoLeaders(t *testing.T, raftOnly bool) bool {
	c, nodes := three(t)
	c.raftOnly = raftOnly
	old := leader(t, nodes...)
	put(t, old, "old")
	rest := except(old, nodes)
	for _, m := range rest {
		c.delayWay(m.id, old.id, 300*time.Millisecond)
	}
	time.Sleep(time.Second) // answers are under way
	for _, m := range rest {
		c.cutWay(old.id, m.id, true)
	}
	put(t, leader(t, rest...), "new")
	if !old.IsLeader() {
		return false
	}
	if err := old.ReadIndex(t.Context()); err == nil {
		t.Errorf("the old leader answers a read with %q", old.journal.texts())
	}
	return true
}

func TestReadsShareARound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := three(t)
		l := leader(t, nodes...)
		for _, m := range except(l, nodes) {
			c.delayWay(l.id, m.id, time.Millisecond)
		}
		synctest.Wait()
		before := c.asked.Load()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if err := l.ReadIndex(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second) // the slower answers
		// The first reader's round, and one for all who came during it.
		if asked := c.asked.Load() - before; asked < 2 || asked > 4 {
			t.Errorf("100 reads asked %d times, want 2 rounds of 2", asked)
		}
	})
}

func TestReadDoesNotWaitForASlowMinority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := three(t)
		l := leader(t, nodes...)
		slow := except(l, nodes)[0]
		thaw := c.freeze(slow.id)
		start := time.Now()
		for range 10 {
			if err := l.ReadIndex(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 0 { // in the bubble's time
			t.Errorf("10 reads waited %v for a frozen server", took)
		}
		thaw()
	})
}

// A follower's question is the second of three voices, so nobody else is asked. One that
// does not come from a voter in the leader's term is no voice.
func TestQuestionOfAFollowerCountsAsItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := three(t)
		l := leader(t, nodes...)
		f := except(l, nodes)[0]
		put(t, l, "one")
		term := l.raft.CurrentTerm()
		asks := func(do func() error) int64 {
			t.Helper()
			before := c.asked.Load()
			if err := do(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // for the slower of two answers
			return c.asked.Load() - before
		}
		if n := asks(func() error { return f.ReadIndex(t.Context()) }); n != 0 {
			t.Errorf("a follower's read asked %d servers more", n)
		}
		for _, tc := range []struct {
			what string
			id   raft.ServerID
			term uint64
		}{
			{"an earlier term", f.id, term - 1}, {"a later term", f.id, term + 1}, {"no term", f.id, 0},
			{"the leader itself", l.id, term},
		} {
			if n := asks(func() error { _, err := l.ReadIndexFor(t.Context(), tc.id, tc.term); return err }); n == 0 {
				t.Errorf("a question from %s had the leader ask nobody else", tc.what)
			}
		}
		// One that is not in the log would wait for entries that nobody sends it.
		if _, err := l.ReadIndexFor(t.Context(), "x", term); !errors.Is(err, ErrNoLeader) {
			t.Errorf("a question from a stranger: %v", err)
		}
	})
}

func TestReadEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, nodes := three(t)
		l := leader(t, nodes...)
		f := except(l, nodes)[0]
		if err := f.waitUntilRead(t); err != nil {
			t.Fatal(err)
		}
		thaw := c.freeze(l.id)
		for _, m := range []*member{l, f} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if err := m.ReadIndex(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("read on %s: %v", m.id, err)
			}
			cancel()
		}
		thaw()
	})
}

func TestConfirmTermAnswersForItselfOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newCluster().start(t, "a", "")
		if err := m.Bootstrap([]raft.Server{m.server}); err != nil {
			t.Fatal(err)
		}
		leader(t, m)
		term := m.raft.CurrentTerm()
		for _, tc := range []struct {
			id   raft.ServerID
			term uint64
			want bool
		}{{"a", term, true}, {"a", term - 1, false}, {"a", term + 1, false}, {"b", term, false}} {
			if got := m.ConfirmTerm(tc.id, tc.term); got != tc.want {
				t.Errorf("confirm %s in %d = %v", tc.id, tc.term, got)
			}
		}
	})
}

// register is a value that is written and read.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, in, out any) (bool, any) {
		if text := in.(string); text != "" {
			return true, text
		}
		return out.(string) == state.(string), state
	},
	DescribeOperation: func(in, out any) string {
		if in.(string) != "" {
			return fmt.Sprintf("write %v", in)
		}
		return fmt.Sprintf("read %v", out)
	},
}

// history collects operations in the bubble's time.
type history struct {
	mu  sync.Mutex
	ops []porcupine.Operation
}

func (h *history) add(client int, in, out string, from, to int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: from, Return: to})
}

func TestReadsAndWritesAreLinearizable(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var h history
				c, nodes := three(t)
				c.latency = time.Duration(1+seed%4*8) * time.Millisecond
				leader(t, nodes...)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				var wg sync.WaitGroup
				for i := range 6 {
					wg.Go(func() { h.client(ctx, i, nodes[i%3], rand.New(rand.NewPCG(seed, uint64(i)))) })
				}
				wg.Go(func() { c.misfortune(ctx, rand.New(rand.NewPCG(seed, 99))) })
				wg.Wait()
				reads := 0
				for _, op := range h.ops {
					if op.Input == "" {
						reads++
					}
				}
				if reads < 50 || len(h.ops)-reads < 20 {
					t.Fatalf("only %d reads of %d operations succeeded", reads, len(h.ops))
				}
				if !porcupine.CheckOperations(register, h.ops) {
					t.Errorf("%d operations, %d of them reads, are not linearizable", len(h.ops), reads)
				}
			})
		})
	}
}

// client reads and writes through one server. A write of unknown outcome stays open
// to the end.
func (h *history) client(ctx context.Context, id int, m *member, dice *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		time.Sleep(time.Duration(dice.IntN(100)) * time.Millisecond)
		call, cancel := context.WithTimeout(ctx, time.Second)
		from := time.Now().UnixNano()
		if dice.IntN(3) == 0 {
			text := fmt.Sprint(id, ".", n)
			_, _, err := m.Propose(call, []byte(text))
			switch {
			case err == nil:
				h.add(id, text, "", from, time.Now().UnixNano())
			case errors.Is(err, ErrOutcomeUnknown):
				h.add(id+100*n, text, "", from, 1<<62)
			}
		} else if m.ReadIndex(call) == nil {
			h.add(id, "", m.journal.last(), from, time.Now().UnixNano())
		}
		cancel()
	}
}

func (j *journal) last() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.state.Rows) == 0 {
		return ""
	}
	return j.state.Rows[len(j.state.Rows)-1].Text
}

// misfortune breaks one thing after the other until ctx ends, and mends all.
func (c *cluster) misfortune(ctx context.Context, dice *rand.Rand) {
	names := []raft.ServerID{"a", "b", "c"}
	defer c.heal()
	for ctx.Err() == nil {
		dice.Shuffle(3, func(i, j int) { names[i], names[j] = names[j], names[i] })
		victim := names[0]
		for id, m := range c.nodes { // most often the leader
			if m.IsLeader() && dice.IntN(4) > 0 {
				victim = id
			}
		}
		switch dice.IntN(4) {
		case 0:
			c.isolate(victim, true)
		case 1: // it speaks, and hears late
			for _, other := range names {
				c.delayWay(other, victim, time.Duration(dice.IntN(1000))*time.Millisecond)
			}
		case 2: // it hears, late, and is not heard
			for _, other := range names {
				c.delayWay(other, victim, time.Duration(200+dice.IntN(120))*time.Millisecond)
			}
			time.Sleep(time.Duration(500+dice.IntN(200)) * time.Millisecond)
			for _, other := range names {
				c.cutWay(victim, other, true)
			}
		case 3:
			thaw := c.freeze(victim)
			time.Sleep(time.Duration(dice.IntN(2500)) * time.Millisecond)
			thaw()
		}
		time.Sleep(time.Duration(dice.IntN(2500)) * time.Millisecond)
		c.heal()
		time.Sleep(time.Duration(dice.IntN(1500)) * time.Millisecond)
	}
}
