package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// The locks of the usual client, with three servers and two client agents.

// within bounds what a test waits for.
const within = time.Minute

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
func newSession(t *testing.T, n *lab.Node, s *api.SessionEntry) string {
	t.Helper()
	id, _, err := n.API(t).Session().Create(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func acquire(n *lab.Node, t *testing.T, key, id string) (bool, error) {
	done, _, err := n.API(t).KV().Acquire(&api.KVPair{Key: key, Value: []byte(n.Name), Session: id, Flags: api.LockFlagValue}, nil)
	return done, err
}

func mustAcquire(t *testing.T, n *lab.Node, key, id string) {
	t.Helper()
	if done, err := acquire(n, t, key, id); err != nil || !done {
		t.Fatalf("%s was not acquired: %v", key, err)
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
	var inside, entered atomic.Int32
	var wg sync.WaitGroup
	for i := range contenders {
		n := nodes[i%len(nodes)]
		wg.Go(func() {
			for range rounds {
				l := lockAt(t, n, api.LockOptions{Key: "contend", SessionName: n.Name})
				if lost, err := l.Lock(t.Context().Done()); err != nil || lost == nil {
					t.Errorf("at %s: %v", n.Name, err)
					return
				}
				if others := inside.Add(1) - 1; others != 0 {
					t.Errorf("%d others hold the lock", others)
				}
				entered.Add(1)
				inside.Add(-1)
				if err := l.Unlock(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if entered.Load() != contenders*rounds {
		t.Errorf("the lock was held %d times, want %d", entered.Load(), contenders*rounds)
	}
	pair, _, err := nodes[0].API(t).KV().Get("contend", nil)
	if err != nil || pair.LockIndex != contenders*rounds || pair.Session != "" {
		t.Errorf("%+v, %v", pair, err)
	}
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
				if lost, err := s.Acquire(t.Context().Done()); err != nil || lost == nil {
					t.Errorf("at %s: %v", n.Name, err)
					return
				}
				now := inside.Add(1)
				highest.Store(max(highest.Load(), now))
				if entered.Add(1); now > slots {
					t.Errorf("%d hold a slot", now)
				}
				inside.Add(-1)
				if err := s.Release(); err != nil {
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
	if _, err := s.Acquire(nil); err == nil || !strings.Contains(err.Error(), "limit conflict") {
		t.Errorf("another number of slots: %v", err)
	}
}

func expire(t *testing.T, server, client *lab.Node) {
	id := newSession(t, client, &api.SessionEntry{TTL: "10s", LockDelay: time.Millisecond})
	mustAcquire(t, client, "expire", id)
	next := lockAt(t, server, api.LockOptions{Key: "expire"})
	take(t, next)
	if s, _, err := server.API(t).Session().Info(id, nil); s != nil || err != nil {
		t.Errorf("the session is still there: %+v, %v", s, err)
	}
	if s, _, err := client.API(t).Session().Renew(id, nil); s != nil || err != nil {
		t.Errorf("a session that is gone was renewed: %+v, %v", s, err)
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
			lost := take(t, lockAt(t, client, api.LockOptions{Key: key, Session: id}))
			select {
			case <-lost:
				t.Fatalf("%s, %s: lost at once", name, behavior)
			default:
			}
			if err := end(key, id); err != nil {
				t.Fatal(err)
			}
			closed(t, key, lost)
		}
	}
}

func delay(t *testing.T, server, client *lab.Node) {
	next := newSession(t, server, nil)
	id := newSession(t, client, &api.SessionEntry{LockDelay: 2 * time.Second})
	mustAcquire(t, client, "delay", id)
	if done, err := acquire(server, t, "delay", next); done || err != nil {
		t.Fatalf("a lock that is held was acquired: %v, %v", done, err)
	}
	if _, err := client.API(t).Session().Destroy(id, nil); err != nil {
		t.Fatal(err)
	}
	if done, err := acquire(server, t, "delay", next); done || err != nil {
		t.Fatalf("a lock was acquired during its delay: %v, %v", done, err)
	}
	canAcquire(t, server, "delay", next)
	for _, stranger := range []string{"", id, "00000000-0000-4000-8000-00000000dead"} {
		_, _, err := client.API(t).KV().Acquire(&api.KVPair{Key: "stranger", Session: stranger}, nil)
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
	if _, err := client.API(t).KV().Put(&api.KVPair{Key: "conflict", Flags: 1}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := lockAt(t, client, api.LockOptions{Key: "conflict"}).Lock(nil); err != api.ErrLockConflict {
		t.Errorf("%v", err)
	}
	held := lockAt(t, client, api.LockOptions{Key: "destroy"})
	take(t, held)
	if err := lockAt(t, client, api.LockOptions{Key: "destroy"}).Destroy(); err != api.ErrLockInUse {
		t.Errorf("a lock that is held was destroyed: %v", err)
	}
	once := lockAt(t, client, api.LockOptions{Key: "destroy", LockTryOnce: true, LockWaitTime: 50 * time.Millisecond})
	if lost, err := once.Lock(nil); lost != nil || err != nil {
		t.Errorf("a try that must fail: %v", err)
	}
	if err := held.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := held.Destroy(); err != nil {
		t.Errorf("a lock that is free was not destroyed: %v", err)
	}
}

// patroni keeps its leader key alive by a session whose end deletes the key, and reads
// what went wrong from the beginning of an error's text.
func patroni(t *testing.T, server, client *lab.Node) {
	do := func(n *lab.Node, method, path, body string) *lab.Answer {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		a, err := n.Do(ctx, method, path, body)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := do(client, "PUT", "/v1/session/create", `{"name":"batman-pg1","checks":[],"lockdelay":"0.001s","behavior":"delete","ttl":"1.0s"}`); a.Status != 500 || !strings.HasPrefix(string(a.Body), "Invalid Session TTL") {
		t.Fatalf("a short TTL: %d %s", a.Status, a.Body)
	}
	create := func(n *lab.Node) string {
		t.Helper()
		a := do(n, "PUT", "/v1/session/create", `{"name":"batman-pg1","checks":[],"lockdelay":"0.001s","behavior":"delete","ttl":"15.0s"}`)
		if a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		return string(a.Body[len(`{"ID":"`) : len(a.Body)-2])
	}
	one, two := create(client), create(server)
	acquire := func(n *lab.Node, id string) string {
		t.Helper()
		return string(do(n, "PUT", "/v1/kv/service/batman/leader?acquire="+id, "pg1").Body)
	}
	if got := acquire(client, one); got != "true" {
		t.Fatal(got)
	}
	if got := acquire(server, two); got != "false" {
		t.Fatal(got)
	}
	if a := do(client, "PUT", "/v1/session/renew/"+one, ""); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	// A replica waits on the leader key by its own ModifyIndex.
	leader := do(server, "GET", "/v1/kv/service/batman/leader?consistent=1", "")
	waiting := make(chan *lab.Answer, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		a, err := server.Do(ctx, "GET", fmt.Sprintf("/v1/kv/service/batman/leader?wait=30.5s&index=%d", leader.Index()), "")
		if err != nil {
			a = &lab.Answer{Body: []byte(err.Error())}
		}
		waiting <- a
	}()
	do(client, "PUT", "/v1/session/destroy/"+one, "")
	if a := <-waiting; a.Status != 404 || a.Index() <= leader.Index() {
		t.Fatalf("the end of the leader's session: %d %s at %d", a.Status, a.Body, a.Index())
	}
	lab.Until(t, "the replica leads", func() error {
		if got := acquire(server, two); got != "true" {
			return errors.New(got)
		}
		return nil
	})
	if a := do(client, "PUT", "/v1/kv/service/batman/leader?acquire="+one, "pg1"); a.Status != 500 || !strings.HasPrefix(string(a.Body), "invalid session") {
		t.Errorf("an acquisition by a session that is gone: %d %s", a.Status, a.Body)
	}
	if a := do(client, "PUT", "/v1/session/renew/"+one, ""); a.Status != 404 {
		t.Errorf("its renewal: %d %s", a.Status, a.Body)
	}
}

// traefik locks through kvtools: a session with a delay of a millisecond that is renewed
// at half its TTL, and entries that live as long as it.
func traefik(t *testing.T, server, client *lab.Node) {
	id := newSession(t, client, &api.SessionEntry{Behavior: api.SessionBehaviorDelete, TTL: (20 * time.Second / 2).String(), LockDelay: time.Millisecond})
	kv := client.API(t).KV()
	for _, key := range []string{"traefik/acme/lock", "traefik/http/routers/a"} {
		if done, _, err := kv.Acquire(&api.KVPair{Key: key, Value: []byte("x"), Session: id, Flags: api.LockFlagValue}, nil); !done || err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	if s, _, err := client.API(t).Session().Renew(id, nil); err != nil || s == nil || s.TTL != "10s" || s.LockDelay != time.Millisecond {
		t.Fatalf("%+v, %v", s, err)
	}
	if pairs, _, err := server.API(t).KV().List("traefik/", &api.QueryOptions{RequireConsistent: true}); err != nil || len(pairs) != 2 {
		t.Fatalf("%v, %v", pairs, err)
	}
	next := lockAt(t, server, api.LockOptions{Key: "traefik/acme/lock", SessionTTL: "20s"})
	go func() { _, _ = client.API(t).Session().Destroy(id, nil) }()
	take(t, next)
	if pairs, _, err := server.API(t).KV().List("traefik/http", nil); err != nil || len(pairs) != 0 {
		t.Errorf("entries outlived their session: %v, %v", pairs, err)
	}
}

// vault fences its writes: each says in the same transaction whose lock it is under.
func vault(t *testing.T, server, client *lab.Node) {
	lock := lockAt(t, client, api.LockOptions{Key: "vault/core/lock", Value: []byte("active"), MonitorRetries: 5, SessionName: "Vault Lock", SessionTTL: "15s"})
	lost := take(t, lock)
	pair, _, err := client.API(t).KV().Get("vault/core/lock", nil)
	if err != nil {
		t.Fatal(err)
	}
	fenced := func(n *lab.Node, ops ...*api.KVTxnOp) (bool, *api.TxnResponse) {
		t.Helper()
		all := api.TxnOps{{KV: &api.KVTxnOp{Verb: api.KVCheckSession, Key: "vault/core/lock", Session: pair.Session}}}
		for _, op := range ops {
			all = append(all, &api.TxnOp{KV: op})
		}
		ok, rep, _, err := n.API(t).Txn().Txn(all, nil)
		if err != nil {
			t.Fatal(err)
		}
		return ok, rep
	}
	many := slices.Repeat([]*api.KVTxnOp{{Verb: api.KVSet, Key: "vault/data", Value: []byte("1")}}, 127)
	if ok, rep := fenced(client, many...); !ok {
		t.Fatalf("%+v", rep.Errors)
	}
	if ok, rep := fenced(server, &api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: "vault/none"}); !ok || len(rep.Results) != 2 || rep.Results[0].KV.Session != pair.Session || rep.Results[1].KV.Value != nil {
		t.Fatalf("%+v", rep)
	}
	if _, err := server.API(t).Session().Destroy(pair.Session, nil); err != nil {
		t.Fatal(err)
	}
	if ok, rep := fenced(client, &api.KVTxnOp{Verb: api.KVSet, Key: "vault/data", Value: []byte("2")}); ok || len(rep.Errors) != 1 || rep.Errors[0].OpIndex != 0 {
		t.Errorf("a write without the lock: %v %+v", ok, rep)
	}
	closed(t, "Vault hears of the loss", lost)
	if pair, _, err := client.API(t).KV().Get("vault/data", nil); err != nil || string(pair.Value) != "1" {
		t.Errorf("%+v, %v", pair, err)
	}
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
	none, _, err := client.API(t).Session().CreateNoChecks(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if info, _, err := client.API(t).Session().Info(none, nil); err != nil || len(info.NodeChecks) != 0 {
		t.Errorf("%+v, %v", info, err)
	}
}

func byServiceCheck(t *testing.T, server *lab.Node) {
	register := func(status string) {
		t.Helper()
		_, err := server.API(t).Catalog().Register(&api.CatalogRegistration{
			Node: "external", Address: "10.0.0.1", Service: &api.AgentService{Service: "db"},
			Checks: api.HealthChecks{{Node: "external", CheckID: "db", Name: "db", ServiceID: "db", Status: status}},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	register("passing")
	id, _, err := server.API(t).Session().CreateNoChecks(&api.SessionEntry{Node: "external", LockDelay: time.Millisecond}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var made struct{ ID string }
	body := map[string]any{"Node": "external", "NodeChecks": []string{}, "ServiceChecks": []map[string]string{{"ID": "db"}}, "LockDelay": "1ms"}
	if _, err := server.API(t).Raw().Write("/v1/session/create", body, &made, nil); err != nil {
		t.Fatal(err)
	}
	mustAcquire(t, server, "by-node", id)
	mustAcquire(t, server, "by-check", made.ID)
	register("warning")
	next := newSession(t, server, nil)
	if done, err := acquire(server, t, "by-check", next); done || err != nil {
		t.Fatalf("a warning freed the lock: %v, %v", done, err)
	}
	register("critical")
	canAcquire(t, server, "by-check", next)
	if done, err := acquire(server, t, "by-node", next); done || err != nil {
		t.Fatalf("the check freed a lock that it has no part in: %v, %v", done, err)
	}
	if _, err := server.API(t).Catalog().Deregister(&api.CatalogDeregistration{Node: "external"}, nil); err != nil {
		t.Fatal(err)
	}
	canAcquire(t, server, "by-node", next)
}

func byNode(t *testing.T, server *lab.Node) {
	c := server.API(t)
	if _, err := c.Catalog().Register(&api.CatalogRegistration{Node: "passing-by", Address: "10.0.0.2"}, nil); err != nil {
		t.Fatal(err)
	}
	id, _, err := c.Session().CreateNoChecks(&api.SessionEntry{Node: "passing-by", LockDelay: time.Millisecond}, nil)
	if err != nil {
		t.Fatal(err)
	}
	lost := take(t, lockAt(t, server, api.LockOptions{Key: "passing-by", Session: id}))
	if _, err := c.Catalog().Deregister(&api.CatalogDeregistration{Node: "passing-by"}, nil); err != nil {
		t.Fatal(err)
	}
	closed(t, "the holder hears of its node's end", lost)
}

func TestTheLockOfADeadAgentIsFreed(t *testing.T) {
	fed := lab.Start(t, lab.Servers("dc1", 3), lab.Clients("dc1", 2), lab.QuickGossip())
	dead, alive := fed.Node("dc1-c1"), fed.Node("dc1-c2")
	id := newSession(t, dead, &api.SessionEntry{LockDelay: time.Millisecond})
	mustAcquire(t, dead, "k", id)
	dead.Kill(t)
	take(t, lockAt(t, alive, api.LockOptions{Key: "k"}))
	if s, _, err := alive.API(t).Session().Info(id, nil); s != nil || err != nil {
		t.Errorf("its session is still there: %+v, %v", s, err)
	}
	// An agent that leaves takes its sessions along.
	dead.Start(t)
	fed.DC("dc1").WaitWhole(t)
	for _, n := range fed.DC("dc1").Servers() {
		n.WaitHealth(t, dead.Name, "passing")
	}
	mustAcquire(t, dead, "left", newSession(t, dead, &api.SessionEntry{LockDelay: time.Millisecond}))
	if err := dead.API(t).Agent().Leave(); err != nil {
		t.Fatal(err)
	}
	dead.WaitEnd(t)
	take(t, lockAt(t, alive, api.LockOptions{Key: "left"}))
}

// A holder that is cut off from the servers is told so, well before it could believe for
// minutes to hold what somebody else holds by now.
func TestALockIsNotLostUnnoticed(t *testing.T) {
	fed := lab.Start(t, lab.Servers("dc1", 3), lab.Clients("dc1", 2), lab.QuickGossip())
	dc := fed.DC("dc1")
	away, near := fed.Node("dc1-c1"), fed.Node("dc1-c2")
	lost := take(t, lockAt(t, away, api.LockOptions{Key: "k", LockDelay: time.Millisecond}))
	for _, n := range append(dc.Servers(), near) {
		fed.Cut(t, away.Name, n.Name)
	}
	next := take(t, lockAt(t, near, api.LockOptions{Key: "k"}))
	closed(t, "the holder that was cut off hears of it", lost)
	// The end of a session is told by whichever server is asked, also when it comes with
	// the end of the leader.
	pair, _, err := near.API(t).KV().Get("k", nil)
	if err != nil {
		t.Fatal(err)
	}
	leader := dc.Leader(t)
	if _, err := leader.API(t).Session().Destroy(pair.Session, nil); err != nil {
		t.Fatal(err)
	}
	leader.Kill(t)
	closed(t, "the holder hears of the end of its session", next)
}

// A session is made, and locks, in the datacenter that is asked.
func TestLocksInAnotherDatacenter(t *testing.T) {
	fed := lab.Start(t, lab.Servers("dc1", 1), lab.Clients("dc1", 1), lab.Servers("dc2", 1))
	c, there := fed.Node("dc1-c1").API(t), &api.WriteOptions{Datacenter: "dc2"}
	if _, _, err := c.Session().Create(nil, there); err == nil || !strings.Contains(err.Error(), "apply failed: Missing node registration") {
		t.Errorf("by a node of ours: %v", err)
	}
	entry := &api.SessionEntry{Node: "dc2-s1", TTL: "10s", LockDelay: time.Millisecond}
	id, _, err := c.Session().Create(entry, there)
	if err != nil {
		t.Fatal(err)
	}
	if done, _, err := c.KV().Acquire(&api.KVPair{Key: "k", Session: id}, there); !done || err != nil {
		t.Fatalf("%v, %v", done, err)
	}
	if s, _, err := c.Session().Renew(id, there); s == nil || err != nil {
		t.Errorf("it is not renewed: %v", err)
	}
	if s, _, err := c.Session().Renew(id, nil); s != nil || err != nil {
		t.Errorf("it is renewed in the wrong place: %+v, %v", s, err)
	}
	if _, _, err := c.KV().Acquire(&api.KVPair{Key: "k", Session: "none"}, there); err == nil || !strings.Contains(err.Error(), "(invalid session") {
		t.Errorf("the text of an error from there: %v", err)
	}
	if pair, _, err := fed.Node("dc2-s1").API(t).KV().Get("k", nil); err != nil || pair.Session != id {
		t.Errorf("%+v, %v", pair, err)
	}
	if _, err := c.Session().Destroy(id, there); err != nil {
		t.Fatal(err)
	}
	if pair, _, err := c.KV().Get("k", &api.QueryOptions{Datacenter: "dc2"}); err != nil || pair.Session != "" {
		t.Errorf("%+v, %v", pair, err)
	}
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

// A leader that was cut off a moment ago believes in itself still. What it renewed would
// be renewed nowhere else.
func TestALeaderThatIsCutOffRenewsNothing(t *testing.T) {
	fed := lab.Start(t, lab.Servers("dc1", 3))
	dc := fed.DC("dc1")
	leader := dc.Leader(t)
	id, _, err := leader.API(t).Session().CreateNoChecks(&api.SessionEntry{TTL: "1h"}, nil) // gossip must not end it
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range dc.Followers(t) {
		fed.Cut(t, leader.Name, n.Name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	a, err := leader.Do(ctx, "PUT", "/v1/session/renew/"+id, "")
	if err != nil || a.Status != 500 || a.Reason() != "no_leader" {
		t.Errorf("%+v, %v", a, err)
	}
	for _, n := range dc.Servers() {
		if n != leader {
			fed.Heal(t, leader.Name, n.Name)
		}
	}
	lab.Until(t, "it is renewed", func() error {
		s, _, err := leader.API(t).Session().Renew(id, nil)
		if err == nil && s == nil {
			t.Fatal("it is gone")
		}
		return err
	})
}

func TestALockOutlivesItsLeader(t *testing.T) {
	fed := lab.Start(t, lab.Servers("dc1", 3), lab.Clients("dc1", 2))
	dc := fed.DC("dc1")
	one, two := fed.Node("dc1-c1"), fed.Node("dc1-c2")
	lost := take(t, lockAt(t, one, api.LockOptions{Key: "k", MonitorRetries: 20, MonitorRetryTime: 500 * time.Millisecond, SessionTTL: "10s"}))
	before, _, err := one.API(t).KV().Get("k", nil)
	if err != nil {
		t.Fatal(err)
	}
	other := newSession(t, two, &api.SessionEntry{TTL: "1h"})
	for range 2 {
		dc.KillLeader(t).Start(t)
		dc.WaitWhole(t)
	}
	for _, n := range dc.Servers() { // all of them, one by one and then at once
		n.Restart(t)
		dc.WaitWhole(t)
	}
	for _, n := range dc.Servers() {
		n.Kill(t)
	}
	fed.Launch(t)
	dc.WaitWhole(t)
	if done, err := acquire(two, t, "k", other); done || err != nil {
		t.Errorf("somebody else took it: %v, %v", done, err)
	}
	after, _, err := two.API(t).KV().Get("k", &api.QueryOptions{RequireConsistent: true})
	if err != nil || after == nil || after.Session != before.Session || after.LockIndex != before.LockIndex || after.ModifyIndex != before.ModifyIndex {
		t.Errorf("it was %+v and is %+v (%v)", before, after, err)
	}
	select {
	case <-lost:
		t.Error("its holder was told that it lost it")
	default:
	}
	if s, _, err := one.API(t).Session().Renew(before.Session, nil); err != nil || s == nil {
		t.Errorf("its session is not renewed: %+v, %v", s, err)
	}
}

// Leaders are killed while many want one lock. Whoever holds it adds one to a number that
// he has read, in a transaction that says under whose lock: if two ever held it, some of
// what they added is lost.
func TestNothingIsLostUnderALockWhileLeadersDie(t *testing.T) {
	fed := lab.Start(t, lab.Servers("dc1", 3), lab.Clients("dc1", 2))
	dc := fed.DC("dc1")
	fed.Node("dc1-c1").Put(t, "", "number", "0")
	var sure, unsure atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 4 {
		n := dc.Nodes[3+i%2]
		wg.Go(func() {
			for ctx.Err() == nil {
				addUnderLock(ctx, t, n, &sure, &unsure)
			}
		})
	}
	added := func(n int64) {
		t.Helper()
		want := sure.Load() + n
		lab.Until(t, fmt.Sprintf("the number grows to %d", want), func() error {
			if now := sure.Load(); now < want {
				return fmt.Errorf("it is %d", now)
			}
			return nil
		})
	}
	added(20)
	for range 3 {
		dead := dc.KillLeader(t)
		added(10)
		dead.Start(t)
		dc.WaitWhole(t)
		added(10)
	}
	stop()
	wg.Wait()
	pair, _, err := dc.Nodes[3].API(t).KV().Get("number", &api.QueryOptions{RequireConsistent: true})
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseInt(string(pair.Value), 10, 64)
	if err != nil || number < sure.Load() || number > sure.Load()+unsure.Load() {
		t.Errorf("the number is %s after %d additions, and %d that may have happened", pair.Value, sure.Load(), unsure.Load())
	}
	t.Logf("%d additions, and %d that may have happened", sure.Load(), unsure.Load())
}

// addUnderLock adds one if it gets the lock within reasonable time.
func addUnderLock(ctx context.Context, t *testing.T, n *lab.Node, sure, unsure *atomic.Int64) {
	c := n.API(t)
	id, _, err := c.Session().Create(&api.SessionEntry{TTL: "10s", Behavior: api.SessionBehaviorDelete, LockDelay: time.Millisecond}, nil)
	if err != nil {
		return // no leader
	}
	defer func() { _, _ = c.Session().Destroy(id, nil) }() // or its TTL does
	l, err := c.LockOpts(&api.LockOptions{Key: "number-lock", Session: id, LockTryOnce: true, LockWaitTime: 500 * time.Millisecond})
	if err != nil {
		t.Error(err)
		return
	}
	lost, err := l.Lock(ctx.Done())
	if err != nil || lost == nil {
		return
	}
	defer func() { _ = l.Unlock() }() // or its session's end does
	pair, _, err := c.KV().Get("number", nil)
	if err != nil {
		return
	}
	number, err := strconv.Atoi(string(pair.Value))
	if err != nil {
		t.Error(err)
		return
	}
	ok, _, _, err := c.Txn().Txn(api.TxnOps{
		{KV: &api.KVTxnOp{Verb: api.KVCheckSession, Key: "number-lock", Session: id}},
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "number", Value: []byte(strconv.Itoa(number + 1))}},
	}, nil)
	switch {
	case err != nil:
		unsure.Add(1)
	case ok:
		sure.Add(1)
	}
}
