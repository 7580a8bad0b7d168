package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/hanse-project/hanse/rpc"
)

type question struct {
	rpc.Read
	Name string
	Meta map[string]string
}

type answer struct {
	Text string
	rpc.Meta
}

var (
	follow = rpc.Method[question, answer]{Info: rpc.Info{Name: "Test.Follow", Blocking: true}}
	keep   = rpc.Method[question, answer]{Info: rpc.Info{Name: "Test.Keep"}}
)

// servers answer with a text that tests change.
type servers struct {
	mu      sync.Mutex
	text    string
	index   uint64
	err     error
	changed chan struct{}
	calls   []uint64
	// slow is how long an answer takes.
	slow time.Duration
}

func newServers() *servers { return &servers{text: "one", index: 7, changed: make(chan struct{})} }

func (s *servers) set(text string, index uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.index, s.err = text, index, err
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *servers) asked() int { return len(s.history()) }

// history are the indexes that were asked after.
func (s *servers) history() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (c *Cache) held() (entries int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries), c.bytes
}

func (s *servers) Call(ctx context.Context, m *rpc.Info, req rpc.Request, _ func() any) (any, error) {
	env := req.Envelope()
	after := env.Query.MinQueryIndex
	s.mu.Lock()
	s.calls = append(s.calls, after)
	slow := s.slow
	s.mu.Unlock()
	if !sleep(ctx, slow) {
		return nil, ctx.Err()
	}
	over := time.NewTimer(env.Query.Wait())
	defer over.Stop()
	for waited := false; ; {
		s.mu.Lock()
		text, index, err, changed := s.text, s.index, s.err, s.changed
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if !m.Blocking || index != after || waited {
			return &answer{text + " for " + *env.Token, rpc.Meta{Index: index}}, nil
		}
		select {
		case <-changed:
		case <-over.C:
			waited = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// start runs a cache until the test ends.
func start(t *testing.T, cfg Config) *Cache {
	t.Helper()
	cfg.Registerer, cfg.Log = prometheus.NewRegistry(), hclog.NewNullLogger()
	c := New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

func ask(t *testing.T, c *Cache, m *rpc.Method[question, answer], change func(*question)) (string, From) {
	t.Helper()
	text, from, err := try(t.Context(), c, m, change)
	if err != nil {
		t.Fatal(err)
	}
	return text, from
}

func try(ctx context.Context, c *Cache, m *rpc.Method[question, answer], change func(*question)) (string, From, error) {
	q := &question{Name: "web", Meta: map[string]string{"a": "1", "b": "2"}}
	q.UseCache, q.Token = true, "me"
	if change != nil {
		change(q)
	}
	rep, from, err := Get(ctx, c, m, q)
	if err != nil {
		return "", from, err
	}
	return rep.Text, from, nil
}

func TestManyCallersShareOneBlockingQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		s.slow = time.Second
		c := start(t, Config{Caller: s})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if text, from := ask(t, c, &follow, nil); text != "one for me" || from.Hit {
					t.Errorf("%s %+v", text, from)
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Minute)
		for range 100 {
			wg.Go(func() {
				if text, from := ask(t, c, &follow, nil); text != "one for me" || from != (From{Hit: true}) {
					t.Errorf("%s %+v", text, from)
				}
			})
		}
		wg.Wait()
		if calls := s.history(); !slices.Equal(calls, []uint64{0, 7}) {
			t.Fatalf("the servers were asked after %v, want one fetch and one blocking query", calls)
		}
	})
}

func TestWhatChangesAtTheServersIsHereAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		c := start(t, Config{Caller: s})
		ask(t, c, &follow, nil)
		s.set("two", 8, nil)
		synctest.Wait()
		if text, from := ask(t, c, &follow, nil); text != "two for me" || !from.Hit {
			t.Fatalf("%s %+v", text, from)
		}
	})
}

func TestIndexWaitsForAChangeOfWhatIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		c := start(t, Config{Caller: s})
		ask(t, c, &follow, nil)
		begin := time.Now()
		time.AfterFunc(time.Minute, func() { s.set("two", 9, nil) })
		text, from := ask(t, c, &follow, func(q *question) { q.MinQueryIndex, q.MaxQueryTime = 7, 5*time.Minute })
		if took := time.Since(begin); text != "two for me" || !from.Hit || took != time.Minute {
			t.Fatalf("%s %+v after %v", text, from, took)
		}
		begin = time.Now()
		text, _ = ask(t, c, &follow, func(q *question) { q.MinQueryIndex, q.MaxQueryTime = 9, time.Minute })
		if took := time.Since(begin); text != "two for me" || took < time.Minute || took > time.Minute+time.Minute/rpc.JitterFraction {
			t.Fatalf("%s after %v, want the same after the wait", text, took)
		}
		if text, _ = ask(t, c, &follow, func(q *question) { q.MinQueryIndex = 8 }); text != "two for me" {
			t.Fatalf("%s", text)
		}
	})
}

func TestLostServersLeaveTheLastAnswerWithItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		c := start(t, Config{Caller: s})
		ask(t, c, &follow, nil)
		time.Sleep(time.Minute)
		s.set("", 0, rpc.ErrNoLeader)
		time.Sleep(2 * time.Hour)
		text, from := ask(t, c, &follow, func(q *question) { q.MaxAge, q.MustRevalidate = time.Second, true })
		if text != "one for me" || !from.Hit || from.Age.Round(time.Second) != 2*time.Hour {
			t.Fatalf("%s %+v", text, from)
		}
		if n := s.asked(); n > int(2*time.Hour/(lastPause/2)) {
			t.Fatalf("%d calls within two hours: the pauses do not grow", n)
		}
		s.set("three", 30, nil)
		time.Sleep(lastPause)
		if text, from = ask(t, c, &follow, nil); text != "three for me" || from != (From{Hit: true}) {
			t.Fatalf("%s %+v", text, from)
		}
	})
}

func TestFirstFailureIsTheCallersAndNothingIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		s.set("", 0, rpc.ErrNoLeader)
		c := start(t, Config{Caller: s})
		for _, m := range []*rpc.Method[question, answer]{&follow, &keep} {
			if _, _, err := try(t.Context(), c, m, nil); !errors.Is(err, rpc.ErrNoLeader) {
				t.Fatalf("%s: %v", m.Name, err)
			}
		}
		if n, _ := c.held(); n != 0 {
			t.Fatal("a failure is kept")
		}
	})
}

func TestTokenIsPartOfTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		c := start(t, Config{Caller: s})
		for _, m := range []*rpc.Method[question, answer]{&follow, &keep} {
			for _, token := range []string{"me", "you", "", "you"} {
				if text, _ := ask(t, c, m, func(q *question) { q.Token = token }); text != "one for "+token {
					t.Errorf("%s: %q was told %q", m.Name, token, text)
				}
			}
		}
	})
}

func TestRefusedTokenLosesWhatItWasTold(t *testing.T) {
	for _, refusal := range []error{rpc.ErrPermissionDenied, fmt.Errorf("list: %w", rpc.ErrACLNotFound)} {
		synctest.Test(t, func(t *testing.T) {
			s := newServers()
			c := start(t, Config{Caller: s})
			ask(t, c, &follow, nil)
			ask(t, c, &keep, nil)
			s.set("", 0, refusal)
			synctest.Wait()
			if _, _, err := try(t.Context(), c, &follow, nil); !errors.Is(err, refusal) {
				t.Errorf("follow: %v", err)
			}
			if _, _, err := try(t.Context(), c, &keep, func(q *question) { q.MustRevalidate, q.StaleIfError = true, time.Hour }); !errors.Is(err, refusal) {
				t.Errorf("keep: %v", err)
			}
		})
	}
}

func TestKeptAnswersAreAsOldAsTheCallerAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		c := start(t, Config{Caller: s})
		check := func(text string, from From, change func(*question)) {
			t.Helper()
			if got, f := ask(t, c, &keep, change); got != text+" for me" || f != from {
				t.Fatalf("%s %+v, want %s %+v", got, f, text, from)
			}
		}
		check("one", From{}, nil)
		s.set("two", 8, nil)
		time.Sleep(65 * time.Second)
		check("one", From{Hit: true, Age: 65 * time.Second}, nil)
		check("one", From{Hit: true, Age: 65 * time.Second}, func(q *question) { q.MaxAge = 70 * time.Second })
		check("two", From{}, func(q *question) { q.MaxAge = 30 * time.Second })
		s.set("three", 9, nil)
		check("three", From{}, func(q *question) { q.MustRevalidate = true })
		s.set("", 0, rpc.ErrNoLeader)
		time.Sleep(65 * time.Second)
		if _, _, err := try(t.Context(), c, &keep, func(q *question) { q.MaxAge = 30 * time.Second }); !errors.Is(err, rpc.ErrNoLeader) {
			t.Fatalf("err %v, want the servers' failure", err)
		}
		old := From{Hit: true, Age: 65 * time.Second, old: true}
		check("three", old, func(q *question) { q.MaxAge, q.StaleIfError = 30*time.Second, 70*time.Second })
		check("three", old, func(q *question) { q.MustRevalidate, q.StaleIfError = true, 70*time.Second })
		if _, _, err := try(t.Context(), c, &keep, func(q *question) { q.MaxAge, q.StaleIfError = 30*time.Second, time.Minute }); !errors.Is(err, rpc.ErrNoLeader) {
			t.Fatalf("err %v, want the servers' failure", err)
		}
	})
}

func TestCallerThatGoesAwayLeavesTheFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		s.slow = time.Minute
		c := start(t, Config{Caller: s})
		for _, m := range []*rpc.Method[question, answer]{&follow, &keep} {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, _, err := try(ctx, c, m, nil); !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %v", m.Name, err)
			}
			begin := time.Now()
			if text, _ := ask(t, c, m, nil); text != "one for me" || time.Since(begin) != 59*time.Second {
				t.Fatalf("%s: %s after %v", m.Name, text, time.Since(begin))
			}
		}
	})
}

func TestUnusedAnswersAreNotRefreshedAndThenDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		c := start(t, Config{Caller: s})
		ask(t, c, &follow, nil)
		time.Sleep(refreshFor + sweepEvery)
		before := s.asked()
		s.set("two", 8, nil)
		time.Sleep(2 * time.Hour)
		if n := s.asked(); n != before {
			t.Fatalf("%d calls for an answer that nobody asks for", n-before)
		}
		if text, from := ask(t, c, &follow, nil); text != "two for me" || from != (From{}) {
			t.Fatalf("%s %+v, want what is true now", text, from)
		}
		time.Sleep(2 * time.Hour)
		s.set("", 0, rpc.ErrNoLeader)
		if text, from := ask(t, c, &follow, nil); text != "two for me" || !from.Hit || from.Age < time.Hour/2 {
			t.Fatalf("%s %+v, want the old answer with its age", text, from)
		}
		time.Sleep(keepFor + sweepEvery)
		if n, bytes := c.held(); n != 0 || bytes != 0 {
			t.Fatalf("%d entries and %d bytes after three days", n, bytes)
		}
	})
}

func TestRefreshesAreAsFastAsAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		c := start(t, Config{Caller: s, FetchRate: 0.5, FetchBurst: 2})
		ask(t, c, &follow, nil)
		begin := s.asked()
		for i := range 600 {
			s.set("x", uint64(100+i), nil)
			time.Sleep(100 * time.Millisecond)
		}
		if n := s.asked() - begin; n < 25 || n > 35 {
			t.Fatalf("%d refreshes within a minute, want about 30", n)
		}
		time.Sleep(3 * time.Second)
		text, _ := ask(t, c, &follow, nil)
		if calls := s.history(); text != "x for me" || calls[len(calls)-1] != 699 {
			t.Fatalf("the last change is not here: asked after %d", calls[len(calls)-1])
		}
	})
}

// instant answers blocking queries at once, as a broken server does.
type instant struct{ calls atomic.Int64 }

func (i *instant) Call(context.Context, *rpc.Info, rpc.Request, func() any) (any, error) {
	i.calls.Add(1)
	return &answer{"x", rpc.Meta{Index: 1}}, nil
}

func TestServerThatDoesNotBlockIsNotAskedInALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &instant{}
		c := start(t, Config{Caller: s})
		ask(t, c, &follow, nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := s.calls.Load(); n > 65 {
			t.Fatalf("%d calls within a minute", n)
		}
	})
}

func TestReplacedHistoryIsReadAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		c := start(t, Config{Caller: s})
		s.set("before", 900, nil)
		ask(t, c, &follow, nil)
		s.set("after", 3, nil)
		time.Sleep(2 * minRound)
		if text, _ := ask(t, c, &follow, nil); text != "after for me" {
			t.Fatal(text)
		}
		if calls := s.history(); calls[len(calls)-1] != 3 {
			t.Fatalf("waits after %d, want 3", calls[len(calls)-1])
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		c := start(t, Config{Caller: s, MaxEntries: 3})
		for i := range 10 {
			ask(t, c, &follow, func(q *question) { q.Name = fmt.Sprint(i) })
		}
		if n, _ := c.held(); n != 3 {
			t.Fatalf("%d entries", n)
		}
		if _, from := ask(t, c, &follow, func(q *question) { q.Name = "7" }); !from.Hit {
			t.Error("one that was asked for lately was dropped")
		}
		if _, from := ask(t, c, &follow, func(q *question) { q.Name = "6" }); from.Hit {
			t.Error("the bound does not hold")
		}
		synctest.Wait()
		if n := testutil.ToFloat64(c.metrics.fetching); n != 3 {
			t.Errorf("%v refreshes for three entries", n)
		}
		// All that is kept is waited for: another question goes to the servers.
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				ask(t, c, &follow, func(q *question) {
					q.Name, q.MinQueryIndex, q.MaxQueryTime = fmt.Sprint("waits", i), 7, time.Minute
				})
			})
		}
		synctest.Wait()
		if text, from := ask(t, c, &follow, nil); text != "one for me" || from.Hit {
			t.Errorf("%s %+v", text, from)
		}
		if n, _ := c.held(); n != 3 {
			t.Errorf("%d entries", n)
		}
		wg.Wait()
	})
}

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		s.set(string(make([]byte, 1000)), 7, nil)
		c := start(t, Config{Caller: s, MaxBytes: 10_000})
		for i := range 20 {
			ask(t, c, &keep, func(q *question) { q.Name = fmt.Sprint(i) })
		}
		if n, bytes := c.held(); bytes > 10_000 || n < 3 || n > 5 {
			t.Fatalf("%d bytes in %d entries", bytes, n)
		}
		s.set(string(make([]byte, 20_000)), 8, nil)
		if text, _ := ask(t, c, &follow, nil); len(text) < 20_000 {
			t.Fatalf("an answer above the bound has %d bytes", len(text))
		}
	})
}

func TestOrderOfMapsDoesNotMatter(t *testing.T) {
	keys := map[string]bool{}
	for range 50 {
		q := &question{Meta: map[string]string{}}
		for _, k := range []string{"a", "b", "c", "d", "e", "f"} {
			q.Meta[k] = k
		}
		q.MinQueryIndex, q.MaxQueryTime, q.MaxAge, q.UseCache = 7, time.Second, time.Second, true
		key, err := keyOf("m", q)
		if err != nil {
			t.Fatal(err)
		}
		keys[key] = true
	}
	if len(keys) != 1 {
		t.Fatalf("%d keys for one question", len(keys))
	}
}

func TestWithoutTheWordNothingIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		c := start(t, Config{Caller: s})
		for _, change := range []func(*question){
			func(q *question) { q.UseCache = false },
			func(q *question) { q.RequireConsistent = true },
		} {
			for range 2 {
				if _, from := ask(t, c, &follow, change); from.Hit {
					t.Error("a hit")
				}
			}
		}
		if n, _ := c.held(); s.asked() != 4 || n != 0 {
			t.Fatalf("%d calls, %d entries", s.asked(), n)
		}
	})
}

func TestStopEndsWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers()
		s.slow = time.Hour
		c := New(Config{Caller: s, Registerer: prometheus.NewRegistry(), Log: hclog.NewNullLogger()})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		go func() {
			if _, _, err := try(t.Context(), c, &follow, nil); !errors.Is(err, errStopped) {
				t.Errorf("err %v", err)
			}
		}()
		if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		synctest.Wait() // the bubble fails the test if a goroutine is left
		if _, _, err := try(t.Context(), c, &keep, nil); !errors.Is(err, errStopped) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// Everything at once, for the race detector.
func TestManyCallersOfManyQuestions(t *testing.T) {
	s := newServers()
	c := start(t, Config{Caller: s, MaxEntries: 8})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := uint64(8); ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				var err error
				if i%10 == 0 {
					err = rpc.ErrNoLeader
				}
				s.set("x", i, err)
			}
		}
	})
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			for n := range 200 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				m := &follow
				if n%3 == 0 {
					m = &keep
				}
				_, _, err := try(ctx, c, m, func(q *question) {
					q.Name, q.Token = fmt.Sprint((i*n)%12), fmt.Sprint(i%2)
					q.MinQueryIndex, q.MaxQueryTime = uint64(n%2*5), 5*time.Millisecond
					q.MustRevalidate = n%5 == 0
				})
				if err != nil && !errors.Is(err, rpc.ErrNoLeader) && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
				cancel()
			}
		})
		callers.Go(func() { c.sweep(time.Now().Add(refreshFor)) })
	}
	callers.Wait()
	close(stop)
	wg.Wait()
}

func BenchmarkHit(b *testing.B) {
	c := New(Config{Caller: newServers(), Registerer: prometheus.NewRegistry(), Log: hclog.NewNullLogger()})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	defer func() { cancel(); <-done }()
	for b.Loop() {
		if _, _, err := try(ctx, c, &follow, nil); err != nil {
			b.Fatal(err)
		}
	}
}
