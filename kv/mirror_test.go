package kv

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unsafe"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// opMirror is what a link's command is like.
const opMirror store.Op = 127

type mirrorCommand struct {
	Origin uint64
	Ops    []MirrorOp
}

// links is a module whose links write whatever they are told.
func links() store.Module {
	return store.Module{Name: "links", Commands: []store.Command{
		store.OnMany(opMirror, func(tx *store.Tx, cmd *mirrorCommand) (int, error) {
			return Mirror(tx, cmd.Origin, cmd.Ops), nil
		})}}
}

func (tb *table) mirror(origin uint64, ops ...MirrorOp) int {
	tb.Helper()
	changed, _, err := store.Propose[int](tb.Context(), tb.log, opMirror, &mirrorCommand{origin, ops})
	if err != nil {
		tb.Fatal(err)
	}
	return changed
}

func (tb *table) origins() uint64 { return tb.Read(nil).TouchedAt(originsName) }

func TestALinkSetsTakesOverAndDeletes(t *testing.T) {
	const link = 70
	tb := newTable(t)
	tb.write(Set, "mine", "x", 0)  // 1
	tb.write(Set, "equal", "x", 0) // 2
	tb.write(Set, "flags", "x", 0) // 3
	for i, step := range []struct {
		op                     MirrorOp
		changed                int
		create, modify, origin uint64
		value                  string
	}{
		{MirrorOp{Kind: MirrorSet, Key: "new", Value: []byte("v"), Flags: 3}, 1, 4, 4, link, "v"},
		{MirrorOp{Kind: MirrorSet, Key: "new", Value: []byte("v"), Flags: 3}, 0, 4, 4, link, "v"},
		{MirrorOp{Kind: MirrorSet, Key: "new", Value: []byte("w"), Flags: 3}, 1, 4, 6, link, "w"},
		{MirrorOp{Kind: MirrorSet, Key: "equal", Value: []byte("x")}, 1, 2, 2, link, "x"},
		{MirrorOp{Kind: MirrorSet, Key: "flags", Value: []byte("x"), Flags: 1}, 1, 3, 8, link, "x"},
		{MirrorOp{Kind: MirrorAdopt, Key: "mine"}, 1, 1, 1, link, "x"},
		{MirrorOp{Kind: MirrorAdopt, Key: "mine"}, 0, 1, 1, link, "x"},
		{MirrorOp{Kind: MirrorRelease, Key: "mine"}, 1, 1, 1, 0, "x"},
		{MirrorOp{Kind: MirrorRelease, Key: "mine"}, 0, 1, 1, 0, "x"},
		{MirrorOp{Kind: MirrorAdopt, Key: "nosuch"}, 0, 0, 0, 0, ""},
		{MirrorOp{Kind: MirrorDelete, Key: "nosuch"}, 0, 0, 0, 0, ""},
		{MirrorOp{Kind: MirrorDelete, Key: "mine"}, 1, 0, 0, 0, ""},
		{MirrorOp{Kind: MirrorSet, Key: "not \xffUTF-8", Value: []byte{0xff}}, 1, 16, 16, link, "\xff"},
	} {
		if changed := tb.mirror(link, step.op); changed != step.changed {
			t.Errorf("step %d: %d changes", i, changed)
		}
		e, _ := tb.read(step.op.Key)
		if e == nil {
			e = &Entry{}
		}
		if e.CreateIndex != step.create || e.ModifyIndex != step.modify || e.Origin != step.origin || string(e.Value) != step.value {
			t.Errorf("step %d: %q is %+v", i, step.op.Key, e)
		}
	}
	if tb.mirror(link+1, MirrorOp{Kind: MirrorRelease, Key: "new"}) != 0 {
		t.Error("a link released what another one wrote")
	}
	if tb.mirror(link+1, MirrorOp{Kind: MirrorSet, Key: "new", Value: []byte("w"), Flags: 3}) != 1 {
		t.Error("a link did not take over what another one wrote")
	}
}

