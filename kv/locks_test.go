package kv

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// domains are keys with the sessions that lock them, and the nodes that those live by.
type domains struct {
	*table
	handlers map[string]rpc.Handler
}

func newDomains(t testing.TB) *domains {
	s, log := storetest.New(t, catalog.Module("dc1"), session.Module(), Module(), links())
	d := &domains{&table{t, s, log, NewEndpoint(s, log, limit)}, map[string]rpc.Handler{}}
	timers := session.NewTimers(s, log, nil)
	for _, h := range append(catalog.NewEndpoint(s, log, "dc1").Methods(), session.NewEndpoint(s, log, timers).Methods()...) {
		d.handlers[h.Name] = h
	}
	return d
}

// Call implements rpc.Caller.
func (d *domains) Call(ctx context.Context, m *rpc.Info, req rpc.Request, _ func() any) (any, error) {
	return d.handlers[m.Name].Serve(ctx, anyone(), req)
}

func (d *domains) node(name string) {
	d.Helper()
	if _, err := catalog.Register.Call(context.Background(), d, &catalog.RegisterRequest{Node: name, Address: "10.0.0.1"}); err != nil {
		d.Fatal(err)
	}
}

func (d *domains) drop(node string) {
	d.Helper()
	if _, err := catalog.Deregister.Call(context.Background(), d, &catalog.DeregisterRequest{Node: node}); err != nil {
		d.Fatal(err)
	}
}

func (d *domains) session(s session.Session) string {
	d.Helper()
	id, err := session.Apply.Call(context.Background(), d, &session.ApplyRequest{Op: session.Create, Session: s})
	if err != nil {
		d.Fatal(err)
	}
	return *id
}

func (d *domains) destroy(id string) {
	d.Helper()
	req := &session.ApplyRequest{Op: session.Destroy, Session: session.Session{ID: id}}
	if _, err := session.Apply.Call(context.Background(), d, req); err != nil {
		d.Fatal(err)
	}
}

// lock takes or frees a lock, and tells whether it could.
func (d *domains) lock(verb Verb, key, id, value string) bool {
	d.Helper()
	done, err := d.apply(context.Background(), anyone(), &ApplyRequest{Op: verb, DirEnt: Entry{Key: key, Value: []byte(value), Flags: 7, Session: id}})
	if err != nil {
		d.Fatal(err)
	}
	return *done
}

func TestALockHasOneHolder(t *testing.T) {
	d := newDomains(t)
	d.node("n1")
	a, b := d.session(session.Session{Node: "n1"}), d.session(session.Session{Node: "n1"})
	expect := func(step, value, holder string, times uint64) {
		t.Helper()
		e, _ := d.read("k")
		if string(e.Value) != value || e.Session != holder || e.LockIndex != times {
			t.Errorf("%s: value %s, session %q, locked %d times; want %s, %q, %d", step, e.Value, e.Session, e.LockIndex, value, holder, times)
		}
	}
	if d.lock(Unlock, "k", a, "x") {
		t.Error("a key that is not there was unlocked")
	}
	if !d.lock(Lock, "k", a, "1") {
		t.Fatal("a free lock was not taken")
	}
	expect("taken", "1", a, 1)
	if d.lock(Lock, "k", b, "2") || d.lock(Unlock, "k", b, "2") || d.lock(Unlock, "k", "nobody", "2") {
		t.Error("a lock was taken, or freed, that somebody else holds")
	}
	expect("still his", "1", a, 1)
	if !d.lock(Lock, "k", a, "3") {
		t.Error("its holder could not take it again")
	}
	expect("taken again", "3", a, 1)
	d.write(Set, "k", "4", 0) // locks are advisory
	expect("written by anybody", "4", a, 1)
	if !d.lock(Unlock, "k", a, "5") {
		t.Error("its holder could not free it")
	}
	expect("freed", "5", "", 1)
	if d.lock(Unlock, "k", a, "6") {
		t.Error("it was freed twice")
	}
	if !d.lock(Lock, "k", b, "7") {
		t.Error("there is a delay although its holder freed it")
	}
	expect("next", "7", b, 2)
	d.write(Delete, "k", "", 0)
	if !d.lock(Lock, "k", a, "8") {
		t.Error("a new key was locked by nobody, and could not be locked")
	}
	expect("new", "8", a, 1)
	for _, id := range []string{"", "nobody"} {
		req := &ApplyRequest{Op: Lock, DirEnt: Entry{Key: "k", Session: id}}
		if _, err := d.apply(t.Context(), anyone(), req); err == nil || err.Error() != fmt.Sprintf("invalid session %q", id) || rpc.ReasonOf(err) != rpc.ReasonFailed {
			t.Errorf("lock by %q: %v", id, err)
		}
	}
	denied := &rpc.Call{Authz: denied{}}
	for _, verb := range []Verb{Lock, Unlock} {
		if _, err := d.apply(t.Context(), denied, &ApplyRequest{Op: verb, DirEnt: Entry{Key: "k", Session: a}}); rpc.ReasonOf(err) != rpc.ReasonDenied {
			t.Errorf("%s without permission: %v", verb, err)
		}
	}
}

