//go:build linux

package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/test/lab"
)

// manyClients lets all clients have one address, as they do here. When a machine stands still
// for a second, what is owed meanwhile is sent at once.
var manyClients = lab.Flags("-hcl", "limits { http_max_conns_per_client = 10000 }")

// Calls that are safe to repeat go on at another server, and nobody notices.
func TestRemoteServerThatDiesMidCallIsReplaced(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 1), lab.Servers("beijing", 3), keepServers, manyClients)
	at, beijing := fed.Node("shanghai-s1"), fed.DC("beijing")
	beijing.Put(t, "k", "v")
	readers := startLoad(t, at, 200, "/v1/kv/k?dc=beijing&raw")
	for _, harm := range []struct {
		what     string
		do, undo func(testing.TB, *lab.Node)
	}{
		{"kill a follower", func(t testing.TB, n *lab.Node) { n.Kill(t) }, func(t testing.TB, n *lab.Node) { n.Start(t) }},
		{"freeze a follower", func(t testing.TB, n *lab.Node) { n.Freeze(t) }, func(t testing.TB, n *lab.Node) { n.Thaw(t) }},
		{"stop a follower", func(t testing.TB, n *lab.Node) { n.Stop(t) }, func(t testing.TB, n *lab.Node) { n.Start(t) }},
	} {
		victim := beijing.Followers(t)[0]
		harm.do(t, victim)
		readers.waitAnswers(t, 300)
		harm.undo(t, victim)
		beijing.WaitWhole(t)
		if bad := readers.failures(); len(bad) > 0 {
			t.Errorf("%s: clients noticed: %v", harm.what, bad)
		}
	}
	old := beijing.KillLeader(t)
	readers.waitAnswers(t, 300)
	old.Start(t)
	beijing.WaitWhole(t)
	readers.end()
	if bad := readers.failures(); len(bad) > 0 {
		t.Errorf("kill the leader: clients noticed: %v", bad)
	}
	t.Log("all: " + readers.summary())
}

func TestFrozenDatacenterDoesNotHurtAHealthyOne(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Servers("beijing", 3), manyClients)
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	beijing.Put(t, "k", "v")
	shanghai.Put(t, "k", "v")
	at := shanghai.Followers(t)[0]
	startLoad(t, at, 100, "/v1/kv/k?raw").during(t, "healthy, local", 100)
	startLoad(t, at, 1000, "/v1/kv/k?dc=beijing&raw").during(t, "healthy, remote", 1000)
	memory, goroutines := at.RSS(t), countGoroutines(t, at)

	for _, n := range beijing.Nodes {
		n.Freeze(t)
	}
	remote := startLoad(t, at, 1000, "/v1/kv/k?dc=beijing&raw")
	local := startLoad(t, at, 100, "/v1/kv/k?raw")
	remote.waitAnswers(t, 4000)
	grown := at.RSS(t) - memory
	waitGoroutines(t, at, goroutines+1000+5*remote.mostAtATime())
	local.end()
	remote.end()
	t.Logf("frozen, remote: %s", remote.summary())
	t.Logf("frozen, local: %s", local.summary())
	t.Logf("resident memory grew by %d KB for %d calls at a time", grown>>10, remote.mostAtATime())
	if bad := local.failures(); len(bad) > 0 {
		t.Errorf("local calls failed: %v", bad)
	}
	allowed := []rpc.Reason{rpc.ReasonBreakerOpen, rpc.ReasonNoLiveServer, rpc.ReasonTimeout, rpc.ReasonOverloaded}
	for reason := range remote.failures() {
		if !slices.Contains(allowed, rpc.Reason(reason)) {
			t.Errorf("an error has the reason %q, want one of %q", reason, allowed)
		}
	}
	if remote.good() > 0 {
		t.Errorf("%d calls to a frozen datacenter were answered", remote.good())
	}
	// Calls are bounded by their number and the servers' answers by 2 seconds: what grows
	// beyond the buffers of those that waited at a time grows without bound.
	if allowed := 32<<20 + remote.mostAtATime()*48<<10; grown > allowed {
		t.Errorf("resident memory grew by %d MB, want %d MB at most", grown>>20, allowed>>20)
	}
	for _, n := range beijing.Nodes {
		n.Thaw(t)
	}
	thawed := time.Now()
	for _, n := range shanghai.Nodes {
		n.WaitReaches(t, "beijing")
	}
	t.Logf("all well %v after the thaw", time.Since(thawed).Round(time.Millisecond))
	beijing.WaitWhole(t)
	startLoad(t, at, 200, "/v1/kv/k?dc=beijing&raw").during(t, "thawed, remote", 200)
	waitGoroutines(t, at, goroutines+300)
}