// What only changes the origin changes nothing for those who read and wait.
func TestNobodySeesAnAdoption(t *testing.T) {
	tb := newTable(t)
	tb.write(Set, "a/1", "x", 0)
	tb.write(Set, "a/2", "x", 0)
	_, list := tb.below("a/")
	since := tb.AppliedIndex()
	tb.mirror(9, MirrorOp{Kind: MirrorAdopt, Key: "a/1"}, MirrorOp{Kind: MirrorSet, Key: "a/2", Value: []byte("x")})
	tb.mirror(9, MirrorOp{Kind: MirrorRelease, Key: "a/1"})
	if e, index := tb.read("a/1"); index != 1 || e.ModifyIndex != 1 {
		t.Errorf("the key's index is %d", index)
	}
	if _, index := tb.below("a/"); index != list {
		t.Errorf("the index of the list has moved from %d to %d", list, index)
	}
	if got := show(tb.page("", since, "", 0)); got != "next 2" {
		t.Errorf("the feed has %s", got)
	}
	if tb.origins() != tb.AppliedIndex() {
		t.Errorf("the last change of an origin is said to be at %d", tb.origins())
	}
}

func TestWhoWritesAfterALinkOwnsTheKey(t *testing.T) {
	tb := newDomains(t)
	tb.node("n1")
	id := tb.session(session.Session{Node: "n1"})
	origin := func() uint64 {
		e, _ := tb.read("k")
		return e.Origin
	}
	link := func() { tb.mirror(9, MirrorOp{Kind: MirrorSet, Key: "k", Value: []byte("v"), Flags: 7}) }
	for _, c := range []struct {
		what   string
		write  func()
		origin uint64
	}{
		{"a set of the same value", func() { tb.write(Set, "k", "v", 0) }, 0},
		{"a cas", func() { e, _ := tb.read("k"); tb.write(CAS, "k", "w", e.ModifyIndex) }, 0},
		{"a lock that leaves the value", func() { tb.lock(Lock, "k", id, "v") }, 9},
		{"an unlock that leaves the value", func() { tb.lock(Unlock, "k", id, "v") }, 9},
		{"a lock with a value of its own", func() { tb.lock(Lock, "k", id, "w") }, 0},
		{"an unlock with a value of its own", func() { tb.lock(Unlock, "k", id, "w") }, 0},
		{"a delete and a set", func() { tb.write(Delete, "k", "", 0); tb.write(Set, "k", "v", 0) }, 0},
	} {
		link()
		if c.write(); origin() != c.origin {
			t.Errorf("after %s the origin is %d", c.what, origin())
		}
	}
}

