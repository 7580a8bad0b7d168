package checks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

var errNoNetwork = errors.New("there is no network")

func noNetwork(context.Context, string, string) (net.Conn, error) { return nil, errNoNetwork }

// network is what tcp checks reach in a bubble of synctest. An address is what it does.
type network struct {
	mu    sync.Mutex
	down  bool
	dials map[string][]time.Time
	hung  int // now
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	n.mu.Lock()
	down := n.down
	n.dials[host] = append(n.dials[host], time.Now())
	n.mu.Unlock()
	if strings.HasPrefix(host, "hang") {
		n.hang(1)
		defer n.hang(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if down {
		return nil, errNoNetwork
	}
	ours, theirs := net.Pipe()
	_ = theirs.Close()
	return ours, nil
}

func (n *network) set(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
}

func (n *network) hang(more int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hung += more
	return n.hung
}

// times is when an address was dialled, and forgets it.
func (n *network) times(host string) []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.dials[host]
	delete(n.dials, host)
	return all
}

// news is what a runner said.
type news struct {
	mu   sync.Mutex
	said []string
}

func (n *news) update(id, status, output string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.said = append(n.said, fmt.Sprintf("%s %s: %s", id, status, output))
}

// expect fails unless that was said since the last time.
func (n *news) expect(t *testing.T, want ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Equal(n.said, want) {
		t.Errorf("the runner said %q, want %q", n.said, want)
	}
	n.said = nil
}

// bubble runs a test with a runner in a bubble of time.
func bubble(t *testing.T, follow Follower, test func(t *testing.T, r *Runner, n *network, said *news)) {
	synctest.Test(t, func(t *testing.T) {
		n, said := &network{dials: map[string][]time.Time{}}, &news{}
		r := New(Config{Log: hclog.NewNullLogger(), Update: said.update, Follow: follow, Reach: Reach{Dial: n.dial}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		test(t, r, n, said)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func set(t *testing.T, r *Runner, id string, def Definition) {
	t.Helper()
	if err := r.Set(id, def, ""); err != nil {
		t.Fatal(err)
	}
}

func after(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func TestCheckKeepsItsRhythm(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *Runner, n *network, said *news) {
		began := time.Now()
		set(t, r, "a", Definition{TCP: "a:1", Interval: 10 * time.Second})
		after(time.Minute)
		times := n.times("a")
		if len(times) != 6 || times[0].Sub(began) >= 10*time.Second {
			t.Fatalf("in a minute it was made at %v, want 6 times from within 10 s", times)
		}
		for i := range times[1:] {
			if d := times[i+1].Sub(times[i]); d != 10*time.Second {
				t.Errorf("turn %d came after %s", i+1, d)
			}
		}
		said.expect(t, "a passing: TCP connect a:1: Success") // once, for nothing changed
		n.set(true)
		after(10 * time.Second)
		said.expect(t, "a critical: there is no network")
	})
}

func TestFirstTurnsAreSpread(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *Runner, n *network, _ *news) {
		began := time.Now()
		for i := range 1000 {
			set(t, r, fmt.Sprint(i), Definition{TCP: "all:1", Interval: 10 * time.Second})
		}
		after(10 * time.Second)
		var perSecond [10]int
		for _, at := range n.times("all") {
			perSecond[min(at.Sub(began)/time.Second, 9)]++
		}
		total := 0
		for second, count := range perSecond {
			total += count
			if count < 40 || count > 200 { // 100 is even; this is six deviations away
				t.Errorf("%d of 1000 first turns in second %d", count, second)
			}
		}
		if total != 1000 {
			t.Errorf("%d first turns in one interval", total)
		}
	})
}

func TestSlowChecksDelayNobody(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *Runner, n *network, said *news) {
		for i := range 100 {
			set(t, r, fmt.Sprint("slow", i), Definition{TCP: "hang:1", Interval: time.Second, Timeout: 25 * time.Second})
		}
		set(t, r, "quick", Definition{TCP: "quick:1", Interval: 10 * time.Second})
		after(time.Minute)
		times := n.times("quick")
		if len(times) != 6 || times[5].Sub(times[0]) != 50*time.Second {
			t.Errorf("in a minute a quick check was made at %v", times)
		}
		// A turn that takes longer than the interval ends before the next begins.
		if hung := len(n.times("hang")); hung != 300 && hung != 200 {
			t.Errorf("checks of 25 s were made %d times in a minute, want 2 or 3 times each", hung)
		}
	})
}

func TestRhythmOfAFrozenMachine(t *testing.T) {
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	const interval = 10 * time.Second
	for late, want := range map[time.Duration]time.Duration{
		-1: interval, 0: interval, 1: interval, interval - 1: interval, interval: 2 * interval, 95 * time.Second: 100 * time.Second,
	} {
		if got := following(start, start.Add(late), interval).Sub(start); got != want {
			t.Errorf("a turn that ends %s after its time is followed by one at %s, want %s", late, got, want)
		}
	}
}

func TestEqualDefinitionsAreLeftAlone(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *Runner, n *network, said *news) {
		def := func() Definition {
			return Definition{TCP: "a:1", Interval: 10 * time.Second, FailuresBeforeCritical: 2, Header: map[string][]string{"a": {"b"}}}
		}
		set(t, r, "a", def())
		after(20 * time.Second)
		said.expect(t, "a passing: TCP connect a:1: Success")
		first := n.times("a")
		n.set(true)
		after(10 * time.Second)
		set(t, r, "a", def())
		after(10 * time.Second) // the second failure in a row, as if nothing had happened
		said.expect(t, "a critical: there is no network")
		if times := n.times("a"); len(times) != 2 || times[1].Sub(first[0]) != 30*time.Second {
			t.Errorf("turns at %v, first at %v", times, first)
		}
		changed := def()
		changed.TCP = "b:1"
		n.set(false)
		if err := r.Set("a", changed, Critical); err != nil {
			t.Fatal(err)
		}
		after(10 * time.Second)
		said.expect(t, "a passing: TCP connect b:1: Success")
		if times := n.times("a"); len(times) != 0 {
			t.Errorf("the old check is still made, at %v", times)
		}
	})
}

