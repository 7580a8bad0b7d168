package replicate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// paged is a source that can be read in pages, with n keys below config/, and a destination
// that knows which keys the link wrote.
func paged(n int) (source, sink *store) {
	source, sink = fed(n), newStore()
	source.paged, sink.mine = true, map[string]bool{}
	return source, sink
}

// failing makes calls of that name fail, or none.
func (s *store) failing(names ...string) {
	s.mutate(func() {
		s.fault = func(call string) error {
			if slices.Contains(names, call) {
				return errCut
			}
			return nil
		}
	})
}

func TestAFirstPassWritesDifferencesAndTakesTheRestOver(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(cfg *RunnerConfig)
		ops       int // beside 96 new keys and one that is taken over
		conflicts uint64
		want      map[string]string // of the keys that differ
		owned     int
	}{
		"source wins": {func(*RunnerConfig) {}, 1, 1, map[string]string{"own": "0:own", "001": "1:value 1"}, 98},
		"report":      {func(cfg *RunnerConfig) { cfg.Conflict = ReportOnly }, 0, 1, map[string]string{"own": "0:own", "001": "0:differs"}, 97},
		"prune":       {func(cfg *RunnerConfig) { cfg.Prune = true }, 2, 1, map[string]string{"001": "1:value 1"}, 98},
		"prune without delete": {func(cfg *RunnerConfig) { cfg.Prune, cfg.Delete = true, false }, 1, 1,
			map[string]string{"own": "0:own", "001": "1:value 1"}, 98},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, sink := paged(98)
				sink.put("copy/own", "own", 0)
				sink.put("copy/001", "differs", 0)
				sink.put("copy/002", "value 2", 2)
				sink.put("copy/private/mine", "stays", 0)
				source.put("config/private/x", "no", 0)
				cfg := runnerConfig(t, source, sink, "config/@shanghai:copy/", "config/private/")
				c.change(&cfg)
				r, _ := start(t, cfg)
				synctest.Wait()
				got := sink.contents("copy/")
				for _, key := range []string{"own", "001"} {
					if got[key] != c.want[key] {
						t.Errorf("%s is %q, want %q", key, got[key], c.want[key])
					}
				}
				if !sink.mine["copy/002"] || sink.mine["copy/own"] || got["private/mine"] != "0:stays" {
					t.Errorf("the link owns %v", slices.Sorted(maps.Keys(sink.mine)))
				}
				if sink.ops != 97+c.ops {
					t.Errorf("%d operations, want %d", sink.ops, 97+c.ops)
				}
				s := r.Status()
				if s.State != Following || s.Lag != 0 || s.Keys != c.owned || s.Conflicts != c.conflicts || s.ConflictKeys[0] != "copy/001" || s.Total != 0 {
					t.Errorf("status %+v", s)
				}
				if sink.lists != 0 || source.lists != 0 {
					t.Error("something was listed")
				}
			})
		})
	}
}

func TestAPassIsResumedInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(300)
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		for runs := range 8 {
			left := 2
			sink.afterApply = func() error {
				if left--; left == 0 {
					return errCut // it landed, and the link does not know
				}
				return nil
			}
			sink.fault = func(call string) error {
				if call == "apply" && left <= 0 {
					return errCut
				}
				return nil
			}
			r, stop := start(t, cfg)
			time.Sleep(100 * time.Millisecond)
			if s := r.Status(); s.Total < 290 || s.Done < 28*runs || s.State == Following {
				t.Errorf("run %d: status %+v", runs, s)
			}
			stop()
			if c := checkpointOf(t, sink, cfg.Link); c.Pass.Index > 310 || len(c.Pass.After) == 0 || c.LastReplicated != 0 {
				t.Errorf("checkpoint %+v", c)
			}
			source.put("config/behind", fmt.Sprint(runs), 0) // not yet compared
			source.put("config/000", fmt.Sprint(runs), 0)    // compared already
			source.del("config/001", fmt.Sprintf("config/%03d", 299-runs))
		}
		sink.fault, sink.afterApply = func(string) error { return nil }, func() error { return nil }
		reads := source.reads
		start(t, cfg)
		time.Sleep(time.Second)
		sameContents(t, source, sink, "config/", "config/")
		if n := source.reads - reads; n > 15 {
			t.Errorf("%d pages for the last 60 of 300 keys, 7 a page", n)
		}
	})
}

func TestAFeedIsFollowedWithoutAMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(100)
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		r, _ := start(t, cfg)
		synctest.Wait()
		reads, ops := sink.reads, sink.ops
		for i := range 5 {
			source.put("config/new", fmt.Sprint(i), 0)
			source.del(keys(i, i+1)...)
			synctest.Wait()
		}
		source.put("config/new", "4", 0) // the same again
		source.del("config/nothing")
		time.Sleep(time.Hour)
		sameContents(t, source, sink, "config/", "config/")
		s := r.Status()
		if sink.reads != reads || sink.ops != ops+10 || s.Keys != 96 || s.Lag != 0 || s.AppliedIndex != source.index {
			t.Errorf("%d pages, %d operations, status %+v", sink.reads-reads, sink.ops-ops, s)
		}
		sink.put("config/new", "by hand", 0)
		sink.put("config/005", "by hand", 0)
		sink.put("config/006", "value 6", 6)
		source.put("config/new", "again", 0)
		source.del("config/005")
		source.put("config/006", "value 6", 6)
		time.Sleep(time.Second)
		sameContents(t, source, sink, "config/", "config/")
		if s := r.Status(); s.Conflicts != 2 || s.Keys != 95 || !sink.mine["config/006"] {
			t.Errorf("status %+v", s)
		}
	})
}

func TestReportedConflictsAreLeftAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(10)
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		cfg.Conflict = ReportOnly
		r, _ := start(t, cfg)
		synctest.Wait()
		sink.put("config/001", "by hand", 0)
		sink.put("config/002", "by hand", 0)
		source.put("config/001", "x", 0)
		source.del("config/002")
		source.put("config/003", "x", 0)
		synctest.Wait()
		got := sink.contents("config/")
		s := r.Status()
		if got["001"] != "0:by hand" || got["002"] != "0:by hand" || got["003"] != "0:x" {
			t.Errorf("destination holds %v", got)
		}
		if s.Conflicts != 2 || !slices.Equal(s.ConflictKeys, []string{"config/001", "config/002"}) || s.State != Following || s.AppliedIndex != source.index {
			t.Errorf("status %+v", s)
		}
	})
}

// byHandAtLast has keys be written by hand after the link looked at them, and before the next
// batch lands.
func (s *store) byHandAtLast(keys ...string) {
	s.mutate(func() {
		s.lenient = true
		s.fault = func(call string) error {
			if call != "apply" {
				return nil
			}
			for _, k := range keys {
				s.putLocked(k, []byte("by hand"), 0)
			}
			s.fault = func(string) error { return nil }
			return nil
		}
	})
}

// A key that somebody else gave the source's value is not taken over with another one.
func TestWhatIsTakenOverHasTheSourcesValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(10)
		sink.put("config/004", "value 4", 4)
		sink.put("config/005", "value 5", 5)
		sink.byHandAtLast("config/004")
		r, _ := start(t, runnerConfig(t, source, sink, "config/@shanghai"))
		synctest.Wait()
		if got := sink.contents("config/")["004"]; got != "0:by hand" || sink.mine["config/004"] || !sink.mine["config/005"] {
			t.Errorf("what is by hand is %q, and the link has %v", got, sink.mine)
		}
		if err := r.Verify(true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		sameContents(t, source, sink, "config/", "config/")
		if s := r.Status(); s.Conflicts != 1 || !sink.mine["config/004"] {
			t.Errorf("status %+v", s)
		}
	})
}

