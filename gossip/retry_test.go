package gossip

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestRetryJoinBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var tries []time.Duration
		join := func([]string) (int, error) {
			tries = append(tries, time.Since(start))
			if len(tries) < 6 {
				return 0, errors.New("not yet")
			}
			return 1, nil
		}
		var log strings.Builder
		err := RetryJoin(t.Context(), []string{"a"}, join, RetryOptions{
			Pool: "LAN", Interval: 5 * time.Second, Log: hclog.New(&hclog.LoggerOptions{Output: &log})})
		if err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{0, 1 * time.Second, 3 * time.Second, 7 * time.Second, 12 * time.Second, 17 * time.Second}
		if !slices.Equal(tries, want) {
			t.Errorf("tries at %v, want %v", tries, want)
		}
		for _, phrase := range []string{"Joining cluster...", "Join cluster failed, will retry", "not yet",
			"Join cluster completed. Synced with initial agents", "cluster=LAN"} {
			if !strings.Contains(log.String(), phrase) {
				t.Errorf("log lacks %q:\n%s", phrase, log.String())
			}
		}
	})
}

func TestRetryJoinEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := errors.New("nobody there")
		tries := 0
		join := func([]string) (int, error) { tries++; return 0, fail }
		o := RetryOptions{Pool: "WAN", Max: 3, Log: hclog.NewNullLogger()}
		err := RetryJoin(t.Context(), []string{"a"}, join, o)
		if !errors.Is(err, fail) || !strings.Contains(err.Error(), "max join retry exhausted") || tries != 3 {
			t.Errorf("%d tries, %v", tries, err)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		o.Max = 0
		if err := RetryJoin(ctx, []string{"a"}, join, o); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the context ended: %v", err)
		}
		if err := RetryJoin(t.Context(), nil, join, o); err != nil {
			t.Errorf("nothing to join: %v", err)
		}
	})
}
