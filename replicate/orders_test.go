package replicate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// wiped is a link in step whose source then lost keys, by the feed or found by comparing.
func wiped(t *testing.T, n int, byFeed bool) (source, sink *store, cfg RunnerConfig) {
	source, sink = paged(n)
	cfg = runnerConfig(t, source, sink, "config/@shanghai:copy/")
	_, stop := start(t, cfg)
	synctest.Wait()
	stop()
	source.del(keys(0, n-n/10)...)
	source.put("config/new", "x", 0)
	if !byFeed {
		source.reap()
	}
	return source, sink, cfg
}

func TestHeldDeletesAreDecidedByOrder(t *testing.T) {
	for _, byFeed := range []bool{false, true} {
		for _, approved := range []bool{false, true} {
			t.Run(fmt.Sprintf("by feed %v, approved %v", byFeed, approved), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					source, sink, cfg := wiped(t, 200, byFeed)
					r, stop := start(t, cfg)
					synctest.Wait()
					held := func() {
						t.Helper()
						s := r.Status()
						if s.State != Held || s.HeldDeletes != 180 || len(s.HeldExamples) != 100 || s.HeldExamples[0] != "copy/000" || s.Lag == 0 {
							t.Errorf("status %+v", s)
						}
						if got := sink.contents("copy/"); len(got) < 201 || got["new"] == "" {
							t.Errorf("destination holds %d keys", len(got))
						}
					}
					time.Sleep(time.Second)
					held()
					source.put("config/more", "x", 0)
					synctest.Wait()
					held()
					stop()
					r, stop = start(t, cfg) // another takes over
					time.Sleep(time.Second)
					held()

					o := Orders{Decision: 7, Approved: approved}
					calls := 0 // the first batch of the decision lands, and the leader dies
					sink.afterApply = func() error {
						if calls++; calls > 0 {
							sink.fault = func(call string) error {
								if call == "apply" {
									return errCut
								}
								return nil
							}
							return errCut
						}
						return nil
					}
					r.Order(o)
					time.Sleep(time.Second)
					stop()
					sink.failing()
					sink.afterApply = func() error { return nil }
					if n := len(sink.mine); n >= 202 || n <= 22 {
						t.Errorf("%d keys are left to the link in the middle", n)
					}
					r, _ = start(t, cfg)
					r.Order(o)
					time.Sleep(time.Second)
					c := checkpointOf(t, sink, cfg.Link)
					if s := r.Status(); s.State != Following || s.Keys != 22 || s.HeldDeletes != 0 || len(s.HeldExamples) != 0 || s.Lag != 0 || c.DecisionDone != 7 {
						t.Errorf("status %+v", s)
					}
					want := 202
					if approved {
						want = 22
						sameContents(t, source, sink, "config/", "copy/")
					}
					if n := len(sink.contents("copy/")); n != want || len(sink.mine) != 22 {
						t.Errorf("destination holds %d keys, %d of the link, want %d", n, len(sink.mine), want)
					}

					// The decision is not used again.
					source.del(keys(180, 200)...)
					time.Sleep(time.Second)
					if s := r.Status(); s.State != Held || s.HeldDeletes != 20 {
						t.Errorf("status %+v", s)
					}
				})
			})
		}
	}
}

