package replicate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func fill(s *store, prefix string, n int) {
	for i := range n {
		s.put(fmt.Sprintf("%s%03d", prefix, i), fmt.Sprintf("value %d", i), uint64(i))
	}
}

func TestALinkCopiesThenFollows(t *testing.T) {
	eitherWay(t, func(t *testing.T, newSource func() *store) {
		source, sink := newSource(), newStore()
		fill(source, "config/", 100)
		source.put("other/x", "no", 0)
		source.put("config/private/x", "no", 0)
		sink.put("copy/extra", "goes", 0)
		sink.put("copy/private/mine", "stays", 0)
		sink.put("copy/001", "differs", 0)
		sink.put("copy/002", "value 2", 2) // is already right
		cfg := testConfig(t, source, sink, "config/@shanghai:copy/", "config/private/")
		r, _ := run(t, cfg)
		synctest.Wait()
		source.mutate(func() { delete(source.keys, "config/private/x") }) // for sameContents
		sink.mutate(func() { delete(sink.keys, "copy/private/mine") })
		sameContents(t, source, sink, "config/", "copy/")
		if sink.ops != 100 { // 98 new, one changed, one deleted
			t.Errorf("%d operations, want 100", sink.ops)
		}

		source.put("config/new", "\x00\xff", 1<<63+1)
		source.del("config/001")
		source.put("config/002", "", 0)
		synctest.Wait()
		sameContents(t, source, sink, "config/", "copy/")
		if sink.ops != 103 {
			t.Errorf("%d operations, want 103", sink.ops)
		}
		s := r.Status()[0]
		if s.State != Following || s.Lag != 0 || s.Pending != 0 || s.AppliedIndex != source.index || s.Applied != 101 || s.Deleted != 2 || s.Errors != 0 {
			t.Errorf("status %+v", s)
		}
		if c := checkpointOf(t, sink, cfg.Links[0]); c.LastReplicated != source.index || c.Incarnation != "one" || c.Applied != 101 {
			t.Errorf("checkpoint %+v", c)
		}
	})
}

func TestNothingIsWrittenWhileNothingChanges(t *testing.T) {
	eitherWay(t, func(t *testing.T, newSource func() *store) {
		source, sink := newSource(), newStore()
		fill(source, "config/", 20)
		cfg := testConfig(t, source, sink, "config/@shanghai")
		_, stop := run(t, cfg)
		synctest.Wait()
		index := sink.index
		time.Sleep(time.Hour)
		stop()
		if err := runOnce(t, cfg); err != nil {
			t.Fatal(err)
		}
		if sink.index != index {
			t.Errorf("%d writes in an hour without changes and a restart", sink.index-index)
		}
	})
}