func TestTheEndOfASessionFreesWhatItHolds(t *testing.T) {
	for name, end := range map[string]func(d *domains, id string){
		"destroyed":        func(d *domains, id string) { d.destroy(id) },
		"its node is gone": func(d *domains, _ string) { d.drop("n1") },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDomains(t)
			d.node("n1")
			d.node("n2")
			releases := d.session(session.Session{Node: "n1"})
			deletes := d.session(session.Session{Node: "n1", Behavior: session.Delete})
			stays := d.session(session.Session{Node: "n2"})
			for key, id := range map[string]string{"r/1": releases, "r/2": releases, "d/1": deletes, "d/2": deletes, "s": stays} {
				d.lock(Lock, key, id, "of "+key)
			}
			woke := map[string]func() bool{}
			for _, key := range []string{"r/1", "d/1", "s"} {
				woke[key] = watch(d.table, func(v *store.View) { Lookup(v, key) })
			}
			end(d, releases)
			end(d, deletes)
			for key, woke := range woke {
				if woke() != (key != "s") {
					t.Errorf("whoever watches %s was told: %v", key, woke())
				}
			}
			at := d.AppliedIndex()
			if e, index := d.read("r/2"); e == nil || e.Session != "" || string(e.Value) != "of r/2" || e.Flags != 7 || e.LockIndex != 1 || index > at || index < at-1 || e.CreateIndex == index {
				t.Errorf("a key that was to be freed is %+v", e)
			}
			if keys, index := d.below("d/"); keys != nil || index < at-1 {
				t.Errorf("keys that were to be deleted: %q at %d", keys, index)
			}
			if e, _ := d.read("s"); e.Session != stays {
				t.Errorf("another's lock was freed: %+v", e)
			}
		})
	}
}

func TestALockIsNotTakenDuringItsDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDomains(t)
		d.node("n1")
		next := d.session(session.Session{Node: "n1"})
		for _, behavior := range []string{session.Release, session.Delete} {
			id := d.session(session.Session{Node: "n1", Behavior: behavior, LockDelay: 15 * time.Second})
			none := d.session(session.Session{Node: "n1", Behavior: behavior})
			d.lock(Lock, "delayed", id, "")
			d.lock(Lock, "at once", none, "")
			d.destroy(id)
			d.destroy(none)
			if !d.lock(Lock, "at once", next, "") {
				t.Error("there is a delay where none was asked for")
			}
			d.lock(Unlock, "at once", next, "")
			for range 14 {
				time.Sleep(time.Second)
				if d.lock(Lock, "delayed", next, "") {
					t.Fatal("a lock was taken during its delay")
				}
			}
			d.write(Set, "delayed", "written", 0) // the delay is about the lock
			if _, err := d.Reap(t.Context(), time.Hour); err != nil || d.lock(Lock, "delayed", next, "") {
				t.Fatalf("a reap ended the delay (%v)", err)
			}
			// A server that comes from a snapshot knows of it.
			other := newDomains(t)
			if err := other.Restore(storetest.Snapshot(t, d.Store)); err != nil {
				t.Fatal(err)
			}
			other.log.SkipTo(other.AppliedIndex())
			if other.lock(Lock, "delayed", next, "") {
				t.Fatal("a snapshot ended the delay")
			}
			time.Sleep(time.Second)
			if !d.lock(Lock, "delayed", next, "") || !other.lock(Lock, "delayed", next, "") {
				t.Error("the delay does not end")
			}
			d.lock(Unlock, "delayed", next, "")
		}
		if _, err := d.Reap(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		for range store.Rows[*lockDelay](d.Read(nil), tableDelays, "id") {
			t.Error("a delay that is over was kept")
		}
	})
}