func TestRemovedChecksAreSilent(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *Runner, n *network, said *news) {
		set(t, r, "a", Definition{TCP: "a:1", Interval: time.Second})
		set(t, r, "ttl", Definition{TTL: time.Second})
		r.Remove("a")
		r.Remove("ttl")
		r.Remove("never there")
		set(t, r, "hang", Definition{TCP: "hang:1", Interval: time.Second, Timeout: time.Hour})
		after(10 * time.Second)
		if n.hang(0) != 1 {
			t.Error("the check that hangs was not begun")
		}
		r.Remove("hang")
		synctest.Wait()
		if n.hang(0) != 0 {
			t.Error("the turn of a check that is gone goes on")
		}
		after(time.Minute)
		said.expect(t)
		if err := r.SetTTL("ttl", Passing, ""); err == nil {
			t.Error("the TTL of a check that is gone can be set")
		}
	})
}

func TestIntervalHasAMinimum(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *Runner, n *network, _ *news) {
		set(t, r, "a", Definition{TCP: "a:1", Interval: time.Nanosecond})
		after(10 * time.Second)
		if times := n.times("a"); len(times) != 10 {
			t.Errorf("made %d times in 10 s", len(times))
		}
	})
}

func TestTTL(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *Runner, _ *network, said *news) {
		set(t, r, "a", Definition{TTL: 10 * time.Second, OutputMaxSize: 4})
		after(9 * time.Second)
		said.expect(t)
		after(time.Second)
		said.expect(t, "a critical: TTL expired")
		pass := func(status, output string) {
			t.Helper()
			if err := r.SetTTL("a", status, output); err != nil {
				t.Fatal(err)
			}
		}
		pass(Passing, "ok")
		said.expect(t, "a passing: ok")
		for range 10 {
			after(9 * time.Second)
			pass(Passing, "ok")
		}
		said.expect(t)
		pass(Warning, "hm")
		said.expect(t, "a warning: hm")
		after(10 * time.Second)
		said.expect(t, "a critical: TTL expired (last output before timeout follows): hm")
		after(time.Minute)
		said.expect(t)
		pass(Critical, "too long")
		said.expect(t, "a critical: Captured 4 of 8 bytes\n...\nlong")

		set(t, r, "tcp", Definition{TCP: "a:1", Interval: time.Hour})
		for _, id := range []string{"tcp", "unknown"} {
			if err := r.SetTTL(id, Passing, ""); err == nil || !strings.Contains(err.Error(), "does not have associated TTL") {
				t.Errorf("%s: %v", id, err)
			}
		}
	})
}

