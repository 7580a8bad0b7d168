package session_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

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
	destroy(t, leader, pair.Session)
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

// A leader that was cut off a moment ago believes in itself still. What it renewed would
// be renewed nowhere else.
func TestALeaderThatIsCutOffRenewsNothing(t *testing.T) {
	fed := lab.Start(t, lab.Servers("dc1", 3))
	dc := fed.DC("dc1")
	leader := dc.Leader(t)
	id := sessionOf(t, leader, &api.SessionEntry{TTL: "1h"}) // gossip must not end it
	for _, n := range dc.Servers() {
		if n != leader {
			fed.Cut(t, leader.Name, n.Name)
		}
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
	// The library gives up renewals that fail for as long as the TTL, and the lock when its
	// retries are used up: that is for as long as it takes to start all servers anew.
	lost := take(t, lockAt(t, one, api.LockOptions{Key: "k", MonitorRetries: 240, MonitorRetryTime: 500 * time.Millisecond, SessionTTL: "30s"}))
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
	if acquires(t, two, "k", other) {
		t.Error("somebody else took it")
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
	if isRenewed(t, one, before.Session) == nil {
		t.Error("its session is not renewed")
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