// Leaders whose clocks differ disagree about how long a delay still is. None may close a
// key for longer than a delay can be.
func TestAClockThatIsFarAheadClosesNoKey(t *testing.T) {
	d := newDomains(t)
	d.node("n1")
	next := d.session(session.Session{Node: "n1"})
	now := time.Now()
	at := func(when time.Time, op store.Op, cmd any) any {
		t.Helper()
		entry, err := store.Encode(op, when, cmd)
		if err != nil {
			t.Fatal(err)
		}
		done, _ := d.log.Batch(entry)
		return done[0]
	}
	for _, ahead := range []time.Duration{30 * time.Second, time.Hour, 200 * 365 * 24 * time.Hour} {
		id := d.session(session.Session{Node: "n1", LockDelay: 15 * time.Second})
		lock := &write{Verb: Lock, Key: "k", Session: id}
		if done := at(now.Add(ahead), opApply, lock); done != true {
			t.Fatalf("%v ahead: %v", ahead, done)
		}
		const opDestroy store.Op = 103
		at(now.Add(ahead), opDestroy, &struct{ IDs []string }{[]string{id}})
		lock.Session = next
		if ahead == 30*time.Second && at(now.Add(ahead+14*time.Second), opApply, lock) != false {
			t.Fatal("there was no delay: the test shows nothing")
		}
		want := ahead > session.MaxLockDelay
		if done := at(now, opApply, lock); done != want {
			t.Errorf("after a leader whose clock is %v ahead: %v, want %v", ahead, done, want)
		}
		lock.Verb = Unlock
		at(now, opApply, lock)
		if !want { // its time has come, by any clock
			lock.Verb = Lock
			if at(now.Add(time.Minute), opApply, lock) != true {
				t.Error("the delay does not end")
			}
			lock.Verb = Unlock
			at(now, opApply, lock)
		}
	}
}

func TestSnapshotsKeepLocks(t *testing.T) {
	d := newDomains(t)
	d.node("n1")
	id := d.session(session.Session{Node: "n1", LockDelay: time.Minute})
	late := d.session(session.Session{Node: "n1"})
	d.lock(Lock, "k", id, "1")
	to := newDomains(t)
	if err := to.Restore(storetest.Snapshot(t, d.Store)); err != nil {
		t.Fatal(err)
	}
	to.log.SkipTo(to.AppliedIndex())
	if e, index := to.read("k"); e.Session != id || e.LockIndex != 1 || index != 4 || to.lock(Lock, "k", late, "2") || !to.lock(Lock, "k", id, "3") {
		t.Fatalf("%+v", e)
	}
	to.drop("n1")
	if e, _ := to.read("k"); e.Session != "" || string(e.Value) != "3" {
		t.Errorf("the end of its session did not free it: %+v", e)
	}
	// A snapshot from outside comes without locks, delays and sessions.
	imported, err := d.Import(storetest.Snapshot(t, to.Store), 500, store.Identity{ID: "a", Incarnation: "b"})
	if err != nil || imported.Skipped[recordDelay] != 1 {
		t.Fatalf("%+v, %v", imported, err)
	}
	read, write := io.Pipe()
	go func() { write.CloseWithError(imported.Write(write)) }()
	if err := d.Restore(read); err != nil {
		t.Fatal(err)
	}
	d.log.SkipTo(500)
	d.node("n2")
	if !d.lock(Lock, "k", d.session(session.Session{Node: "n2"}), "4") {
		t.Error("a lock came with a snapshot from outside")
	}
}

// Commands that came in one batch do what they would have done one by one.
func TestLocksInABatch(t *testing.T) {
	d := newDomains(t)
	d.node("n1")
	a := d.session(session.Session{Node: "n1"})
	b := d.session(session.Session{Node: "n1", LockDelay: time.Minute})
	take := func(id string) []byte {
		return storetest.Encode(t, opApply, &write{Verb: Lock, Key: "k", Session: id})
	}
	free := storetest.Encode(t, opApply, &write{Verb: Unlock, Key: "k", Session: a})
	got, _ := d.log.Batch(take(a), take(b), take("nobody"), free, take(b), take(a), free)
	for i, want := range []string{"true", "false", `invalid session "nobody"`, "true", "true", "false", "false"} {
		if fmt.Sprint(got[i]) != want {
			t.Errorf("entry %d answered %v, want %s", i, got[i], want)
		}
	}
	if e, _ := d.read("k"); e.Session != b || e.LockIndex != 2 {
		t.Errorf("%+v", e)
	}
}