func TestTTLThatIsRenewedAtItsEndHolds(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *Runner, _ *network, said *news) {
		set(t, r, "a", Definition{TTL: 10 * time.Second})
		if err := r.SetTTL("a", Passing, "just in time"); err != nil {
			t.Fatal(err)
		}
		r.expire(r.checks["a"]) // found due a moment before
		said.expect(t, "a passing: just in time")
	})
}

func TestTTLIsRenewedWithoutAWord(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *Runner, _ *network, said *news) {
		set(t, r, "a", Definition{TTL: 10 * time.Second})
		if err := r.SetTTL("a", Passing, "ok"); err != nil {
			t.Fatal(err)
		}
		said.expect(t, "a passing: ok")
		for range 10 {
			after(9 * time.Second)
			r.Renew("a")
		}
		after(9 * time.Second)
		said.expect(t)
		after(time.Second)
		said.expect(t, "a critical: TTL expired (last output before timeout follows): ok")
		r.Renew("a") // too late
		after(time.Minute)
		said.expect(t)
		r.Renew("unknown")
	})
}

func TestTTLStartsFromAStatus(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *Runner, _ *network, said *news) {
		if err := r.Set("a", Definition{TTL: 10 * time.Second}, Passing); err != nil {
			t.Fatal(err)
		}
		after(10 * time.Second)
		said.expect(t, "a critical: TTL expired")
	})
}

func TestThresholdsInARunner(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *Runner, n *network, said *news) {
		set(t, r, "a", Definition{TCP: "a:1", Interval: 10 * time.Second, SuccessBeforePassing: 3, FailuresBeforeWarning: 1, FailuresBeforeCritical: 3})
		after(20 * time.Second)
		said.expect(t)
		after(10 * time.Second)
		said.expect(t, "a passing: TCP connect a:1: Success")
		n.set(true)
		after(20 * time.Second)
		said.expect(t, "a warning: there is no network")
		after(10 * time.Second)
		said.expect(t, "a critical: there is no network")
	})
}

func TestAliasFollows(t *testing.T) {
	type following struct {
		id    string
		alias Alias
		tell  func([]Aliased, error)
	}
	var followed []following
	stopped := 0
	follow := func(id string, alias Alias, tell func([]Aliased, error)) func() {
		followed = append(followed, following{id, alias, tell})
		return func() { stopped++ }
	}
	bubble(t, follow, func(t *testing.T, r *Runner, _ *network, said *news) {
		set(t, r, "a", Definition{AliasNode: "n", AliasService: "web", Token: "tok"})
		if len(followed) != 1 || followed[0].id != "a" || followed[0].alias != (Alias{"n", "web", "tok"}) {
			t.Fatalf("followed %+v", followed)
		}
		tell := followed[0].tell
		tell([]Aliased{{"x", Passing, ""}}, nil)
		tell([]Aliased{{"x", Passing, ""}, {"y", Passing, ""}}, nil)
		said.expect(t, "a passing: All checks passing.")
		tell(nil, errors.New("no leader"))
		said.expect(t, "a critical: no leader")
		set(t, r, "a", Definition{AliasService: "api"})
		if stopped != 1 || len(followed) != 2 {
			t.Errorf("after a change %d are stopped and %d begun", stopped, len(followed))
		}
		tell(nil, nil)
		said.expect(t)
		r.Remove("a")
		if stopped != 2 {
			t.Errorf("%d are stopped", stopped)
		}
	})
}

