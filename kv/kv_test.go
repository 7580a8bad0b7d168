package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

const limit = 512 << 10

// table is one key/value table with its log.
type table struct {
	testing.TB
	*store.Store
	log *storetest.Log
	*Endpoint
}

func newTable(t testing.TB) *table {
	s, log := storetest.New(t, Module(), links())
	return &table{t, s, log, NewEndpoint(s, log, limit)}
}

func anyone() *rpc.Call { return &rpc.Call{Authz: rpc.AllowAll{}} }

func (tb *table) write(verb Verb, key, value string, index uint64) bool {
	tb.Helper()
	req := &ApplyRequest{Op: verb, DirEnt: Entry{Key: key, Value: []byte(value), ModifyIndex: index}}
	done, err := tb.apply(context.Background(), anyone(), req)
	if err != nil {
		tb.Fatalf("%s %q: %v", verb, key, err)
	}
	return *done
}

func (tb *table) read(key string) (*Entry, uint64) {
	tb.Helper()
	rep, err := tb.Endpoint.get(context.Background(), anyone(), &KeyRequest{Key: key})
	if err != nil {
		tb.Fatal(err)
	}
	if len(rep.Entries) == 0 {
		return nil, rep.Index
	}
	return rep.Entries[0], rep.Index
}

func (tb *table) below(prefix string) (keys []string, index uint64) {
	tb.Helper()
	rep, err := tb.Endpoint.list(context.Background(), anyone(), &KeyRequest{Key: prefix})
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range rep.Entries {
		keys = append(keys, e.Key)
	}
	return keys, rep.Index
}

func TestCASInABatchSeesTheSetsBeforeIt(t *testing.T) {
	tb := newTable(t)
	set := func(value string) []byte {
		return storetest.Encode(t, opApply, &write{Verb: Set, Key: "k", Value: []byte(value)})
	}
	cas := func(index uint64, value string) []byte {
		return storetest.Encode(t, opApply, &write{Verb: CAS, Key: "k", Value: []byte(value), Index: index})
	}
	got, _ := tb.log.Batch(set("1"), cas(9, "stale"), set("2"), cas(3, "3"), cas(0, "not new"),
		storetest.Encode(t, opApply, &write{Verb: "nope", Key: "k"}), set("4"))
	for i, want := range []any{true, false, true, true, false} {
		if got[i] != want {
			t.Errorf("entry %d returned %v, want %v", i+1, got[i], want)
		}
	}
	if err, failed := got[5].(error); !failed || rpc.ReasonOf(err) != rpc.ReasonInvalid {
		t.Errorf("the unknown verb returned %v", got[5])
	}
	e, _ := tb.read("k")
	if string(e.Value) != "4" || e.CreateIndex != 1 || e.ModifyIndex != 7 {
		t.Fatalf("the key is %+v", e)
	}
}

func TestDeleteTreeInABatchLeavesItsNeighboursAlone(t *testing.T) {
	tb := newTable(t)
	set := func(key string) []byte { return storetest.Encode(t, opApply, &write{Verb: Set, Key: key}) }
	tb.log.Batch(set("a/1"), set("b"), storetest.Encode(t, opDeleteTree, &tree{Prefix: "a/"}), set("a/2"), set("c"))
	if keys, index := tb.below(""); !slices.Equal(keys, []string{"a/2", "b", "c"}) || index != 5 {
		t.Fatalf("%v at %d", keys, index)
	}
	if _, index := tb.below("a/1"); index != 3 {
		t.Fatalf("the index of what the tree held is %d, want that of its delete, 3", index)
	}
}

func TestRepliesAsPeersExpect(t *testing.T) {
	tb := newTable(t)
	for _, c := range []struct {
		verb  Verb
		index uint64
		want  bool
	}{
		{Set, 0, false}, {CAS, 0, false}, {CAS, 1, true}, {DeleteCAS, 1, false}, {DeleteCAS, 3, true},
		{CAS, 0, true}, {Delete, 0, false}, {DeleteCAS, 0, true},
	} {
		if got := tb.write(c.verb, "k", "v", c.index); got != c.want {
			t.Errorf("%s at %d returned %v, want %v", c.verb, c.index, got, c.want)
		}
	}
	if got := tb.write(DeleteTree, "", "", 0); got {
		t.Error("delete-tree returned true")
	}
}

