package replicate

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// drift changes what the destination holds behind everybody's back.
func (s *store) drift(f func()) {
	s.mutate(func() {
		s.index++
		f()
	})
}

// asked is how many questions for sums there were. One may come at the moment at which the
// test looks.
func (s *store) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sums
}

func TestAVerificationFindsWhatDiffersAndPutsItRight(t *testing.T) {
	for _, c := range []struct {
		name               string
		repair, asked      bool
		divergent, repairs int
	}{
		{"repair", true, false, 4, 4},
		{"report", false, false, 4, 0},
		{"report, but asked to repair", false, true, 4, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, sink := paged(500)
				source.put("config/private/x", "no", 0)
				cfg := runnerConfig(t, source, sink, "config/@shanghai", "config/private/")
				cfg.Repair = c.repair
				cfg.Delete = true
				var r *Runner
				source.mutate(func() { // which keeps the link from going on
					r, _ = start(t, cfg)
					if err := r.Verify(false); !errors.Is(err, errNotInStep) {
						t.Errorf("before the link is in step: %v", err)
					}
				})
				synctest.Wait()
				sink.put("config/own", "own", 0)
				sink.drift(func() {
					sink.keys["config/001"] = Entry{Key: "config/001", Value: []byte("drift")}
					delete(sink.keys, "config/002")
					delete(sink.mine, "config/002")
					sink.putLocked("config/extra", []byte("drift"), 0)
					sink.own("config/extra")
					sink.putLocked("config/003", []byte("by hand"), 0)
					sink.putLocked("config/004", []byte("value 4"), 4) // as it is at the source
				})
				before := sink.contents("config/")
				source.mutate(func() { // which keeps the first from ending
					if err := r.Verify(c.asked); err != nil {
						t.Error(err)
					}
					if err := r.Verify(false); !errors.Is(err, errVerifying) {
						t.Errorf("a second one: %v", err)
					}
				})
				synctest.Wait() // and not a heartbeat later
				s := r.Status()
				if s.DivergentKeys != c.divergent || s.Repaired != c.repairs || s.LastVerify.IsZero() || s.Verifying || len(s.DivergentExamples) != c.divergent || s.State != Following {
					t.Errorf("status %+v", s)
				}
				got := sink.contents("config/")
				if got["own"] != "0:own" {
					t.Error("what is none of the link's is gone")
				}
				if c.repairs == 0 && fmt.Sprint(got) != fmt.Sprint(before) {
					t.Errorf("the destination holds %v", got)
				}
				if c.repairs == 0 {
					return
				}
				sink.mutate(func() { delete(sink.keys, "config/own") })
				source.mutate(func() { delete(source.keys, "config/private/x") })
				sameContents(t, source, sink, "config/", "config/")
				if s.Keys != len(sink.mine) || s.Keys != 500 {
					t.Errorf("the link counts %d keys, and has %d", s.Keys, len(sink.mine))
				}
				sums := sink.asked()
				if err := r.Verify(false); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if s := r.Status(); s.DivergentKeys != 0 || s.Repaired != 0 || len(s.DivergentExamples) != 0 || sink.asked() != sums+1 {
					t.Errorf("%d questions, status %+v", sink.asked()-sums, s)
				}
			})
		})
	}
}

func TestLinksAreVerifiedFromTimeToTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(50)
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		cfg.VerifyInterval = 10 * time.Minute
		r, _ := start(t, cfg)
		for range 20 {
			synctest.Wait()
			sink.drift(func() { sink.keys["config/001"] = Entry{Key: "config/001", Value: []byte("drift")} })
			time.Sleep(16 * time.Minute)
			sameContents(t, source, sink, "config/", "config/")
		}
		synctest.Wait()
		if sink.asked() < 20*2 || sink.asked() > 50*3 {
			t.Errorf("%d questions in five hours", sink.asked())
		}
		if s := r.Status(); s.Lag != 0 || s.State != Following || s.Errors != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestMuchThatDiffersIsPutRightToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(0)
		source.page, sink.page = 1000, 1000
		sink.limits = Limits{Ops: 500, Bytes: 1 << 20}
		source.mutate(func() {
			for _, k := range keys(0, 6000) {
				source.index++
				source.putLocked(k, []byte("x"), 0)
			}
		})
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		r, _ := start(t, cfg)
		synctest.Wait()
		sink.drift(func() {
			for _, k := range keys(500, 4500) {
				sink.keys[k] = Entry{Key: k, Value: []byte("drift")}
			}
		})
		if err := r.Verify(true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		sameContents(t, source, sink, "config/", "config/")
		if s := r.Status(); s.DivergentKeys != 4000 || s.Repaired != 4000 || len(s.DivergentExamples) != maxExamples {
			t.Errorf("%d differed, %d repaired", s.DivergentKeys, s.Repaired)
		}
	})
}

// TestWhatIsOnItsWayDoesNotDiffer verifies over and over while the source changes and the feed
// is slow.
func TestWhatIsOnItsWayDoesNotDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(300)
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		cfg.RateLimit = 30
		r, _ := start(t, cfg)
		time.Sleep(time.Minute)
		for i := range 2000 {
			if i%3 == 0 {
				source.del(keys(i%200, i%200+1)...)
			} else {
				source.put(keys(i%150, i%150+1)[0], fmt.Sprint(i), 0)
			}
			time.Sleep(40 * time.Millisecond)
			r.Verify(false) // refused while one goes on
			if s := r.Status(); s.DivergentKeys != 0 {
				t.Fatalf("status %+v", s)
			}
		}
		time.Sleep(time.Minute)
		sameContents(t, source, sink, "config/", "config/")
		if s := r.Status(); s.LastVerify.IsZero() || sink.asked() < 20 {
			t.Errorf("%d questions, status %+v", sink.asked(), s)
		}
	})
}

func TestDeletesOfAVerificationPassTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(10)
		r, _ := start(t, runnerConfig(t, source, sink, "config/@shanghai"))
		synctest.Wait()
		sink.drift(func() {
			for _, k := range keys(100, 130) {
				sink.putLocked(k, []byte("drift"), 0)
				sink.own(k)
			}
		})
		if err := r.Verify(true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if s := r.Status(); s.State != Held || s.HeldDeletes != 30 || s.DivergentKeys != 30 || s.Repaired != 0 {
			t.Errorf("status %+v", s)
		}
		r.Order(Orders{Decision: 5, Approved: true})
		synctest.Wait()
		sameContents(t, source, sink, "config/", "config/")
	})
}

func TestAVerificationOfALinkThatPrunesFindsStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(10)
		sink.sumsAll = true
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		cfg.Prune = true
		r, _ := start(t, cfg)
		synctest.Wait()
		sink.put("config/stranger", "x", 0)
		if err := r.Verify(true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		sameContents(t, source, sink, "config/", "config/")
	})
}

func TestAFailedVerificationIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(10)
		r, _ := start(t, runnerConfig(t, source, sink, "config/@shanghai"))
		synctest.Wait()
		source.failing("digests")
		if err := r.Verify(true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := r.Status(); s.State != Following || s.Verifying || !strings.Contains(s.LastError, "verify: ") || !s.LastVerify.IsZero() {
			t.Errorf("status %+v", s)
		}
		source.failing()
		if err := r.Verify(true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := r.Status(); s.LastVerify.IsZero() {
			t.Errorf("status %+v", s)
		}
	})
}
