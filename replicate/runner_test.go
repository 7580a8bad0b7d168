package replicate

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// runnerConfig is that of a link in the syntax of ParseLink.
func runnerConfig(t testing.TB, source, sink *store, link string, excludes ...string) RunnerConfig {
	t.Helper()
	cfg := testConfig(t, source, sink, link, excludes...)
	return RunnerConfig{
		Link: cfg.Links[0], Source: cfg.Source(""), Sink: cfg.Sink,
		CheckpointKey: CheckpointKey(cfg.StatusPath, cfg.Links[0]), StatusPath: cfg.StatusPath,
		Guard: cfg.Guard, Delete: true, Repair: true, Retry: cfg.Retry, Writer: cfg.Writer, Log: cfg.Log,
	}
}

// start runs one link until the test ends, or the returned function is called.
func start(t testing.TB, cfg RunnerConfig) (*Runner, func()) {
	t.Helper()
	return startWith(t, cfg, maxNames)
}

// startWith runs one that remembers few deletes by name.
func startWith(t testing.TB, cfg RunnerConfig, names int) (*Runner, func()) {
	t.Helper()
	r, err := NewRunner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.f.maxNames = names
	return r, runIt(t, r)
}

func runIt(t testing.TB, r *Runner) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestALinkMayBeRunByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := fed(50), newStore()
		cfg := runnerConfig(t, source, sink, "config/@shanghai:copy/")
		cfg.Name = "by-itself"
		r, _ := start(t, cfg)
		synctest.Wait()
		sameContents(t, source, sink, "config/", "copy/")
		if s := r.Status(); s.Link != "by-itself" || s.State != Following || s.KeysRate != 5 || s.BytesRate == 0 {
			t.Errorf("status %+v", s)
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
		s := r.Status()
		if s.State != Retrying || s.LastErrorAt.IsZero() || time.Until(s.NextRetry) <= 0 || time.Until(s.NextRetry) > time.Second || s.KeysRate != 0 {
			t.Errorf("status %+v", s)
		}
		sink.mutate(func() { sink.fault = func(string) error { return nil } })
		time.Sleep(2 * time.Second)
		if s := r.Status(); s.State != Following || !s.NextRetry.IsZero() || s.LastError == "" {
			t.Errorf("status %+v", s)
		}
	})
}

func TestTheHeartbeatDecidesHowOldTheLagMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := fed(3), newStore()
		cfg := runnerConfig(t, source, sink, "config/@shanghai")
		cfg.Heartbeat = 5 * time.Second
		r, _ := start(t, cfg)
		time.Sleep(time.Minute + time.Millisecond)
		silent := make(chan struct{})
		source.mutate(func() { source.fault = func(string) error { <-silent; return nil } })
		time.Sleep(7 * time.Second)
		if l := r.Status().Lag; l != 0 {
			t.Errorf("7 s after the last word the lag is %v", l)
		}
		time.Sleep(6 * time.Second)
		if l := r.Status().Lag; l < 8*time.Second || l > 14*time.Second {
			t.Errorf("after 13 s of silence the lag is %v", l)
		}
		close(silent)
	})
}

func TestMistakesInTheSettingsOfALinkAreAllNamed(t *testing.T) {
	cfg := runnerConfig(t, newStore(), newStore(), "config/@shanghai")
	cfg.CheckpointKey, cfg.Conflict, cfg.RateLimit, cfg.VerifyInterval, cfg.Guard.MaxFraction = "", "fight", -1, -1, -1
	_, err := NewRunner(cfg)
	for _, want := range []string{"no checkpoint key", `conflict is "fight"`, "rate_limit is -1", "verify interval is -1ns", "max-delete-fraction is -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
}

// A run that ends when the link is in step does not end because somebody moved the checkpoint.
func TestOnceIsNotOverWhenTheCheckpointMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, sink := paged(3)
		cfg := testConfig(t, source, sink, "config/@shanghai")
		if err := runOnce(t, cfg); err != nil {
			t.Fatal(err)
		}
		source.del("config/001")
		key, loads := CheckpointKey(DefaultStatusPath, cfg.Links[0]), 0
		sink.mutate(func() {
			sink.fault = func(call string) error {
				if call != "load" {
					return nil
				}
				if loads++; loads == 2 { // another daemon, behind the first look
					sink.index++
					sink.putLocked(key, sink.keys[key].Value, 0)
				}
				return nil
			}
		})
		if err := runOnce(t, cfg); err != nil || loads < 3 {
			t.Fatalf("after %d looks at the checkpoint: %v", loads, err)
		}
		sameContents(t, source, sink, "config/", "config/")
	})
}