func TestBadWritesAreRefused(t *testing.T) {
	tb := newTable(t)
	for name, c := range map[string]struct {
		req  ApplyRequest
		want string
	}{
		"no key":          {ApplyRequest{Op: Set}, "Must provide key"},
		"unknown verb":    {ApplyRequest{Op: "nope", DirEnt: Entry{Key: "a"}}, "unknown KV operation: nope"},
		"lock of nobody":  {ApplyRequest{Op: Lock, DirEnt: Entry{Key: "a"}}, `invalid session ""`},
		"too large":       {ApplyRequest{Op: Set, DirEnt: Entry{Key: "a", Value: make([]byte, limit+1)}}, "is too large"},
		"too large a cas": {ApplyRequest{Op: CAS, DirEnt: Entry{Key: "a", Value: make([]byte, limit+1)}}, "is too large"},
	} {
		if _, err := tb.apply(t.Context(), anyone(), &c.req); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if at := tb.AppliedIndex(); at != 0 {
		t.Fatalf("a refused write reached the log: index %d", at)
	}
}

type denied struct{ rpc.AllowAll }

func (denied) Allow(rpc.Resource, rpc.Access, string) bool { return false }

func (denied) AllowPrefix(rpc.Resource, rpc.Access, string) bool { return false }

func TestWithoutPermissionNothingIsWrittenOrSeen(t *testing.T) {
	tb := newTable(t)
	tb.write(Set, "a", "1", 0)
	nobody := &rpc.Call{Authz: denied{}}
	for _, verb := range []Verb{Set, Delete, CAS, DeleteCAS, DeleteTree} {
		if _, err := tb.apply(t.Context(), nobody, &ApplyRequest{Op: verb, DirEnt: Entry{Key: "a"}}); rpc.ReasonOf(err) != rpc.ReasonDenied {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if _, err := tb.Endpoint.get(t.Context(), nobody, &KeyRequest{Key: "a"}); rpc.ReasonOf(err) != rpc.ReasonDenied {
		t.Errorf("get: %v", err)
	}
	list, err := tb.Endpoint.list(t.Context(), nobody, &KeyRequest{})
	if err != nil || len(list.Entries) != 0 || list.Index != 1 || !nobody.Filtered() {
		t.Errorf("list: %+v, %v", list, err)
	}
	if keys, err := tb.Endpoint.listKeys(t.Context(), nobody, &KeyListRequest{}); err != nil || len(keys.Keys) != 0 {
		t.Errorf("keys: %+v, %v", keys, err)
	}
}

// watch starts to watch what read reads, and returns a function that tells whether it
// changed since.
func watch(tb *table, read func(v *store.View)) func() bool {
	ws := make(rpc.WatchSet)
	read(tb.Read(ws))
	return func() bool {
		for ch := range ws {
			select {
			case <-ch:
				return true
			default:
			}
		}
		return false
	}
}

func TestOnlyWhatIsWatchedWakes(t *testing.T) {
	tb := newTable(t)
	for _, key := range []string{"app/a", "app/b", "other/c"} {
		tb.write(Set, key, "1", 0)
	}
	watches := map[string]func() bool{}
	start := func() {
		watches["key app/a"] = watch(tb, func(v *store.View) { Lookup(v, "app/a") })
		watches["below app/"] = watch(tb, func(v *store.View) { list(v, "app/", func(string) bool { return true }) })
		watches["below other/"] = watch(tb, func(v *store.View) { listKeys(v, "other/", "", func(string) bool { return true }) })
	}
	for _, c := range []struct {
		do   func()
		wake []string
	}{
		{func() { tb.write(Set, "app/a", "2", 0) }, []string{"key app/a", "below app/"}},
		{func() { tb.write(Set, "app/b", "2", 0) }, []string{"below app/"}},
		{func() { tb.write(Set, "app/new", "2", 0) }, []string{"below app/"}},
		{func() { tb.write(Set, "other/c", "2", 0) }, []string{"below other/"}},
		{func() { tb.write(CAS, "app/a", "3", 1) }, nil},
		{func() { tb.write(Delete, "app/nosuch", "", 0) }, nil},
		{func() { tb.write(Delete, "app/a", "", 0) }, []string{"key app/a", "below app/"}},
		{func() { tb.write(DeleteTree, "other/", "", 0) }, []string{"below other/"}},
	} {
		start()
		c.do()
		for name, woke := range watches {
			if got, want := woke(), slices.Contains(c.wake, name); got != want {
				t.Errorf("step to index %d: %s woke: %v, want %v", tb.AppliedIndex(), name, got, want)
			}
		}
	}
}

func TestAListsIndexSurvivesDeleteAndReap(t *testing.T) {
	tb := newTable(t)
	tb.write(Set, "a/1", "", 0)    // 1
	tb.write(Set, "b", "", 0)      // 2
	tb.write(Delete, "a/1", "", 0) // 3
	tb.write(Set, "b", "", 0)      // 4
	if keys, index := tb.below("a/"); len(keys) != 0 || index != 3 {
		t.Fatalf("after the delete: %v at %d", keys, index)
	}
	if _, index := tb.read("b"); index != 4 {
		t.Fatalf("the index of b is %d", index)
	}
	if n, err := tb.Reap(t.Context(), time.Hour); n != 0 || err != nil {
		t.Fatalf("a young tombstone was reaped: %d, %v", n, err)
	}
	if n, err := tb.Reap(t.Context(), -time.Hour); n != 1 || err != nil {
		t.Fatalf("reaped %d, %v", n, err)
	}
	for _, prefix := range []string{"a/", "b", "never"} {
		if _, index := tb.below(prefix); index < 3 {
			t.Errorf("after the reap the index below %q fell to %d", prefix, index)
		}
	}
	if _, index := tb.read("b"); index != 4 {
		t.Errorf("the reap moved the index of one key to %d", index)
	}
}

func TestAKeyThatIsNotThereDoesNotWakeItsReader(t *testing.T) {
	tb := newTable(t)
	tb.write(Set, "b", "", 0)
	rep, err := tb.Endpoint.get(t.Context(), anyone(), &KeyRequest{Key: "a"})
	if err != nil || !rep.Absent() || rep.Index != 1 {
		t.Fatalf("%+v, %v", rep, err)
	}
	below, err := tb.Endpoint.list(t.Context(), anyone(), &KeyRequest{Key: "a/"})
	if err != nil || !below.Absent() || below.Index != 1 {
		t.Fatalf("%+v, %v", below, err)
	}
}

func TestWhatWasNeverThereIsKnownToHaveBeenAbsent(t *testing.T) {
	tb := newTable(t)
	absentAt := func(index uint64) (key, list, keys bool) {
		t.Helper()
		k, err := tb.Endpoint.get(t.Context(), anyone(), &KeyRequest{Key: "a/1"})
		l, err2 := tb.Endpoint.list(t.Context(), anyone(), &KeyRequest{Key: "never/"})
		n, err3 := tb.Endpoint.listKeys(t.Context(), anyone(), &KeyListRequest{Prefix: "never/"})
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		return k.AbsentAt(index), l.AbsentAt(index), n.AbsentAt(index)
	}
	expect := func(when string, index uint64, key, list bool) {
		t.Helper()
		if k, l, n := absentAt(index); k != key || l != list || n != list {
			t.Errorf("%s: a reader at %d is told that nothing has changed: key %v, list %v, keys %v; want %v, %v", when, index, k, l, n, key, list)
		}
	}
	tb.write(Set, "b", "", 0) // 1
	tb.write(Set, "b", "", 0) // 2
	expect("before the key was ever set", 1, true, true)
	tb.write(Set, "a/1", "", 0)    // 3
	tb.write(Delete, "a/1", "", 0) // 4
	expect("after its delete", 3, false, true)
	expect("after its delete", 4, true, true)
	if n, err := tb.Reap(t.Context(), -time.Hour); n != 1 || err != nil {
		t.Fatalf("reaped %d, %v", n, err)
	}
	expect("after its tombstone was reaped", 3, false, false)
	expect("after its tombstone was reaped", 4, true, true)
}

func TestKeysAreBytes(t *testing.T) {
	tb := newTable(t)
	keys := []string{"\x00", "\x00\x00", "a\x00b", "a", "\xff\xfe", "ü/\x00", "a b", "a%2fb", "//", "/"}
	for _, key := range keys {
		tb.write(Set, key, key, 0)
	}
	for _, key := range keys {
		if e, _ := tb.read(key); e == nil || string(e.Value) != key {
			t.Errorf("%q: %+v", key, e)
		}
	}
	got, _ := tb.below("")
	slices.Sort(keys)
	if !slices.Equal(got, keys) {
		t.Errorf("%q, want %q", got, keys)
	}
	if got, _ := tb.below("a\x00"); !slices.Equal(got, []string{"a\x00b"}) {
		t.Errorf("below a and zero: %q", got)
	}
}

func TestKeysAreCutAfterTheSeparator(t *testing.T) {
	tb := newTable(t)
	for _, key := range []string{"a/b/1", "a/b/2", "a/c", "a/c/d", "ab"} {
		tb.write(Set, key, "", 0)
	}
	for _, c := range []struct{ prefix, separator, want string }{
		{"", "", "a/b/1 a/b/2 a/c a/c/d ab"}, {"", "/", "a/ ab"}, {"a/", "/", "a/b/ a/c a/c/"}, {"a/", "b/", "a/b/ a/c a/c/d"}, {"x", "/", ""},
	} {
		rep, err := tb.Endpoint.listKeys(t.Context(), anyone(), &KeyListRequest{Prefix: c.prefix, Seperator: c.separator})
		if err != nil || strings.Join(rep.Keys, " ") != c.want {
			t.Errorf("%q by %q: %v (%v), want %s", c.prefix, c.separator, rep.Keys, err, c.want)
		}
	}
}

func TestSnapshotKeepsEveryRowAndIndex(t *testing.T) {
	tb := newTable(t)
	tb.write(Set, "a/1", "one", 0)
	tb.write(Set, "a/2", "", 0)
	tb.write(Set, "b\x00\xff", "\x00\xff", 0)
	tb.write(Delete, "a/1", "", 0)
	tb.write(Set, "gone", "", 0)
	tb.write(Delete, "gone", "", 0)
	tb.Reap(t.Context(), -time.Hour)
	tb.write(Delete, "a/2", "", 0)
	to := newTable(t)
	if err := to.Restore(storetest.Snapshot(t, tb.Store)); err != nil {
		t.Fatal(err)
	}
	if to.AppliedIndex() != tb.AppliedIndex() {
		t.Fatalf("applied index is %d, want %d", to.AppliedIndex(), tb.AppliedIndex())
	}
	for _, prefix := range []string{"", "a/", "b", "never"} {
		keys, index := to.below(prefix)
		wantKeys, wantIndex := tb.below(prefix)
		if !slices.Equal(keys, wantKeys) || index != wantIndex {
			t.Errorf("below %q: %q at %d, want %q at %d", prefix, keys, index, wantKeys, wantIndex)
		}
	}
	got, _ := to.read("b\x00\xff")
	want, _ := tb.read("b\x00\xff")
	if got == nil || !bytes.Equal(got.Value, want.Value) || got.ModifyIndex != want.ModifyIndex || got.Time != want.Time {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Replies are shared: callers that filter and sort must not disturb one another.
func TestRepliesCanBeFilteredAndSortedConcurrently(t *testing.T) {
	tb := newTable(t)
	for i := range 100 {
		tb.write(Set, fmt.Sprintf("k/%03d", i), fmt.Sprint(i), 0)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				rep, err := tb.Endpoint.list(context.Background(), anyone(), &KeyRequest{Key: "k/"})
				if err != nil || len(rep.Entries) != 100 {
					t.Errorf("%d entries, %v", len(rep.Entries), err)
					return
				}
				sorted := slices.SortedFunc(slices.Values(rep.Entries), func(a, b *Entry) int { return bytes.Compare(b.Value, a.Value) })
				even := slices.DeleteFunc(sorted, func(e *Entry) bool { return e.ModifyIndex%2 == 1 })
				if len(even) != 50 {
					t.Errorf("%d of them are even", len(even))
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 100 {
			if _, err := tb.apply(context.Background(), anyone(), &ApplyRequest{Op: Set, DirEnt: Entry{Key: "other", Value: []byte{byte(i)}}}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

func FuzzCommand(f *testing.F) {
	for _, cmd := range []any{&write{Verb: Set, Key: "a", Value: []byte("1")}, &write{Verb: CAS, Key: "a", Index: 3}, &tree{Prefix: "a"}, &reap{Before: 1}} {
		f.Add(storetest.Encode(f, opApply, cmd)[9:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		tb := newTable(t)
		tb.write(Set, "a", "1", 0)
		for _, op := range []store.Op{opApply, opDeleteTree, opReap} {
			entry := append(storetest.Encode(t, op, nil)[:9], body...)
			tb.log.Batch(entry)
		}
		tb.below("")
	})
}
