package replicate

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fed is a source with a feed, and n keys below config/.
func fed(n int) *store {
	s := newStore()
	s.feed = true
	fill(s, "config/", n)
	return s
}

// keys are the full names of the keys that fill makes, from one to another.
func keys(from, to int) (names []string) {
	for i := from; i < to; i++ {
		names = append(names, fmt.Sprintf("config/%03d", i))
	}
	return names
}

func TestAChangeCostsTheChangeAlsoAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := fed(50), newStore()
		cfg := testConfig(t, source, sink, "config/@shanghai")
		_, stop := run(t, cfg)
		synctest.Wait()
		for range 3 {
			source.put("config/x", fmt.Sprint(time.Now()), 0)
			source.del("config/001")
			time.Sleep(time.Hour)
		}
		if c := checkpointOf(t, sink, cfg.Links[0]); c.applied() != source.index || c.FeedAfter != "" || c.Applied != 53 {
			t.Errorf("the source is at %d, checkpoint %+v", source.index, c)
		}
		stop()
		source.put("config/while/away", "x", 0)
		source.del("config/002")
		r, stop := run(t, cfg)
		synctest.Wait()
		sameContents(t, source, sink, "config/", "config/")
		if s := r.Status()[0]; s.State != Following || s.Lag != 0 || s.Applied != 1 || s.Deleted != 1 {
			t.Errorf("status %+v", s)
		}
		if source.lists != 1 {
			t.Errorf("the source was listed %d times", source.lists)
		}
		stop()

		cfg.Links[0].Excludes = []string{"config/x"} // what was passed by is not known
		run(t, cfg)
		synctest.Wait()
		if source.lists != 2 {
			t.Errorf("with another exclude the source was listed %d times", source.lists)
		}
	})
}

func TestAQuietSourceThatIsBackIsNoticedByTheNextAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := fed(5), newStore()
		r, _ := run(t, testConfig(t, source, sink, "config/@shanghai"))
		time.Sleep(time.Minute)
		source.failing("changes")
		time.Sleep(time.Minute)
		s := r.Status()[0]
		if s.State != Retrying || s.Lag < 50*time.Second {
			t.Fatalf("while it is away: %+v", s)
		}
		source.failing()
		time.Sleep(time.Until(s.NextRetry) + 10*time.Millisecond)
		if s := r.Status()[0]; s.State != Following || s.Lag != 0 {
			t.Errorf("after the next attempt: %+v", s)
		}
	})
}

func TestChangesElsewhereMoveTheCheckpointRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := fed(5), newStore()
		cfg := testConfig(t, source, sink, "config/@shanghai")
		r, _ := run(t, cfg)
		synctest.Wait()
		before := sink.batches()
		for range 60 * 6 {
			source.put("elsewhere", "x", 0)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if s := r.Status()[0]; s.Lag != 0 {
				t.Fatalf("status %+v", s)
			}
		}
		if n := sink.batches() - before; n < 6 || n > 12 {
			t.Errorf("%d writes in an hour", n)
		}
	})
}

// TestAnIndexOfThousandsIsResumedWithin kills the daemon after each batch of a deleted tree.
func TestAnIndexOfThousandsIsResumedWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := fed(300), newStore()
		cfg := testConfig(t, source, sink, "config/@shanghai")
		_, stop := run(t, cfg)
		synctest.Wait()
		stop()
		source.mutate(func() {
			source.index++
			for _, k := range keys(100, 220) {
				source.delLocked(k)
			}
			for _, k := range keys(220, 260) {
				source.putLocked(k, []byte("changed"), 0)
			}
		})
		within := 0
		before := sink.ops
		for runs := 0; len(sink.contents("config/")) > 180; runs++ {
			if runs > 50 {
				t.Fatal("it does not get on")
			}
			batches := 0
			sink.afterApply = func() error {
				if batches++; batches > 1 {
					return errCut // the second batch lands, and the daemon does not know
				}
				return nil
			}
			sink.fault = func(call string) error {
				if call == "apply" && batches > 1 {
					return errCut
				}
				return nil
			}
			_, stop := run(t, cfg)
			time.Sleep(100 * time.Millisecond)
			stop()
			if c := checkpointOf(t, sink, cfg.Links[0]); c.FeedAfter != "" {
				within++
				if c.FeedIndex != source.index || c.LastReplicated >= source.index {
					t.Errorf("checkpoint %+v", c)
				}
			}
		}
		sink.fault, sink.afterApply = func(string) error { return nil }, func() error { return nil }
		run(t, cfg)
		synctest.Wait()
		sameContents(t, source, sink, "config/", "config/")
		if c := checkpointOf(t, sink, cfg.Links[0]); c.applied() != source.index || within < 2 {
			t.Errorf("%d stops within the index, checkpoint %+v", within, c)
		}
		if n := sink.ops - before; n != 160 || source.lists != 1 {
			t.Errorf("%d operations for 160 changes, %d listings", n, source.lists)
		}
	})
}

func TestDeletesAreCountedToTheSourcesIndexBeforeTheFirstLands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := fed(100), newStore()
		cfg := testConfig(t, source, sink, "config/@shanghai")
		_, stop := run(t, cfg)
		synctest.Wait()
		stop()
		for _, k := range keys(0, 80) { // twelve pages, none suspicious by itself
			source.del(k)
		}
		fill(source, "config/new", 90) // the deletes are still most of what was there
		r, _ := run(t, cfg)
		synctest.Wait()
		if s := r.Status()[0]; s.State != Held || s.HeldDeletes != 80 {
			t.Errorf("status %+v", s)
		}
		if got := len(sink.contents("config/")); got != 190 {
			t.Errorf("%d keys, want 190", got)
		}
		fill(source, "config/", 31)
		synctest.Wait()
		sameContents(t, source, sink, "config/", "config/")
		if c := checkpointOf(t, sink, cfg.Links[0]); c.applied() != source.index || c.Held != "" || source.lists != 1 {
			t.Errorf("the source is at %d, checkpoint %+v, %d listings", source.index, c, source.lists)
		}
	})
}

