package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// patroni keeps its leader key alive by a session whose end deletes the key, and reads
// what went wrong from the beginning of an error's text.
func patroni(t *testing.T, server, client *lab.Node) {
	do := func(n *lab.Node, method, path, body string) (a *lab.Answer) {
		t.Helper()
		lab.Do(t, method+" "+path, func() (err error) {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			if a, err = n.Do(ctx, method, path, body); err == nil && lab.LeaderWent(a.Err()) {
				err = a.Err()
			}
			return err
		})
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
		lab.Do(t, "acquire "+key, func() error {
			done, _, err := kv.Acquire(&api.KVPair{Key: key, Value: []byte("x"), Session: id, Flags: api.LockFlagValue}, nil)
			if err == nil && !done {
				err = errors.New("it is held")
			}
			return err
		})
	}
	if s := isRenewed(t, client, id); s == nil || s.TTL != "10s" || s.LockDelay != time.Millisecond {
		t.Fatalf("%+v", s)
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
	fenced := func(n *lab.Node, ops ...*api.KVTxnOp) (ok bool, rep *api.TxnResponse) {
		t.Helper()
		all := api.TxnOps{{KV: &api.KVTxnOp{Verb: api.KVCheckSession, Key: "vault/core/lock", Session: pair.Session}}}
		for _, op := range ops {
			all = append(all, &api.TxnOp{KV: op})
		}
		lab.Do(t, "a transaction at "+n.Name, func() (err error) {
			ok, rep, _, err = n.API(t).Txn().Txn(all, nil)
			return err
		})
		return ok, rep
	}
	many := slices.Repeat([]*api.KVTxnOp{{Verb: api.KVSet, Key: "vault/data", Value: []byte("1")}}, 127)
	if ok, rep := fenced(client, many...); !ok {
		t.Fatalf("%+v", rep.Errors)
	}
	if ok, rep := fenced(server, &api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: "vault/none"}); !ok || len(rep.Results) != 2 || rep.Results[0].KV.Session != pair.Session || rep.Results[1].KV.Value != nil {
		t.Fatalf("%+v", rep)
	}
	destroy(t, server, pair.Session)
	if ok, rep := fenced(client, &api.KVTxnOp{Verb: api.KVSet, Key: "vault/data", Value: []byte("2")}); ok || len(rep.Errors) != 1 || rep.Errors[0].OpIndex != 0 {
		t.Errorf("a write without the lock: %v %+v", ok, rep)
	}
	closed(t, "Vault hears of the loss", lost)
	if pair, _, err := client.API(t).KV().Get("vault/data", nil); err != nil || string(pair.Value) != "1" {
		t.Errorf("%+v, %v", pair, err)
	}
}