func TestChecksThatAreRefused(t *testing.T) {
	r := New(Config{Log: hclog.NewNullLogger(), Update: func(string, string, string) {}})
	for _, def := range []Definition{
		{Args: []string{"true"}, Interval: time.Second},
		{Args: []string{"true"}, DockerContainerID: "c", Interval: time.Second},
	} {
		if err := r.Set("a", def, ""); !errors.Is(err, ErrCommandsDisabled) {
			t.Errorf("%+v: %v", def, err)
		}
	}
	if err := r.Set("a", Definition{AliasService: "web"}, ""); err == nil {
		t.Error("an alias is accepted that nobody follows")
	}
	if err := r.Set("a", Definition{}, ""); err == nil {
		t.Error("a definition is accepted that is wrong")
	}
	if err := r.Set("a", Definition{OSService: "web", Interval: time.Second}, ""); err != nil {
		t.Errorf("os_service counts as a command of the definition: %v", err)
	}
}

func TestRefusedChangeLeavesTheOldCheck(t *testing.T) {
	bubble(t, nil, func(t *testing.T, r *Runner, n *network, _ *news) {
		set(t, r, "a", Definition{TCP: "a:1", Interval: time.Second})
		if err := r.Set("a", Definition{TCP: "nonsense", Interval: time.Second}, ""); err == nil {
			t.Error("accepted")
		}
		after(10 * time.Second)
		if times := n.times("a"); len(times) != 10 {
			t.Errorf("made %d times in 10 s", len(times))
		}
	})
}

func TestLane(t *testing.T) {
	l := &lane{limit: 2}
	c := []*check{{id: "0"}, {id: "1"}, {id: "2"}, {id: "3"}, {id: "4"}}
	for i, want := range []bool{true, true, false, false, false} {
		if l.enter(c[i]) != want {
			t.Errorf("check %d: entered is not %v", i, want)
		}
	}
	c[2].gone = true
	if next := l.leave(); next != c[3] {
		t.Errorf("the next is %+v, want 3: 2 is gone", next)
	}
	if next := l.leave(); next != c[4] {
		t.Errorf("the next is %+v, want 4", next)
	}
	for range 2 {
		if next := l.leave(); next != nil {
			t.Errorf("the next is %+v, and nobody waits", next)
		}
	}
	if l.active != 0 || !l.enter(c[0]) {
		t.Error("places are lost")
	}
}

// Many change checks while they are made; at the end what is said last is how they are.
func TestChangesAtOnce(t *testing.T) {
	var mu sync.Mutex
	last := map[string]string{}
	busy := map[string]bool{}
	n := &network{dials: map[string][]time.Time{}}
	r := New(Config{Log: hclog.NewNullLogger(), Reach: Reach{Dial: n.dial}, Update: func(id, status, _ string) {
		mu.Lock()
		if busy[id] {
			t.Errorf("two calls at a time for %s", id)
		}
		busy[id] = true
		mu.Unlock()
		mu.Lock()
		defer mu.Unlock()
		busy[id], last[id] = false, status
	}})
	ctx, cancel := context.WithCancel(t.Context())
	var run, changes sync.WaitGroup
	run.Go(func() { _ = r.Run(ctx) })
	for g := range 8 {
		changes.Go(func() {
			for i := range 300 {
				id := fmt.Sprint(i % 5)
				switch (i + g) % 4 {
				case 0:
					_ = r.Set(id, Definition{TTL: time.Hour}, "")
				case 1:
					_ = r.Set(id, Definition{TCP: "a:1", Interval: time.Second}, "")
				case 2:
					r.Remove(id)
					mu.Lock()
					delete(last, id)
					mu.Unlock()
				default:
					_ = r.SetTTL(id, []string{Passing, Warning}[i%2], fmt.Sprint(g))
				}
			}
		})
	}
	changes.Wait()
	for id := range 5 {
		if err := r.Set(fmt.Sprint(id), Definition{TTL: time.Hour, Body: "new"}, ""); err != nil {
			t.Fatal(err)
		}
		if err := r.SetTTL(fmt.Sprint(id), Passing, "at last"); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	run.Wait()
	for id, status := range last {
		if status != Passing {
			t.Errorf("%s is %s at last", id, status)
		}
	}
	if len(r.checks) != 5 || len(r.queue) != 5 || len(last) != 5 {
		t.Errorf("%d checks, %d in the queue, %d known: want 5", len(r.checks), len(r.queue), len(last))
	}
}