// load is a steady stream of reads that does not wait for answers.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	sent    int
	took    []time.Duration
	answers int
	most    int            // reads that waited at a time
	errors  map[string]int // by reason
}

// mostAtATime is how many reads waited at a time at most.
func (l *load) mostAtATime() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.most
}

// startLoad sends so many reads a second until [load.end].
func startLoad(t *testing.T, n *lab.Node, perSecond int, path string) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, errors: map[string]int{}}
	t.Cleanup(l.end)
	l.done.Go(func() {
		const batch = 10 * time.Millisecond
		tick := time.NewTicker(batch)
		defer tick.Stop()
		begin, sent := time.Now(), 0
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			// A loaded machine ticks late; what is owed is sent then.
			for due := int(time.Since(begin).Seconds() * float64(perSecond)); sent < due; sent++ {
				l.done.Go(func() { l.read(n, path) })
			}
		}
	})
	return l
}

func (l *load) read(n *lab.Node, path string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l.mu.Lock()
	l.sent++
	l.most = max(l.most, l.sent-l.answers)
	l.mu.Unlock()
	begin := time.Now()
	a, err := n.Do(ctx, http.MethodGet, path, "")
	took := time.Since(begin)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers++
	l.took = append(l.took, took)
	switch {
	case err != nil:
		l.errors[err.Error()]++
	case a.Err() != nil:
		l.errors[a.Reason()]++
	case string(a.Body) != "v":
		l.errors["wrong value "+strconv.Quote(string(a.Body))]++
	}
}

// end sends no more, and waits for the answers.
func (l *load) end() {
	l.cancel()
	l.done.Wait()
}

func (l *load) waitAnswers(t *testing.T, more int) {
	t.Helper()
	now := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.answers
	}
	want := now() + more
	lab.Until(t, fmt.Sprintf("%d answers", more), func() error {
		if n := now(); n < want {
			return fmt.Errorf("%d are missing", want-n)
		}
		return nil
	})
}

// during waits for so many answers, ends the load, and wants no failure.
func (l *load) during(t *testing.T, what string, answers int) {
	t.Helper()
	l.waitAnswers(t, answers)
	l.end()
	t.Logf("%s: %s", what, l.summary())
	if bad := l.failures(); len(bad) > 0 {
		t.Errorf("%s: %v", what, bad)
	}
}

func (l *load) failures() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	bad := map[string]int{}
	for reason, n := range l.errors {
		bad[reason] = n
	}
	return bad
}

// good is how many reads were answered. The load has ended.
func (l *load) good() int {
	n := l.answers
	for _, bad := range l.failures() {
		n -= bad
	}
	return n
}

func (l *load) summary() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.took) == 0 {
		return "no answers"
	}
	slices.Sort(l.took)
	at := func(part float64) time.Duration {
		return l.took[int(part*float64(len(l.took)-1))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%d answers, p50 %v, p99 %v, longest %v, errors %v", l.answers, at(.5), at(.99), at(1), l.errors)
}

// waitGoroutines returns once an agent has no more goroutines than that: those of
// connections that were closed are on their way out.
func waitGoroutines(t *testing.T, n *lab.Node, most int) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("%s has %d goroutines at most", n.Name, most), func() error {
		if now := countGoroutines(t, n); now > most {
			return fmt.Errorf("it has %d", now)
		}
		return nil
	})
}

func countGoroutines(t *testing.T, n *lab.Node) int {
	t.Helper()
	var self struct {
		Stats map[string]map[string]string
	}
	if err := json.Unmarshal(n.Get(t, "/v1/agent/self").Body, &self); err != nil {
		t.Fatal(err)
	}
	count, err := strconv.Atoi(strings.TrimSpace(self.Stats["runtime"]["goroutines"]))
	if err != nil {
		t.Fatal(err)
	}
	return count
}
