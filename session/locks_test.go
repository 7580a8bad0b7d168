package session_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// The locks of the usual client, with three servers and two client agents.

// within bounds what a test waits for. Each leader counts the TTL of sessions anew, so one
// that ends by it may take a while where leaders go.
const within = 3 * time.Minute

// closed waits until a channel is closed.
func closed(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(within):
		t.Fatalf("%s: nothing after %v", what, within)
	}
}

func lockAt(t *testing.T, n *lab.Node, opts api.LockOptions) *api.Lock {
	t.Helper()
	l, err := n.API(t).LockOpts(&opts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// take takes a lock, and frees it at the end of the test.
func take(t *testing.T, l *api.Lock) <-chan struct{} {
	t.Helper()
	stop := make(chan struct{})
	timer := time.AfterFunc(within, func() { close(stop) })
	lost, err := l.Lock(stop)
	for lab.LeaderWent(err) {
		lost, err = l.Lock(stop)
	}
	if !timer.Stop() || err != nil || lost == nil {
		t.Fatalf("the lock was not taken: %v", err)
	}
	t.Cleanup(func() {
		_ = l.Unlock() // it may be lost
		closed(t, "whoever watches the lock hears of the end of the test", lost)
	})
	return lost
}

// newSession makes a session at an agent that nobody renews.
func newSession(t *testing.T, n *lab.Node, s *api.SessionEntry) (id string) {
	t.Helper()
	lab.Do(t, "make a session at "+n.Name, func() (err error) {
		id, _, err = n.API(t).Session().Create(s, nil)
		return err
	})
	return id
}

// sessionOf makes a session without checks, of any node.
func sessionOf(t *testing.T, n *lab.Node, s *api.SessionEntry) (id string) {
	t.Helper()
	lab.Do(t, "make a session without checks at "+n.Name, func() (err error) {
		id, _, err = n.API(t).Session().CreateNoChecks(s, nil)
		return err
	})
	return id
}

func destroy(t *testing.T, n *lab.Node, id string) {
	t.Helper()
	lab.Do(t, "destroy a session at "+n.Name, func() error {
		_, err := n.API(t).Session().Destroy(id, nil)
		return err
	})
}

// isRenewed renews a session, and tells whether it is there.
func isRenewed(t *testing.T, n *lab.Node, id string) (s *api.SessionEntry) {
	t.Helper()
	lab.Do(t, "renew a session at "+n.Name, func() (err error) {
		s, _, err = n.API(t).Session().Renew(id, nil)
		return err
	})
	return s
}

func acquire(n *lab.Node, t *testing.T, key, id string) (bool, error) {
	done, _, err := n.API(t).KV().Acquire(&api.KVPair{Key: key, Value: []byte(n.Name), Session: id, Flags: api.LockFlagValue}, nil)
	return done, err
}

// acquires tells whether a key is acquired.
func acquires(t *testing.T, n *lab.Node, key, id string) (done bool) {
	t.Helper()
	lab.Do(t, "acquire "+key, func() (err error) {
		done, err = acquire(n, t, key, id)
		return err
	})
	return done
}

func mustAcquire(t *testing.T, n *lab.Node, key, id string) {
	t.Helper()
	if !acquires(t, n, key, id) {
		t.Fatalf("%s was not acquired", key)
	}
}

// canAcquire waits until a key can be acquired.
func canAcquire(t *testing.T, n *lab.Node, key, id string) {
	t.Helper()
	lab.Until(t, key+" can be acquired at "+n.Name, func() error {
		done, err := acquire(n, t, key, id)
		if err == nil && !done {
			err = errors.New("it is held, or delayed")
		}
		return err
	})
}

func TestTheLocksOfTheUsualClient(t *testing.T) {
	fed := lab.Start(t, lab.Servers("dc1", 3), lab.Clients("dc1", 2))
	nodes := fed.DC("dc1").Nodes
	server, client := nodes[0], nodes[3]
	t.Run("all", func(t *testing.T) { // returns when its parallel parts have ended
		for name, test := range map[string]func(t *testing.T){
			"one holder at a time":                 func(t *testing.T) { contend(t, nodes) },
			"a semaphore has so many slots":        func(t *testing.T) { contendForSlots(t, nodes) },
			"whoever does not renew loses it":      func(t *testing.T) { expire(t, server, client) },
			"the holder hears of the end":          func(t *testing.T) { hear(t, server, client) },
			"a delay, and a stranger's session":    func(t *testing.T) { delay(t, server, client) },
			"a lock of another kind":               func(t *testing.T) { conflict(t, client) },
			"Patroni's leader key":                 func(t *testing.T) { patroni(t, server, client) },
			"Traefik's lock":                       func(t *testing.T) { traefik(t, server, client) },
			"Vault's high availability":            func(t *testing.T) { vault(t, server, client) },
			"sessions are shown to all agents":     func(t *testing.T) { shown(t, nodes) },
			"a check of a service carries a lock":  func(t *testing.T) { byServiceCheck(t, server) },
			"a node that is deregistered drops it": func(t *testing.T) { byNode(t, server) },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t)
			})
		}
	})
}