// TestAnyHistoryEndsWithTheDestinationEqual runs random changes through random
// failures: calls that fail before or after they had effect, listings that break off,
// restarts in between. Whatever happened, once it stops both ends are equal.
func TestAnyHistoryEndsWithTheDestinationEqual(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomHistory(t, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func randomHistory(t *testing.T, rnd *rand.Rand) {
	source, sink := newStore(), newStore()
	switch rnd.IntN(4) {
	case 0:
		source.identity, source.index = Position{}, 50 // a Consul source
	case 1, 2:
		source.feed = true
	}
	luck := newLuck(rnd)
	longest := time.Duration([]int{0, 20, 300}[rnd.IntN(3)]) * time.Millisecond
	for _, s := range []*store{source, sink} {
		s.slow = func() { luck.delay(longest) }
		s.fault = func(string) error { return luck.trouble(10) }
		s.cut = func() int {
			if luck.trouble(10) != nil {
				return luck.roll(30)
			}
			return -1
		}
		s.afterApply = func() error { return luck.trouble(15) }
	}
	cfg := testConfig(t, source, sink, "config/@shanghai:copy/", "config/private/")
	cfg.Guard.MaxFraction = 1
	start := func() func() { _, stop := run(t, cfg); return stop }
	stop := start()
	for range 400 {
		if longest > 0 && rnd.IntN(2) == 0 { // so that things change while the link is at it
			time.Sleep(time.Duration(rnd.IntN(60)) * time.Millisecond)
		}
		key := fmt.Sprintf("config/%d", rnd.IntN(60))
		switch rnd.IntN(20) {
		default:
			source.put(key, strings.Repeat("x", rnd.IntN(600)), uint64(rnd.IntN(3)))
		case 0, 1, 2, 3, 4:
			source.del(key)
		case 5:
			source.del(key, fmt.Sprintf("config/%d", rnd.IntN(60)))
		case 6:
			source.put(key, strings.Repeat("big", 2000), 0) // beyond the sink's limit
		case 7:
			source.put("config/private/x", fmt.Sprint(rnd.IntN(100)), 0)
		case 8:
			source.put("elsewhere", "x", 0)
		case 9:
			time.Sleep(time.Duration(rnd.IntN(5000)) * time.Millisecond)
		case 10:
			synctest.Wait()
		case 11:
			stop()
			stop = start()
		case 12:
			source.reap()
		}
	}
	luck.turn()
	source.mutate(func() { delete(source.keys, "config/private/x") })
	time.Sleep(2 * idleMove)
	sameContents(t, source, sink, "config/", "copy/")
	stop()
	c := checkpointOf(t, sink, cfg.Links[0])
	if c.applied() != source.index || c.FeedAfter != "" || c.Held != "" {
		t.Errorf("the source is at %d, checkpoint %+v", source.index, c)
	}
	if err := runOnce(t, cfg); err != nil { // by the feed the checkpoint may be at an index that no listing has
		t.Error(err)
	}
	before := sink.index
	if err := runOnce(t, cfg); err != nil || sink.index != before {
		t.Errorf("a further run wrote %d times (%v)", sink.index-before, err)
	}
}

func TestTheCheckpointNeverPassesWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := newStore(), newStore()
		cfg := testConfig(t, source, sink, "config/@shanghai")
		fill(source, "config/", 100) // many batches of 15
		cfg.Retry.Attempts = 1
		for crashAt := 1; ; crashAt++ {
			calls := 0
			sink.afterApply = func() error {
				if calls++; calls == 2 {
					return errCut // one batch and a half per run
				}
				return nil
			}
			err := runOnce(t, cfg)
			if c := checkpointOf(t, sink, cfg.Links[0]); c.LastReplicated != 0 && len(sink.contents("config/")) != 100 {
				t.Fatalf("checkpoint at %d with %d keys", c.LastReplicated, len(sink.contents("config/")))
			}
			if err == nil {
				if crashAt < 3 {
					t.Fatalf("only %d runs: nothing was interrupted", crashAt)
				}
				break
			}
		}
		sameContents(t, source, sink, "config/", "config/")
		if sink.ops != 100 {
			t.Errorf("%d operations for 100 keys", sink.ops)
		}
	})
}

func TestDeletesAreHeldUntilAllowed(t *testing.T) {
	wipe := func(s *store) {
		for k := range s.keys {
			if strings.HasPrefix(k, "config/") {
				s.delLocked(k)
			}
		}
	}
	for _, c := range []struct {
		name   string
		consul bool // the source tells no incarnation
		harm   func(s *store)
		gone   int
	}{
		{"a wiped prefix", false, func(s *store) { s.index++; wipe(s) }, 30},
		{"a restored source that lacks one key", false, func(s *store) {
			s.index += 10
			s.identity.Incarnation = "two"
			s.log, s.reaped = map[string]Change{}, s.index
			delete(s.keys, "config/003")
		}, 1},
		{"a rebuilt datacenter", false, func(s *store) {
			s.index += 10
			s.identity = Position{Datacenter: "new", Incarnation: "new"}
			s.log = map[string]Change{}
			delete(s.keys, "config/003")
		}, 1},
		{"a Consul source whose index fell", true, func(s *store) {
			s.index = 10
			delete(s.keys, "config/003")
		}, 1},
		{"a Consul source with a rewritten past", true, func(s *store) {
			s.index += 10
			e := s.keys["config/001"]
			e.CreateIndex--
			s.keys["config/001"] = e
			delete(s.keys, "config/003")
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			eitherWay(t, func(t *testing.T, newSource func() *store) {
				source, sink := newSource(), newStore()
				if c.consul {
					source.identity = Position{}
				}
				fill(source, "config/", 30)
				cfg := testConfig(t, source, sink, "config/@shanghai")
				r, stop := run(t, cfg)
				synctest.Wait()
				before := checkpointOf(t, sink, cfg.Links[0]).LastReplicated

				source.mutate(func() { c.harm(source) })
				source.put("config/sets", "keep flowing", 0)
				time.Sleep(2 * time.Minute)
				held := func(r *Replicator) {
					t.Helper()
					s := r.Status()[0]
					if s.State != Held || s.HeldDeletes != c.gone || s.HeldReason == "" || s.Lag == 0 {
						t.Errorf("status %+v", s)
					}
					if got := sink.contents("config/"); len(got) != 31 || got["sets"] == "" {
						t.Errorf("destination holds %d keys, want 31 with the new one", len(got))
					}
					if at := checkpointOf(t, sink, cfg.Links[0]); at.LastReplicated != before || at.Held == "" {
						t.Errorf("checkpoint %+v, was %d", at, before)
					}
				}
				held(r)
				stop()

				r, _ = run(t, cfg) // a restart forgets nothing
				synctest.Wait()
				source.put("config/sets", "still flow", 0)
				time.Sleep(2 * time.Minute)
				held(r)

				allowed := cfg // an operator, beside the running daemon
				allowed.Guard.Allow = true
				if err := runOnce(t, allowed); err != nil {
					t.Fatal(err)
				}
				sameContents(t, source, sink, "config/", "config/")
				time.Sleep(2 * time.Minute)
				if s := r.Status()[0]; s.State != Following || s.Lag != 0 || s.HeldDeletes != 0 {
					t.Errorf("the daemon does not notice: %+v", s)
				}
				source.del("config/sets")
				synctest.Wait()
				sameContents(t, source, sink, "config/", "config/")
			})
		})
	}
}

func TestHeldDeletesEndARunOnceWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := newStore(), newStore()
		fill(sink, "config/", 5)
		cfg := testConfig(t, source, sink, "config/@shanghai")
		if err := runOnce(t, cfg); !errors.Is(err, ErrHeld) {
			t.Errorf("error %v", err)
		}
		if len(sink.contents("config/")) != 5 {
			t.Error("keys are gone")
		}
	})
}

func TestAHoldEndsByItselfWhenTheKeysComeBack(t *testing.T) {
	eitherWay(t, func(t *testing.T, newSource func() *store) {
		source, sink := newSource(), newStore()
		fill(source, "config/", 30)
		cfg := testConfig(t, source, sink, "config/@shanghai")
		r, _ := run(t, cfg)
		synctest.Wait()
		var all []string
		for i := range 30 {
			all = append(all, fmt.Sprintf("config/%03d", i))
		}
		source.del(all...)
		synctest.Wait()
		if s := r.Status()[0]; s.State != Held {
			t.Fatalf("status %+v", s)
		}
		fill(source, "config/", 29)
		synctest.Wait()
		sameContents(t, source, sink, "config/", "config/")
		if c := checkpointOf(t, sink, cfg.Links[0]); c.LastReplicated != source.index || c.Held != "" {
			t.Errorf("checkpoint %+v", c)
		}
	})
}

func TestAnUnprovenAnswerChangesNothing(t *testing.T) {
	for name, harm := range map[string]func(s *store){
		"no leader":    func(s *store) { s.leaderless = true },
		"no index":     func(s *store) { s.index = 0 },
		"an old index": func(s *store) { s.index -= 5 },
	} {
		t.Run(name, func(t *testing.T) {
			eitherWay(t, func(t *testing.T, newSource func() *store) {
				source, sink := newSource(), newStore()
				fill(source, "config/", 30)
				cfg := testConfig(t, source, sink, "config/@shanghai")
				r, _ := run(t, cfg)
				synctest.Wait()
				was, index := sink.contents("config/"), sink.index
				good := source.index
				source.mutate(func() {
					harm(source)
					delete(source.keys, "config/001")
					source.keys["config/002"] = Entry{Key: "config/002", Value: []byte("wrong")}
				})
				time.Sleep(3 * time.Minute)
				if got := sink.contents("config/"); len(got) != len(was) || got["002"] != was["002"] || sink.index != index {
					t.Error("the answer was used")
				}
				s := r.Status()[0]
				if s.State != Retrying || s.Errors == 0 || s.LastError == "" || s.Lag < 2*time.Minute {
					t.Errorf("status %+v", s)
				}
				source.mutate(func() {
					source.index, source.leaderless = good+1, false
					source.log["config/001"] = Change{Entry: Entry{Key: "config/001", ModifyIndex: source.index}, Deleted: true}
					source.putLocked("config/002", []byte("wrong"), 0)
				})
				time.Sleep(time.Minute)
				sameContents(t, source, sink, "config/", "config/")
			})
		})
	}
}