func TestADecisionOnNothingIsVoid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(50)
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		r, _ := start(t, cfg)
		synctest.Wait()
		r.Order(Orders{Decision: 3, Approved: true})
		synctest.Wait()
		if c := checkpointOf(t, sink, cfg.Link); c.DecisionDone != 3 {
			t.Errorf("checkpoint %+v", c)
		}
		source.del(keys(0, 40)...)
		synctest.Wait()
		if s := r.Status(); s.State != Held || s.HeldDeletes != 40 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestMoreThanIsRememberedMayBeHeldAndDecided(t *testing.T) {
	for _, approved := range []bool{false, true} {
		t.Run(fmt.Sprint("approved ", approved), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const names, n = 40, 90
				source, sink := paged(0)
				source.mutate(func() {
					source.index++
					for _, k := range keys(0, n+5) {
						source.putLocked(k, []byte("x"), 0)
					}
				})
				cfg := runnerConfig(t, source, sink, "config/@shanghai")
				r, _ := startWith(t, cfg, names)
				synctest.Wait()
				source.mutate(func() {
					source.index++
					for _, k := range keys(0, n) {
						source.delLocked(k)
					}
				})
				synctest.Wait()
				if s := r.Status(); s.State != Held || s.HeldDeletes != n {
					t.Errorf("status %+v", s)
				}
				r.Order(Orders{Decision: 1, Approved: approved})
				synctest.Wait()
				s, c := r.Status(), checkpointOf(t, sink, cfg.Link)
				if s.State != Following || s.Keys != 5 || len(sink.mine) != 5 || c.DecisionDone != 1 || c.Pass.active() {
					t.Errorf("%d keys of the link, status %+v", len(sink.mine), s)
				}
				want := n + 5
				if approved {
					want = 5
				}
				if got := len(sink.contents("config/")); got != want {
					t.Errorf("%d keys, want %d", got, want)
				}
			})
		})
	}
}

func TestAResyncComparesEverythingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(100)
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		r, stop := start(t, cfg)
		synctest.Wait()
		sink.put("config/001", "by hand", 0)
		reads := source.reads
		r.Order(Orders{Resync: 12})
		synctest.Wait() // and not a heartbeat later
		sameContents(t, source, sink, "config/", "config/")
		if n := source.reads - reads; n != 15 || checkpointOf(t, sink, cfg.Link).ResyncDone != 12 {
			t.Errorf("%d pages of 7 for 100 keys", n)
		}
		r.Order(Orders{Resync: 12})
		stop()
		r, _ = start(t, cfg)
		r.Order(Orders{Resync: 12})
		time.Sleep(time.Hour)
		if n := source.reads - reads; n != 15 || r.Status().State != Following {
			t.Errorf("%d pages for one order", n)
		}
	})
}

// TestLagOfALinkOfTheAgent is that of a link with the settings that the agent gives it.
func TestLagOfALinkOfTheAgent(t *testing.T) {
	for _, clock := range []time.Duration{0, time.Hour, -time.Hour} {
		t.Run(fmt.Sprint(clock), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, sink := paged(10)
				source.clock = clock
				cfg := runnerConfig(t, source, sink, "config/@shanghai")
				cfg.Heartbeat, cfg.Retry = 5*time.Second, Retry{Base: 100 * time.Millisecond, Max: 3 * time.Second}
				r, _ := start(t, cfg)
				for range 40 {
					time.Sleep(time.Duration(rand.IntN(3000)) * time.Millisecond)
					if l := r.Status().Lag; l != 0 {
						t.Errorf("idle, the lag is %v", l)
					}
				}
				source.failing("changes", "entries", "digests")
				cut := time.Now()
				time.Sleep(10 * time.Second)
				before, at := r.Status().Lag, time.Now()
				if since := time.Since(cut); before < since-time.Second || before > since+6*time.Second {
					t.Errorf("cut off for %v, the lag is %v", since, before)
				}
				for range 20 {
					time.Sleep(time.Second)
					if l := r.Status().Lag; l != before+time.Since(at) {
						t.Errorf("cut off, the lag went from %v to %v in %v", before, l, time.Since(at))
					}
				}
				source.put("config/meanwhile", "x", 0)
				source.failing()
				time.Sleep(5 * time.Second)
				if s := r.Status(); s.Lag != 0 || s.State != Following {
					t.Errorf("repaired, status %+v", s)
				}
				sameContents(t, source, sink, "config/", "config/")
			})
		})
	}
}

// TestWhatIsExplainedIsWhatHappens asks what a link does with each key before it runs, and
// looks what became of the key afterwards.
func TestWhatIsExplainedIsWhatHappens(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { explainHistory(t, rand.New(rand.NewPCG(seed, 3))) })
		})
	}
}