func contend(t *testing.T, nodes []*lab.Node) {
	const contenders, rounds = 5, 3
	var inside, entered, disturbed atomic.Int32
	var wg sync.WaitGroup
	for i := range contenders {
		n := nodes[i%len(nodes)]
		wg.Go(func() {
			for range rounds {
				l := lockAt(t, n, api.LockOptions{Key: "contend", SessionName: n.Name})
				lost, err := l.Lock(t.Context().Done())
				for ; lab.LeaderWent(err); lost, err = l.Lock(t.Context().Done()) {
					disturbed.Add(1) // it may have been taken, until its session is destroyed
				}
				if err != nil || lost == nil {
					t.Errorf("at %s: %v", n.Name, err)
					return
				}
				if others := inside.Add(1) - 1; others != 0 {
					t.Errorf("%d others hold the lock", others)
				}
				entered.Add(1)
				inside.Add(-1)
				if err := l.Unlock(); lab.LeaderWent(err) {
					disturbed.Add(1) // the end of its session frees it
				} else if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if entered.Load() != contenders*rounds {
		t.Errorf("the lock was held %d times, want %d", entered.Load(), contenders*rounds)
	}
	lab.Until(t, "the lock is free", func() error {
		pair, _, err := nodes[0].API(t).KV().Get("contend", nil)
		if err != nil {
			return err
		}
		more := int32(pair.LockIndex) - contenders*rounds
		switch {
		case more < 0 || more > disturbed.Load():
			t.Fatalf("%+v after %d failures", pair, disturbed.Load())
		case pair.Session != "" && disturbed.Load() == 0:
			t.Fatalf("%+v", pair)
		case pair.Session != "":
			return fmt.Errorf("%s has it", pair.Session)
		}
		return nil
	})
}

func contendForSlots(t *testing.T, nodes []*lab.Node) {
	const contenders, slots, rounds = 5, 2, 2
	var inside, highest, entered atomic.Int32
	var wg sync.WaitGroup
	for i := range contenders {
		n := nodes[i%len(nodes)]
		wg.Go(func() {
			for range rounds {
				s, err := n.API(t).SemaphorePrefix("slots", slots)
				if err != nil {
					t.Error(err)
					return
				}
				lost, err := s.Acquire(t.Context().Done())
				for lab.LeaderWent(err) {
					lost, err = s.Acquire(t.Context().Done())
				}
				if err != nil || lost == nil {
					t.Errorf("at %s: %v", n.Name, err)
					return
				}
				now := inside.Add(1)
				highest.Store(max(highest.Load(), now))
				if entered.Add(1); now > slots {
					t.Errorf("%d hold a slot", now)
				}
				inside.Add(-1)
				if err := s.Release(); err != nil && !lab.LeaderWent(err) { // then the end of its session frees it
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if entered.Load() != contenders*rounds {
		t.Errorf("slots were held %d times", entered.Load())
	}
	s, err := nodes[0].API(t).SemaphorePrefix("slots", slots+1)
	if err != nil {
		t.Fatal(err)
	}
	lab.Do(t, "ask for another number of slots", func() error {
		_, err := s.Acquire(nil)
		if lab.LeaderWent(err) {
			return err
		}
		if err == nil || !strings.Contains(err.Error(), "limit conflict") {
			t.Errorf("another number of slots: %v", err)
		}
		return nil
	})
}

func expire(t *testing.T, server, client *lab.Node) {
	id := newSession(t, client, &api.SessionEntry{TTL: "10s", LockDelay: time.Millisecond})
	mustAcquire(t, client, "expire", id)
	next := lockAt(t, server, api.LockOptions{Key: "expire"})
	take(t, next)
	if s, _, err := server.API(t).Session().Info(id, nil); s != nil || err != nil {
		t.Errorf("the session is still there: %+v, %v", s, err)
	}
	if s := isRenewed(t, client, id); s != nil {
		t.Errorf("a session that is gone was renewed: %+v", s)
	}
	if err := client.API(t).Session().RenewPeriodic("10ms", id, nil, nil); err != api.ErrSessionExpired {
		t.Errorf("its holder is told %v", err)
	}
}

// hear has a lock taken from its holder in every way there is.
func hear(t *testing.T, server, client *lab.Node) {
	s := server.API(t)
	for name, end := range map[string]func(key, id string) error{
		"destroyed": func(_, id string) error { _, err := s.Session().Destroy(id, nil); return err },
		"released": func(key, id string) error {
			_, _, err := s.KV().Release(&api.KVPair{Key: key, Session: id}, nil)
			return err
		},
		"deleted": func(key, _ string) error { _, err := s.KV().Delete(key, nil); return err },
		"tree":    func(_, _ string) error { _, err := s.KV().DeleteTree("hear/tree", nil); return err },
		"in a transaction": func(_, id string) error {
			_, err := s.Raw().Write("/v1/txn", []any{map[string]any{"Session": map[string]any{"Verb": "delete", "Session": map[string]string{"ID": id}}}}, nil, nil)
			return err
		},
	} {
		for _, behavior := range []string{api.SessionBehaviorRelease, api.SessionBehaviorDelete} {
			key := "hear/" + name + "/" + behavior
			id := newSession(t, client, &api.SessionEntry{Behavior: behavior})
			lost := take(t, lockAt(t, client, api.LockOptions{Key: key, Session: id, MonitorRetries: 20}))
			select {
			case <-lost:
				t.Fatalf("%s, %s: lost at once", name, behavior)
			default:
			}
			again := false
			lab.Do(t, key, func() error {
				err := end(key, id)
				if again && !lab.LeaderWent(err) {
					return nil // whatever it says of what is done already
				}
				again = true
				return err
			})
			closed(t, key, lost)
		}
	}
}

func delay(t *testing.T, server, client *lab.Node) {
	next := newSession(t, server, nil)
	id := newSession(t, client, &api.SessionEntry{LockDelay: 15 * time.Second}) // others wait as long meanwhile
	mustAcquire(t, client, "delay", id)
	if acquires(t, server, "delay", next) {
		t.Fatal("a lock that is held was acquired")
	}
	destroy(t, client, id)
	if acquires(t, server, "delay", next) {
		t.Fatal("a lock was acquired during its delay")
	}
	canAcquire(t, server, "delay", next)
	for _, stranger := range []string{"", id, "00000000-0000-4000-8000-00000000dead"} {
		var err error
		lab.Do(t, "acquire as a stranger", func() error {
			if _, _, err = client.API(t).KV().Acquire(&api.KVPair{Key: "stranger", Session: stranger}, nil); lab.LeaderWent(err) {
				return err
			}
			return nil
		})
		status, ok := errors.AsType[api.StatusError](err)
		if stranger == "" && err == nil { // the client leaves the parameter out
			continue
		}
		if !ok || status.Code != http.StatusInternalServerError || !strings.HasPrefix(status.Body, "invalid session") {
			t.Errorf("acquired by %q: %v", stranger, err)
		}
	}
}

func conflict(t *testing.T, client *lab.Node) {
	lab.Do(t, "a key that is no lock", func() error {
		_, err := client.API(t).KV().Put(&api.KVPair{Key: "conflict", Flags: 1}, nil)
		return err
	})
	// unless is what a call of the library ends with, but for a leader that goes.
	unless := func(call func() error) (err error) {
		lab.Do(t, "a call of the library", func() error {
			if err = call(); lab.LeaderWent(err) {
				return err
			}
			return nil
		})
		return err
	}
	if err := unless(func() error { _, err := lockAt(t, client, api.LockOptions{Key: "conflict"}).Lock(nil); return err }); err != api.ErrLockConflict {
		t.Errorf("%v", err)
	}
	held := lockAt(t, client, api.LockOptions{Key: "destroy"})
	take(t, held)
	if err := unless(lockAt(t, client, api.LockOptions{Key: "destroy"}).Destroy); err != api.ErrLockInUse {
		t.Errorf("a lock that is held was destroyed: %v", err)
	}
	once := lockAt(t, client, api.LockOptions{Key: "destroy", LockTryOnce: true, LockWaitTime: 50 * time.Millisecond})
	var lost <-chan struct{}
	if err := unless(func() (err error) { lost, err = once.Lock(nil); return err }); lost != nil || err != nil {
		t.Errorf("a try that must fail: %v", err)
	}
	if err := held.Unlock(); err != nil && !lab.LeaderWent(err) { // then the end of its session frees it
		t.Fatal(err)
	}
	lab.Until(t, "a lock that is free is destroyed", held.Destroy)
}

func shown(t *testing.T, nodes []*lab.Node) {
	client := nodes[len(nodes)-1]
	id := newSession(t, client, &api.SessionEntry{Name: "shown"})
	for _, n := range nodes {
		s := n.API(t).Session()
		info, _, err := s.Info(id, nil)
		if err != nil || info == nil || info.Node != client.Name || info.LockDelay != 15*time.Second || info.Behavior != "release" || !slices.Equal(info.NodeChecks, []string{"serfHealth"}) {
			t.Fatalf("at %s: %+v, %v", n.Name, info, err)
		}
		of, _, err := s.Node(client.Name, nil)
		all, _, err2 := s.List(nil)
		if is := func(e *api.SessionEntry) bool { return e.ID == id }; err != nil || err2 != nil || !slices.ContainsFunc(of, is) || !slices.ContainsFunc(all, is) {
			t.Errorf("at %s it is not listed: %v, %v", n.Name, err, err2)
		}
	}
	none := sessionOf(t, client, nil)
	if info, _, err := client.API(t).Session().Info(none, nil); err != nil || len(info.NodeChecks) != 0 {
		t.Errorf("%+v, %v", info, err)
	}
}

func byServiceCheck(t *testing.T, server *lab.Node) {
	register := func(status string) {
		t.Helper()
		lab.Do(t, "register an instance that is "+status, func() error {
			_, err := server.API(t).Catalog().Register(&api.CatalogRegistration{
				Node: "external", Address: "10.0.0.1", Service: &api.AgentService{Service: "db"},
				Checks: api.HealthChecks{{Node: "external", CheckID: "db", Name: "db", ServiceID: "db", Status: status}},
			}, nil)
			return err
		})
	}
	register("passing")
	id := sessionOf(t, server, &api.SessionEntry{Node: "external", LockDelay: time.Millisecond})
	var made struct{ ID string }
	body := map[string]any{"Node": "external", "NodeChecks": []string{}, "ServiceChecks": []map[string]string{{"ID": "db"}}, "LockDelay": "1ms"}
	lab.Do(t, "make a session of a check", func() error {
		_, err := server.API(t).Raw().Write("/v1/session/create", body, &made, nil)
		return err
	})
	mustAcquire(t, server, "by-node", id)
	mustAcquire(t, server, "by-check", made.ID)
	register("warning")
	next := newSession(t, server, nil)
	if acquires(t, server, "by-check", next) {
		t.Fatal("a warning freed the lock")
	}
	register("critical")
	canAcquire(t, server, "by-check", next)
	if acquires(t, server, "by-node", next) {
		t.Fatal("the check freed a lock that it has no part in")
	}
	deregister(t, server, "external")
	canAcquire(t, server, "by-node", next)
}

func deregister(t *testing.T, n *lab.Node, node string) {
	t.Helper()
	lab.Do(t, "deregister "+node, func() error {
		_, err := n.API(t).Catalog().Deregister(&api.CatalogDeregistration{Node: node}, nil)
		return err
	})
}

func byNode(t *testing.T, server *lab.Node) {
	lab.Do(t, "register a node", func() error {
		_, err := server.API(t).Catalog().Register(&api.CatalogRegistration{Node: "passing-by", Address: "10.0.0.2"}, nil)
		return err
	})
	id := sessionOf(t, server, &api.SessionEntry{Node: "passing-by", LockDelay: time.Millisecond})
	lost := take(t, lockAt(t, server, api.LockOptions{Key: "passing-by", Session: id}))
	deregister(t, server, "passing-by")
	closed(t, "the holder hears of its node's end", lost)
}

// The page on sessions shows commands, and what they answer.
func TestThePageShowsWhatHappens(t *testing.T) {
	page, err := os.ReadFile("../docs/sessions.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?m)^\$ curl -X PUT -d '([^']*)' '?localhost:8500([^' \n]*)'?\n(.*)$`).FindAllStringSubmatch(string(page), -1)
	if len(shown) != 2 {
		t.Fatalf("the page shows %d requests", len(shown))
	}
	n := lab.Start(t, lab.Servers("dc1", 1)).Node("dc1-s1")
	id := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)
	ours := "none"
	for _, s := range shown {
		a, err := n.Do(t.Context(), "PUT", id.ReplaceAllLiteralString(s[2], ours), s[1])
		if err != nil || id.ReplaceAllLiteralString(string(a.Body), "ID") != id.ReplaceAllLiteralString(s[3], "ID") {
			t.Fatalf("%s answered %s (%v), the page shows %s", s[0], a.Body, err, s[3])
		}
		if found := id.FindString(string(a.Body)); found != "" {
			ours = found
		}
	}
}