func TestTwoDaemonsOnOneLinkNoticeEachOther(t *testing.T) {
	eitherWay(t, func(t *testing.T, newSource func() *store) {
		source, sink := newSource(), newStore()
		fill(source, "config/", 10)
		sink.slow = func() { time.Sleep(time.Millisecond) } // both have looked at a key before one of them writes it
		cfg := testConfig(t, source, sink, "config/@shanghai")
		cfg.Writer = "first"
		a, _ := run(t, cfg)
		time.Sleep(time.Second)
		cfg.Writer = "second"
		b, _ := run(t, cfg)
		time.Sleep(time.Second)
		for i := range 20 {
			source.put("config/x", fmt.Sprint(i), 0)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		sameContents(t, source, sink, "config/", "config/")
		said := a.Status()[0].LastError + b.Status()[0].LastError
		if !strings.Contains(said, ErrMoved.Error()) || !strings.Contains(said, "last written by") {
			t.Errorf("neither says what happened: %q", said)
		}
		if sink.ops != 30 {
			t.Errorf("%d operations for 30 changes", sink.ops)
		}
	})
}

func TestARestoredDestinationIsPutRight(t *testing.T) {
	eitherWay(t, func(t *testing.T, newSource func() *store) {
		source, sink := newSource(), newStore()
		fill(source, "config/", 10)
		cfg := testConfig(t, source, sink, "config/@shanghai")
		run(t, cfg)
		synctest.Wait()
		backup := maps.Clone(sink.keys)
		source.put("config/late", "x", 0)
		source.del("config/003")
		synctest.Wait()
		sink.mutate(func() {
			sink.keys = backup
			sink.index++
			for k, e := range sink.keys {
				e.ModifyIndex = sink.index
				sink.keys[k] = e
			}
		})
		time.Sleep(2 * time.Minute)
		sameContents(t, source, sink, "config/", "config/")
	})
}

func TestAttemptsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := newStore(), newStore()
		calls := 0
		source.fault = func(call string) error {
			if call == "list" {
				calls++
			}
			return errCut
		}
		cfg := testConfig(t, source, sink, "config/@shanghai")
		cfg.Retry.Attempts = 4
		r, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Run(t.Context()); !errors.Is(err, errCut) || !strings.Contains(err.Error(), "link config/@shanghai") {
			t.Errorf("error %v", err)
		}
		if calls != 4 {
			t.Errorf("%d attempts, want 4", calls)
		}
	})
}

func TestQuietLetsTheSourceSettle(t *testing.T) {
	eitherWay(t, func(t *testing.T, newSource func() *store) {
		source, sink := newSource(), newStore()
		source.put("config/x", "0", 0)
		cfg := testConfig(t, source, sink, "config/@shanghai")
		cfg.Quiet = Quiet{Min: 5 * time.Second, Max: 20 * time.Second}
		run(t, cfg)
		synctest.Wait()
		before := sink.batches()
		for range 4 {
			source.put("config/x", fmt.Sprint(time.Now()), 0)
			time.Sleep(3 * time.Second)
		}
		if sink.batches() != before {
			t.Error("a change was applied before the source was quiet")
		}
		time.Sleep(4 * time.Second)
		if sink.batches() != before+1 {
			t.Errorf("%d batches once it was quiet, want 1", sink.batches()-before)
		}
		for range 14 { // never quiet: after 20 s at the latest
			source.put("config/x", fmt.Sprint(time.Now()), 0)
			time.Sleep(2 * time.Second)
		}
		if sink.batches() != before+2 {
			t.Errorf("%d batches while the source is never quiet, want 1", sink.batches()-before-1)
		}
	})
}

func TestRetryDelaysGrowUpToTheirBound(t *testing.T) {
	r := Retry{Base: 100 * time.Millisecond, Max: time.Second}
	for failures, most := range map[int]time.Duration{1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 4: 800 * time.Millisecond, 5: time.Second, 1000: time.Second} {
		for range 50 {
			if d := r.Delay(failures); d < most/2 || d > most {
				t.Errorf("delay %v after %d failures, want %v to %v", d, failures, most/2, most)
			}
		}
	}
	if d := (Retry{Base: time.Second}).Delay(1 << 20); d > 2*time.Hour {
		t.Errorf("without a bound: %v", d)
	}
}

func TestStopEndsAWaitingLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := newStore(), newStore()
		r, err := New(testConfig(t, source, sink, "config/@shanghai"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("a stop is reported as %v", err)
		}
	})
}

func TestMistakesInTheConfigurationAreAllNamed(t *testing.T) {
	cfg := testConfig(t, newStore(), newStore(), "config/@beijing")
	cfg.StatusPath, cfg.Guard.MaxFraction, cfg.Retry.Base, cfg.Quiet = "/", 2, 0, Quiet{Min: 2, Max: 1}
	_, err := New(cfg)
	for _, want := range []string{"status path is empty", "max-delete-fraction is 2", "wait is 2ns:1ns", "retry has backoff 0s", "loop"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
}
