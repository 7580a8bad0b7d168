package coordinate

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/rpc"
)

// servers take updates, and note when they came.
type servers struct {
	began time.Time
	at    []time.Duration
	err   error
}

// Call implements rpc.Caller.
func (s *servers) Call(_ context.Context, _ *rpc.Info, _ rpc.Request, _ func() any) (any, error) {
	s.at = append(s.at, time.Since(s.began))
	return &rpc.Nothing{}, s.err
}

// run lets a sender work for so long, and returns what the servers were told.
func run(t *testing.T, members int, own func() (*Point, error), after time.Duration, err error) *servers {
	t.Helper()
	s := &servers{began: time.Now(), err: err}
	ctx, stop := context.WithTimeout(t.Context(), after)
	defer stop()
	sender := NewSender(SenderConfig{
		Node: "n1", Datacenter: "dc1", Own: own, Members: func() int { return members }, Caller: s, Log: hclog.NewNullLogger()})
	if err := sender.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnIdleAgentIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, 3, func() (*Point, error) { return at(1), nil }, time.Hour, nil)
		// One at first, and a reminder every eight intervals of 15 to 22.5 s.
		if n := len(s.at); n < 20 || n > 32 || s.at[0] >= minInterval {
			t.Errorf("%d updates in an hour, the first after %v", n, s.at[0])
		}
	})
}

// restless is a node that is elsewhere whenever one looks.
func restless() func() (*Point, error) {
	looks := 0.0
	return func() (*Point, error) { looks++; return at(looks * looks), nil }
}

func TestAnAgentThatMovesTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, 3, restless(), 10*time.Minute, nil)
		if n := len(s.at); n < 26 || n > 41 {
			t.Errorf("%d updates in ten minutes", n)
		}
	})
}

func TestAgentsOfALargeDatacenterTellLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, 6400, restless(), time.Hour, nil)
		for i := range s.at[1:] {
			if pause := s.at[i+1] - s.at[i]; pause < 100*time.Second {
				t.Errorf("a pause of %v among 6400", pause)
			}
		}
		if len(s.at) < 24 {
			t.Errorf("%d updates in an hour", len(s.at))
		}
	})
}

func TestAnUpdateThatFailedIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, 3, func() (*Point, error) { return at(1), nil }, 10*time.Minute, rpc.ErrNoLeader)
		if len(s.at) < 26 {
			t.Errorf("%d attempts in ten minutes", len(s.at))
		}
	})
}

func TestWithoutACoordinateNothingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, 3, func() (*Point, error) { return nil, errors.New("no") }, 10*time.Minute, nil)
		if len(s.at) > 0 {
			t.Errorf("%d updates", len(s.at))
		}
	})
}

func TestWhatIsNoticeable(t *testing.T) {
	higher, adjusted := at(1), at(1)
	higher.Height += 0.001
	adjusted.Adjustment = -0.001
	for name, c := range map[string]struct {
		from, to *Point
		want     bool
	}{
		"nothing":               {at(1), at(1), false},
		"less than a tenth":     {at(100), at(105), false},
		"more than a tenth":     {at(100), at(112), true},
		"little from the start": {at(0), at(0.04), false},
		"away from the start":   {at(0), at(0.07), true},
		"height":                {at(1), higher, true},
		"adjustment":            {at(1), adjusted, true},
		"another space":         {&Point{Vec: []float64{1}}, at(1), true},
	} {
		if got := moved(c.from, c.to); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
