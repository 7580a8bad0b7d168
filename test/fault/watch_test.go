//go:build linux

package fault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hanse-project/hanse/test/lab"
)

// watch asks at n for what is above index, and hands over the answer.
func watch(t *testing.T, n *lab.Node, path string, index uint64) <-chan *lab.Answer {
	t.Helper()
	answer := make(chan *lab.Answer, 1)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() {
		defer close(answer)
		a, err := n.Do(ctx, http.MethodGet, fmt.Sprintf("%s&wait=5m&index=%d", path, index), "")
		if err == nil {
			answer <- a
		} else if ctx.Err() == nil {
			t.Errorf("watch %s: %v", path, err)
		}
	}()
	return answer
}

func TestWatchesAcrossDatacentersWakeForTheirOwnOnly(t *testing.T) {
	fed := lab.Start(t, lab.Steady(), lab.Servers("shanghai", 1), lab.Clients("shanghai", 1), lab.Servers("beijing", 3))
	at, beijing := fed.Node("shanghai-c1"), fed.DC("beijing")
	for _, key := range []string{"a/1", "a/2", "b/1"} {
		beijing.Put(t, key, "0")
	}
	watches := map[string]struct {
		path string
		own  string // what wakes it
	}{
		"a key":                 {"/v1/kv/a/1?dc=beijing", "a/1"},
		"a key that is not yet": {"/v1/kv/e/9?dc=beijing", "e/9"},
		"a prefix":              {"/v1/kv/b/?dc=beijing&recurse", "b/2"},
		"the keys of a prefix":  {"/v1/kv/c/?dc=beijing&keys", "c/1"},
		"the feed of a prefix":  {"/v1/kv/f/?dc=beijing&changes", "f/1"},
	}
	answers := map[string]<-chan *lab.Answer{}
	indexes := map[string]uint64{}
	for name, w := range watches {
		indexes[name] = at.Get(t, w.path).Index()
		answers[name] = watch(t, at, w.path, indexes[name])
	}
	for i := range 50 {
		beijing.Put(t, "a/2", fmt.Sprint(i))
		beijing.Put(t, "d/"+fmt.Sprint(i), "")
	}
	for name, w := range watches {
		select {
		case a := <-answers[name]:
			t.Errorf("%s woke for what it does not watch: %+v", name, a)
			continue
		default:
		}
		beijing.Put(t, w.own, "woken")
		select {
		case a := <-answers[name]:
			if a == nil || a.Status != http.StatusOK || a.Index() <= indexes[name] {
				t.Errorf("%s: %+v after index %d", name, a, indexes[name])
			}
		case <-time.After(time.Minute):
			t.Errorf("%s did not wake for %s within a minute", name, w.own)
		}
	}
}

// follower follows one path by blocking queries at changing servers, and complains about
// an index that is 0 or falls.
type follower struct {
	path  string
	index uint64
	seen  atomic.Int64
}

func (f *follower) run(ctx context.Context, t *testing.T, nodes []*lab.Node) {
	for ctx.Err() == nil {
		n := nodes[rand.IntN(len(nodes))]
		if !n.Running() {
			continue
		}
		asked, cancel := context.WithTimeout(ctx, 5*time.Second)
		a, err := n.Do(asked, http.MethodGet, fmt.Sprintf("%s&wait=1s&index=%d", f.path, f.index), "")
		cancel()
		if err != nil || a.Err() != nil {
			continue // servers are being killed
		}
		switch index := a.Index(); {
		case index == 0:
			t.Errorf("%s: index 0 at %s", f.path, n.Name)
		case index < f.index:
			t.Errorf("%s: the index fell from %d to %d at %s", f.path, f.index, index, n.Name)
		default:
			f.index = index
		}
		f.seen.Add(1)
	}
}

func TestIndexNeverFallsOverLeaderChangesAndRestarts(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Servers("beijing", 1), keepServers)
	shanghai := fed.DC("shanghai")
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	w := begin(t, 3, shanghai.Nodes...)
	var followers []*follower
	for _, path := range []string{"/v1/kv/" + w.prefix + "/0-0?", "/v1/kv/" + w.prefix + "/?recurse", "/v1/kv/fault?keys", "/v1/kv/none?",
		"/v1/catalog/nodes?", "/v1/catalog/services?", "/v1/health/state/any?"} {
		local, remote := &follower{path: path}, &follower{path: path + "&dc=shanghai"}
		running.Go(func() { local.run(ctx, t, shanghai.Nodes) })
		running.Go(func() { remote.run(ctx, t, fed.DC("beijing").Nodes) })
		followers = append(followers, local, remote)
	}
	old := shanghai.KillLeader(t)
	w.waitAcked(t, 100)
	old.Start(t)
	shanghai.WaitWhole(t)
	for _, n := range shanghai.Nodes {
		n.Kill(t)
	}
	fed.Launch(t)
	w.waitAcked(t, 100)
	for _, f := range followers {
		more := f.seen.Load() + 2
		lab.Until(t, "the follower of "+f.path+" gets answers", func() error {
			if f.seen.Load() < more {
				return errors.New("not yet")
			}
			return nil
		})
	}
	cancel()
	running.Wait()
	w.check(t)
}