// What is written by hand after the link looked at a key, and before it writes, stays as well.
func TestReportedConflictsAreLeftAsTheyAreAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(10)
		sink.put("config/004", "0", 0) // to be adopted
		source.put("config/004", "0", 0)
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		cfg.Conflict = ReportOnly
		sink.byHandAtLast("config/004", "config/005")
		r, _ := start(t, cfg)
		synctest.Wait()
		sink.byHandAtLast("config/001", "config/002")
		source.mutate(func() {
			source.index++
			source.putLocked("config/001", []byte("x"), 0)
			source.delLocked("config/002")
			source.putLocked("config/003", []byte("x"), 0)
		})
		synctest.Wait()
		got := sink.contents("config/")
		for key, want := range map[string]string{"001": "0:by hand", "002": "0:by hand", "003": "0:x", "004": "0:by hand", "005": "0:by hand"} {
			if got[key] != want {
				t.Errorf("%s is %q, want %q", key, got[key], want)
			}
		}
		if err := r.Verify(true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := r.Status(); !maps.Equal(got, sink.contents("config/")) || s.Conflicts != 3 {
			t.Errorf("after a verification: %v, status %+v", sink.contents("config/"), s)
		}
	})
}

func TestWithoutDeleteKeysBecomeTheDestinationsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(30)
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		cfg.Delete = false
		r, stop := start(t, cfg)
		synctest.Wait()
		source.del(keys(0, 20)...)
		synctest.Wait()
		if s := r.Status(); s.State != Following || s.Keys != 10 || s.Deleted != 0 || s.AppliedIndex != source.index {
			t.Errorf("status %+v", s)
		}
		stop()
		source.del("config/020")
		source.reap() // so that it is found by comparing
		r, _ = start(t, cfg)
		synctest.Wait()
		if s := r.Status(); len(sink.contents("config/")) != 30 || len(sink.mine) != 9 || s.Keys != 9 || s.HeldDeletes != 0 {
			t.Errorf("%d keys, %d of the link, status %+v", len(sink.contents("config/")), len(sink.mine), s)
		}
	})
}

// TestMoreDeletesThanAreRemembered have a pass of their own, which deletes no more than was
// counted.
func TestMoreDeletesThanAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const names, n = 40, 90
		source, sink := paged(0)
		source.mutate(func() {
			source.index++
			for _, k := range keys(0, n+10) {
				source.putLocked(k, []byte("x"), 0)
			}
		})
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		cfg.Guard.MaxFraction = 1
		_, stop := startWith(t, cfg, names)
		synctest.Wait()
		stop()
		source.mutate(func() {
			source.index++
			for _, k := range keys(0, n) {
				source.delLocked(k)
			}
		})
		source.reap()
		_, stop = startWith(t, cfg, names)
		synctest.Wait()
		sameContents(t, source, sink, "config/", "config/")
		if c := checkpointOf(t, sink, cfg.Link); c.Keys != 10 || c.Deleted != n || c.Pass.active() || c.applied() != source.index {
			t.Errorf("checkpoint %+v", c)
		}
		stop()

		// The same by the feed.
		source.mutate(func() {
			source.index++
			for _, k := range keys(0, n) {
				source.putLocked(k, []byte("y"), 0)
			}
		})
		_, stop = startWith(t, cfg, names)
		synctest.Wait()
		source.mutate(func() {
			source.index++
			for _, k := range keys(0, n) {
				source.delLocked(k)
			}
		})
		synctest.Wait()
		sameContents(t, source, sink, "config/", "config/")
		stop()
		if c := checkpointOf(t, sink, cfg.Link); c.Keys != 10 || c.Deleted != 2*n || c.applied() != source.index {
			t.Errorf("checkpoint %+v", c)
		}
	})
}

func TestARateLimitIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(1000)
		sink.limits = Limits{Ops: 500, Bytes: 1 << 20}
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		cfg.RateLimit = 20
		r, _ := start(t, cfg)
		time.Sleep(25 * time.Second)
		if n := len(sink.contents("config/")); n < 300 || n > 520 {
			t.Errorf("%d keys in 25 s", n)
		}
		if s := r.Status(); s.KeysRate < 10 || s.KeysRate > 30 || s.Left < 10*time.Second || s.Left > 60*time.Second || s.Total != 1000 {
			t.Errorf("status %+v", s)
		}
		time.Sleep(35 * time.Second)
		sameContents(t, source, sink, "config/", "config/")
	})
}

func TestWhatASourceChangesAtOnceLandsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(40)
		sink.limits.Bytes = 1 << 20
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		_, stop := start(t, cfg)
		synctest.Wait()
		for round := range 30 {
			stop()
			for i := range 5 {
				source.mutate(func() { // up to ten keys, less than a batch and more than a page
					source.index++
					for j := range 3 + (round+i)%8 {
						key := fmt.Sprintf("config/t%d/%d", i, j)
						source.putLocked(key, fmt.Append(nil, round), 0)
					}
				})
			}
			sink.mutate(func() {
				sink.landed = func(b Batch) {
					for i := range 5 {
						seen := map[string]int{}
						for j := range 3 + (round+i)%8 {
							seen[string(sink.keys[fmt.Sprintf("config/t%d/%d", i, j)].Value)]++
						}
						if len(seen) > 2 || seen[fmt.Sprint(round)] > 0 && seen[fmt.Sprint(round)] != 3+(round+i)%8 {
							t.Errorf("round %d, transaction %d is there in part: %v", round, i, seen)
						}
					}
				}
			})
			_, stop = start(t, cfg)
			synctest.Wait()
		}
		sameContents(t, source, sink, "config/", "config/")
	})
}

func TestKeysWhoseNamesAreNotUTF8AreCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(20)
		source.put("config/\xff\xfe", "x", 0)
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		cfg.BinaryNames = true
		_, stop := start(t, cfg)
		synctest.Wait()
		source.put("config/\xff", "y", 0)
		synctest.Wait()
		sameContents(t, source, sink, "config/", "config/")
		stop()
		source.del("config/\xff")
		_, stop = start(t, cfg)
		synctest.Wait()
		stop()
		sameContents(t, source, sink, "config/", "config/")
	})
}

func TestALinkThatMustBeReadInPagesSaysWhyItIsNot(t *testing.T) {
	for want, harm := range map[string]func(s *store){
		"ACLs filter":    func(s *store) { s.filtered = true },
		"no change feed": func(s *store) { s.feed = false },
		"read in pages":  func(s *store) { s.paged = false },
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, sink := paged(20)
				harm(source)
				cfg := runnerConfig(t, source, sink, "config/@shanghai")
				cfg.Sink = memSink{sink, true}
				cfg.PagesOnly = true
				r, _ := start(t, cfg)
				time.Sleep(5 * time.Second)
				if s := r.Status(); s.State != Retrying || !strings.Contains(s.LastError, want) || source.lists+sink.lists != 0 {
					t.Errorf("status %+v", s)
				}
				source.mutate(func() { source.filtered, source.feed, source.paged = false, true, true })
				time.Sleep(2 * time.Minute)
				sameContents(t, source, sink, "config/", "config/")
				source.mutate(func() { source.filtered = true })
				source.del(keys(0, 3)...)
				time.Sleep(time.Minute)
				if s := r.Status(); s.State != Retrying || !strings.Contains(s.LastError, "ACLs filter") || s.Lag < 40*time.Second || s.Keys != 20 {
					t.Errorf("status %+v", s)
				}
				source.mutate(func() { source.filtered = false })
				time.Sleep(5 * time.Second)
				sameContents(t, source, sink, "config/", "config/")
			})
		})
	}
}