func TestACursorThatIsTooOldLeadsToAComparison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := fed(30), newStore()
		cfg := testConfig(t, source, sink, "config/@shanghai")
		_, stop := run(t, cfg)
		synctest.Wait()
		stop()
		source.del("config/003")
		source.put("config/new", "x", 0)
		source.reap()
		r, _ := run(t, cfg)
		synctest.Wait()
		sameContents(t, source, sink, "config/", "config/")
		source.put("config/more", "x", 0)
		synctest.Wait()
		sameContents(t, source, sink, "config/", "config/")
		if s := r.Status()[0]; s.State != Following || s.Errors != 0 || source.lists != 2 {
			t.Errorf("status %+v, %d listings", s, source.lists)
		}
	})
}

func TestAFeedMayComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := fed(30), newStore()
		cfg := testConfig(t, source, sink, "config/@shanghai")
		r, _ := run(t, cfg)
		synctest.Wait()
		for i, feed := range []bool{false, true, false, true} {
			source.mutate(func() { source.feed = feed })
			source.put("config/x", fmt.Sprint(i), 0)
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			lists := source.lists
			source.put("config/x", fmt.Sprint(i, "again"), 0)
			source.del(keys(i, i+1)...)
			time.Sleep(time.Second)
			synctest.Wait()
			sameContents(t, source, sink, "config/", "config/")
			if (source.lists == lists) != feed {
				t.Errorf("with a feed: %v; %d listings for a change", feed, source.lists-lists)
			}
		}
		if s := r.Status()[0]; s.Errors != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestAFilteredFeedIsNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := fed(30), newStore()
		source.filtered = true
		cfg := testConfig(t, source, sink, "config/@shanghai")
		run(t, cfg)
		synctest.Wait()
		if c := checkpointOf(t, sink, cfg.Links[0]); c.FeedIndex != 0 {
			t.Errorf("checkpoint %+v", c)
		}
		source.mutate(func() { source.filtered = false })
		time.Sleep(5 * time.Minute)
		source.mutate(func() { source.filtered = true })
		source.del("config/001")
		time.Sleep(time.Minute)
		if len(sink.contents("config/")) != 30 {
			t.Error("a delete passed while the token sees a part only")
		}
	})
}

func TestLagIsSaneWhateverTheSourcesClock(t *testing.T) {
	for _, clock := range []time.Duration{0, time.Hour, -time.Hour} {
		t.Run(fmt.Sprint(clock), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, sink := fed(3), newStore()
				source.clock = clock
				r, _ := run(t, testConfig(t, source, sink, "config/@shanghai"))
				lag := func() time.Duration { synctest.Wait(); return r.Status()[0].Lag }
				time.Sleep(95 * time.Second)
				if lag() != 0 {
					t.Errorf("in step, lag %v", lag())
				}
				sink.mutate(func() {
					sink.fault = func(call string) error {
						if call == "apply" {
							return errCut
						}
						return nil
					}
				})
				source.put("config/x", "x", 0)
				time.Sleep(30 * time.Second)
				if l := lag(); l < 30*time.Second || l > 42*time.Second {
					t.Errorf("30 s behind, lag %v", l)
				}
				sink.mutate(func() { sink.fault = func(string) error { return nil } })
				time.Sleep(2 * time.Second)
				if lag() != 0 {
					t.Errorf("in step again, lag %v", lag())
				}
			})
		})
	}
}

func TestLagGrowsWhenTheSourceFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := fed(3), newStore()
		r, _ := run(t, testConfig(t, source, sink, "config/@shanghai"))
		time.Sleep(time.Minute)
		silent := make(chan struct{})
		source.mutate(func() {
			source.fault = func(string) error { <-silent; return nil } // no answer, and no error
		})
		time.Sleep(40 * time.Second)
		if l := r.Status()[0].Lag; l < 30*time.Second || l > 50*time.Second {
			t.Errorf("after 40 s of silence the lag is %v", l)
		}
		close(silent)
		time.Sleep(Heartbeat)
		synctest.Wait()
		if s := r.Status()[0]; s.Lag != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestLargeValuesLandBeforeTheirCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := fed(3), newStore()
		cfg := testConfig(t, source, sink, "config/@shanghai")
		run(t, cfg)
		synctest.Wait()
		source.put("config/big", strings.Repeat("big", 3000), 0)
		synctest.Wait()
		sameContents(t, source, sink, "config/", "config/")
		if c := checkpointOf(t, sink, cfg.Links[0]); c.applied() != source.index {
			t.Errorf("the source is at %d, checkpoint %+v", source.index, c)
		}
	})
}

func TestACheckpointFromBeforeTheFeedIsRead(t *testing.T) {
	l := Link{SourceDC: "shanghai", Source: "config/", Destination: "config/"}
	c, err := DecodeCheckpoint([]byte(`{"LastReplicated":7,"Source":"config/","Destination":"config/","SourceDatacenter":"shanghai","DatacenterID":"id","Incarnation":"one"}`), l)
	if err != nil || c.cursor("any") != (Cursor{}) || c.applied() != 7 {
		t.Errorf("%+v, %v", c, err)
	}
}