// The links are part of a snapshot, so that after a restore they still know their keys.
func TestTheOriginStaysInThisDatacenter(t *testing.T) {
	tb := newTable(t)
	tb.mirror(9, MirrorOp{Key: "k", Value: []byte("v")})
	tb.write(Set, "own", "", 0)
	e, _ := tb.read("k")
	if shown, err := json.Marshal(e); err != nil || strings.Contains(string(shown), "Origin") {
		t.Errorf("clients see %s (%v)", shown, err)
	}
	snapshot := storetest.Snapshot(t, tb.Store)
	stream, err := io.ReadAll(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(stream, []byte("HanseOrigin")); n != 1 {
		t.Errorf("%d of two entries have an origin in the snapshot", n)
	}
	to := newTable(t)
	if err := to.Restore(io.NopCloser(bytes.NewReader(stream))); err != nil {
		t.Fatal(err)
	}
	if e, _ := to.read("k"); e.Origin != 9 || to.origins() != tb.origins() {
		t.Errorf("after a restart the key is %+v", e)
	}
	imported, err := tb.Import(bytes.NewReader(stream), 100, store.Identity{ID: "a", Incarnation: "b"})
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := imported.Write(&archive); err != nil {
		t.Fatal(err)
	}
	if err := tb.Restore(io.NopCloser(&archive)); err != nil {
		t.Fatal(err)
	}
	if e, _ := tb.read("k"); e.Origin != 9 || e.ModifyIndex != 100 {
		t.Errorf("after a restore from outside the key is %+v", e)
	}
}

func TestMistakenMirrorOperations(t *testing.T) {
	for _, op := range []MirrorOp{
		{Kind: MirrorRelease + 1, Key: "k"}, {Kind: MirrorSet}, {Kind: MirrorDelete}, {Key: "k", Value: make([]byte, 11)},
	} {
		if err := op.Check(10); rpc.ReasonOf(err) != rpc.ReasonInvalid && rpc.ReasonOf(err) != rpc.ReasonTooLarge {
			t.Errorf("%+v: %v", op, err)
		}
	}
	if err := (&MirrorOp{Key: "\xff", Value: make([]byte, 10)}).Check(10); err != nil {
		t.Error(err)
	}
}

// An entry takes a block of 112 bytes, and the next larger block is 128: a million keys are
// a million blocks.
func TestAnEntryIsNotLargerThanItMustBe(t *testing.T) {
	if size := unsafe.Sizeof(Entry{}); size > 112 {
		t.Errorf("an entry has %d bytes", size)
	}
}

func TestWhatSomebodyElseWroteIsSpared(t *testing.T) {
	const link = 7
	for _, c := range []struct {
		what   string
		origin uint64 // who wrote "x"
		op     MirrorOp
		value  string // "" is gone
		after  uint64
	}{
		{"a set of a stranger's key", 0, MirrorOp{Kind: MirrorSet, Value: []byte("y")}, "x", 0},
		{"a set of another link's key", 8, MirrorOp{Kind: MirrorSet, Value: []byte("y")}, "x", 8},
		{"a set of its own key", link, MirrorOp{Kind: MirrorSet, Value: []byte("y")}, "y", link},
		{"a set of what is there", 0, MirrorOp{Kind: MirrorSet, Value: []byte("x")}, "x", link},
		{"a set of other flags", 0, MirrorOp{Kind: MirrorSet, Value: []byte("x"), Flags: 1}, "x", 0},
		{"a delete of a stranger's key", 0, MirrorOp{Kind: MirrorDelete}, "x", 0},
		{"a delete of its own key", link, MirrorOp{Kind: MirrorDelete}, "", 0},
		{"an adoption of what is there", 0, MirrorOp{Kind: MirrorAdopt, Value: []byte("x")}, "x", link},
		{"an adoption of what was there", 0, MirrorOp{Kind: MirrorAdopt, Value: []byte("y")}, "x", 0},
		{"a release", link, MirrorOp{Kind: MirrorRelease}, "x", 0},
	} {
		tb := newTable(t)
		tb.write(Set, "k", "x", 0)
		if c.origin != 0 {
			tb.mirror(c.origin, MirrorOp{Kind: MirrorAdopt, Key: "k"})
		}
		c.op.Key, c.op.Spare = "k", true
		tb.mirror(link, c.op)
		got := &Entry{}
		if e, found := tb.read("k"); e != nil && found > 0 {
			got = e
		}
		if string(got.Value) != c.value || got.Origin != c.after {
			t.Errorf("after %s it is %q, by %d", c.what, got.Value, got.Origin)
		}
	}
	tb := newTable(t)
	if tb.mirror(link, MirrorOp{Key: "new", Value: []byte("x"), Spare: true}) != 1 {
		t.Error("a key that was not there was spared")
	}
}

func TestOneKeyMayBeInABatchMoreThanOnce(t *testing.T) {
	tb := newTable(t)
	tb.write(Set, "there", "x", 0)
	set := func(key, value string) MirrorOp { return MirrorOp{Key: key, Value: []byte(value)} }
	changed := tb.mirror(7,
		set("new", "1"), set("new", "1"), MirrorOp{Kind: MirrorDelete, Key: "new"}, set("new", "2"),
		MirrorOp{Kind: MirrorDelete, Key: "there"}, MirrorOp{Kind: MirrorAdopt, Key: "there"}, MirrorOp{Kind: MirrorDelete, Key: "there"},
		set("gone", "1"), MirrorOp{Kind: MirrorDelete, Key: "gone"})
	if changed != 6 {
		t.Errorf("%d operations changed something, want 6", changed)
	}
	if e, found := Lookup(tb.Read(nil), "new"); !found || string(e.Value) != "2" || e.Origin != 7 {
		t.Errorf("the key is %+v", e)
	}
	for _, key := range []string{"there", "gone"} {
		if _, found := Lookup(tb.Read(nil), key); found {
			t.Errorf("%s is there", key)
		}
	}
}