func explainHistory(t *testing.T, rnd *rand.Rand) {
	source, sink := paged(0)
	sink.lenient = true
	to := []string{"config/", "copy/", ""}[rnd.IntN(3)]
	link := "config/@shanghai:" + to
	if to == "" {
		link = "config/@shanghai"
	}
	cfg := runnerConfig(t, source, sink, link, "config/private/", "config/7")
	to = cfg.Link.Destination
	cfg.Conflict = []Conflict{SourceWins, ReportOnly}[rnd.IntN(2)]
	cfg.Prune, cfg.Delete = rnd.IntN(3) == 0, rnd.IntN(3) != 0
	cfg.Guard.MaxFraction = []float64{1, 0.1}[rnd.IntN(2)]
	rels := []string{"private/x", "nothing"}
	for i := range 60 {
		rels = append(rels, fmt.Sprint(i))
	}
	scramble := func(s *store, prefix string, n int) {
		for range n {
			key := prefix + rels[rnd.IntN(len(rels))]
			if key == prefix+"nothing" {
				continue
			}
			if rnd.IntN(3) == 0 {
				s.del(key)
			} else {
				s.put(key, fmt.Sprint(rnd.IntN(3)), 0)
			}
		}
	}
	scramble(source, "config/", 60)
	scramble(sink, to, rnd.IntN(30))
	if rnd.IntN(5) != 0 {
		_, stop := start(t, cfg)
		synctest.Wait()
		stop()
	}
	scramble(source, "config/", rnd.IntN(60))
	scramble(sink, to, rnd.IntN(10))
	source.reap() // so that what is deleted is found by comparing
	// Once it runs, and again when it has come to rest.
	r, stop := start(t, cfg)
	stop()
	for _, rest := range []bool{false, true} {
		before, theirs := sink.contents(to), source.contents("config/")
		explained := map[string]Explanation{}
		for _, rel := range rels {
			for _, key := range []string{"config/" + rel, to + rel} {
				x, err := r.Explain(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				if x.SourceKey != "config/"+rel || x.DestinationKey != to+rel || x.Reason == "" || (x.Role == RoleDestination) != (key == to+rel) {
					t.Errorf("%q: %+v", key, x)
				}
				explained[rel] = x
			}
		}
		if !rest {
			r, stop = start(t, cfg)
			defer stop()
			r.Order(Orders{Resync: 1})
			synctest.Wait()
		} else {
			time.Sleep(time.Minute)
		}
		after, held := sink.contents(to), r.Status().State == Held
		for _, rel := range rels {
			x := explained[rel]
			now, there := after[rel]
			was := before[rel]
			value, has := theirs[rel]
			ok := false
			switch x.Action {
			case ActionExcluded:
				ok = now == was && (rel == "private/x" || rel[0] == '7')
			case ActionCopied:
				ok = now == value && there == has || !has && held && now == was
			case ActionConflict:
				ok = now == value && cfg.Conflict == SourceWins || now == was && now != value && cfg.Conflict == ReportOnly
			case ActionLeftAlone:
				ok = there && now == was && !has && !sink.mine[to+rel]
			case ActionHeld:
				ok = held && there && now == was && !has
			case ActionNone:
				ok = !there && !has
			}
			if !ok || x.Exists != (was != "") {
				t.Errorf("at rest %v, held %v: %q was %q, the source has %q, now it is %q: %+v", rest, held, rel, was, value, now, x)
			}
		}
		if rest && held && !slices.ContainsFunc(rels, func(rel string) bool { return explained[rel].Action == ActionHeld }) {
			t.Error("deletes are held, and no key is said to be")
		}
	}
	if x, err := r.Explain(t.Context(), "elsewhere"); err != nil || x.Role != RoleNone || x.Action != ActionNone || x.Reason == "" {
		t.Errorf("%+v, %v", x, err)
	}
}
