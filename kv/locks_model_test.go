package kv

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// orphan finds a key of a view that is held by a session which the view does not have.
func orphan(v *store.View) (*Entry, bool) {
	for e := range store.Rows[*Entry](v, tableEntries, "id") {
		if _, found := session.Lookup(v, e.Session); e.Session != "" && !found {
			return e, true
		}
	}
	return nil, false
}

// Whoever looks, at whatever moment, sees no lock whose session is gone.
func TestNobodySeesALockWithoutItsSession(t *testing.T) {
	d := newDomains(t)
	d.node("n1")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var looks atomic.Int64
	wg.Go(func() {
		for {
			ws := make(rpc.WatchSet)
			v := d.Read(ws)
			looks.Add(1)
			if e, found := orphan(v); found {
				t.Errorf("%s is held by a session that is gone", e.Key)
				return
			}
			if ws.WatchCtx(ctx) != nil {
				return
			}
		}
	})
	// The watcher may be given little time, and has to have looked for the test to show anything.
	for round := 0; round < 300 || looks.Load() < 10 && !t.Failed(); round++ {
		behavior := session.Release
		if round%2 == 0 {
			behavior = session.Delete
		}
		id := d.session(session.Session{Node: "n1", Behavior: behavior})
		for k := range 5 {
			d.lock(Lock, fmt.Sprint(k), id, "")
		}
		if round%3 == 0 {
			d.drop("n1")
			d.node("n1")
		} else {
			d.destroy(id)
		}
	}
	cancel()
	wg.Wait()
}

// The locks against a model, in random steps: who holds what, who is told, and what
// batches and snapshots change of it, which is nothing.
func TestLocksAgreeWithAModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type holder struct {
			id    string
			times uint64
		}
		type life struct {
			node, behavior string
			delay          time.Duration
		}
		random := rand.New(rand.NewPCG(7, 8))
		d := newDomains(t)
		keys, nodes := []string{"a", "a/b", "c", "d\x00e"}, []string{"n1", "n2"}
		held, alive, until := map[string]holder{}, map[string]life{}, map[string]time.Time{}
		for _, n := range nodes {
			d.node(n)
		}
		ids := func() []string {
			all := []string{"nobody"}
			for id := range alive {
				all = append(all, id)
			}
			slices.Sort(all)
			return all
		}
		end := func(id string) {
			for key, h := range held {
				if h.id != id {
					continue
				}
				if s := alive[id]; s.delay > 0 {
					until[key] = time.Now().Add(s.delay)
				}
				if h.id = ""; alive[id].behavior == session.Delete {
					delete(held, key)
				} else {
					held[key] = h
				}
			}
			delete(alive, id)
		}
		taken, refused := 0, 0
		for step := range 4000 {
			key := keys[random.IntN(len(keys))]
			all := ids()
			id := all[random.IntN(len(all))]
			h, there := held[key]
			switch dice := random.IntN(20); {
			case dice < 3:
				s := life{nodes[random.IntN(2)], []string{session.Release, session.Delete}[random.IntN(2)], time.Duration(random.IntN(3)) * time.Second}
				alive[d.session(session.Session{Node: s.node, Behavior: s.behavior, LockDelay: s.delay})] = s
			case dice < 10 && id != "nobody":
				can := h.id == id || h.id == "" && !time.Now().Before(until[key])
				if got := d.lock(Lock, key, id, "x"); got != can {
					t.Fatalf("step %d: lock of %q answered %v", step, key, got)
				}
				if !can {
					refused++
				} else if taken++; h.id != id {
					held[key] = holder{id, h.times + 1}
				}
			case dice < 12:
				if got := d.lock(Unlock, key, id, "x"); got != (there && h.id == id) {
					t.Fatalf("step %d: unlock of %q answered %v", step, key, got)
				} else if got {
					held[key] = holder{"", h.times}
				}
			case dice == 12:
				d.write(Set, key, "x", 0)
				held[key] = h
			case dice == 13:
				d.write(Delete, key, "", 0)
				delete(held, key)
			case dice == 14:
				d.write(DeleteTree, key, "", 0)
				for other := range held {
					if len(other) >= len(key) && other[:len(key)] == key {
						delete(held, other)
					}
				}
			case dice < 17:
				d.destroy(id)
				end(id)
			case dice == 17:
				node := nodes[random.IntN(2)]
				d.drop(node)
				d.node(node)
				for id, s := range alive {
					if s.node == node {
						end(id)
					}
				}
			case dice == 18:
				time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond)
			default:
				next := newDomains(t)
				if err := next.Restore(storetest.Snapshot(t, d.Store)); err != nil {
					t.Fatal(err)
				}
				next.log.SkipTo(next.AppliedIndex())
				d = next
			}
			if e, found := orphan(d.Read(nil)); found {
				t.Fatalf("step %d: %+v is held by a session that is gone", step, e)
			}
			for _, key := range keys {
				e, _ := d.read(key)
				want, there := held[key]
				if (e != nil) != there || there && (e.Session != want.id || e.LockIndex != want.times) {
					t.Fatalf("step %d: %q is %+v, want %+v (%v)", step, key, e, want, there)
				}
			}
		}
		if taken < 100 || refused < 100 {
			t.Errorf("%d locks were taken, %d refused: the test shows little", taken, refused)
		}
	})
}
