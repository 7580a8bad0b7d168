package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// page asks for what changed below prefix behind a cursor.
func (tb *table) page(prefix string, since uint64, after string, limit int) *ChangesReply {
	tb.Helper()
	rep, err := tb.changes(context.Background(), anyone(), &ChangesRequest{Prefix: prefix, Since: since, After: after, Limit: limit})
	if err != nil {
		tb.Fatal(err)
	}
	return rep
}

// show writes changes as key@index, with a minus before those that are gone.
func show(rep *ChangesReply) string {
	var all []string
	for _, c := range rep.Changes {
		text := fmt.Sprintf("%s@%d", c.Key, c.ModifyIndex)
		if c.Deleted {
			text = "-" + text
		}
		all = append(all, text)
	}
	all = append(all, fmt.Sprintf("next %d%s", rep.Index, rep.After))
	if rep.More {
		all = append(all, "more")
	}
	return strings.Join(all, " ")
}

func TestChangesComeInOrderAndOnceEach(t *testing.T) {
	tb := newTable(t)
	tb.write(Set, "a/1", "x", 0)   // 1
	tb.write(Set, "b/1", "x", 0)   // 2
	tb.write(Set, "a/2", "x", 0)   // 3
	tb.write(Set, "a/1", "y", 0)   // 4
	tb.write(Delete, "a/2", "", 0) // 5
	tb.write(Set, "b/2", "x", 0)   // 6
	for _, c := range []struct {
		prefix string
		since  uint64
		limit  int
		want   string
	}{
		{"", 0, 0, "next 6"},
		{"", 1, 0, "b/1@2 a/1@4 -a/2@5 b/2@6 next 6"},
		{"a/", 1, 0, "a/1@4 -a/2@5 next 6"},
		{"a/", 3, 0, "a/1@4 -a/2@5 next 6"},
		{"a/", 4, 0, "-a/2@5 next 6"},
		{"a/", 5, 0, "next 6"},
		{"b/", 5, 0, "b/2@6 next 6"},
		{"", 2, 1, "a/1@4 next 4a/1 more"},
		{"", 5, 1, "b/2@6 next 6"},
		{"nosuch", 0, 0, "next 6"},
		{"", 99, 0, "next 6"},
	} {
		if got := show(tb.page(c.prefix, c.since, "", c.limit)); got != c.want {
			t.Errorf("below %q since %d: %s, want %s", c.prefix, c.since, got, c.want)
		}
	}
	if c := tb.page("a/1", 1, "", 0).Changes[0]; string(c.Value) != "y" || c.CreateIndex != 1 || c.Time == 0 || c.Deleted {
		t.Errorf("the change of a/1 is %+v", c)
	}
}

func TestOneIndexCanFillManyPages(t *testing.T) {
	tb := newTable(t)
	for i := range 2500 {
		tb.write(Set, fmt.Sprintf("tree/%04d", i), "", 0)
	}
	tb.write(DeleteTree, "tree/", "", 0)
	gone := tb.AppliedIndex()
	tb.write(Set, "tree/new", "", 0)
	since, after := gone-1, ""
	var seen []string
	for {
		rep := tb.page("tree/", since, after, 700)
		for _, c := range rep.Changes {
			seen = append(seen, c.Key)
		}
		since, after = rep.Index, rep.After
		if !rep.More {
			break
		}
	}
	if len(seen) != 2501 || !slices.IsSorted(seen) || len(slices.Compact(seen)) != 2501 {
		t.Fatalf("%d changes of 2,501, in order: %v", len(seen), slices.IsSorted(seen))
	}
	if since != tb.AppliedIndex() || after != "" {
		t.Fatalf("the cursor is %d %q", since, after)
	}
}

func TestChangesTravelAsArrays(t *testing.T) {
	sent := ChangesReply{Changes: []Change{
		{Key: "a", ModifyIndex: 7, Time: 5, CreateIndex: 3, Flags: 1, Value: []byte("v")}, {Key: "b", ModifyIndex: 8, Deleted: true},
	}, After: "b", More: true}
	var wire []byte
	if err := codec.NewEncoderBytes(&wire, rpc.Msgpack).Encode(&sent); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wire, []byte("ModifyIndex")) {
		t.Errorf("the names of the fields are sent with every row: %q", wire)
	}
	var got ChangesReply
	if err := codec.NewDecoderBytes(wire, rpc.Msgpack).Decode(&got); err != nil || !reflect.DeepEqual(got, sent) {
		t.Errorf("%+v came out of %+v (%v)", got, sent, err)
	}
}

func TestPagesAreBoundedInBytes(t *testing.T) {
	tb := newTable(t)
	tb.write(Set, "first", "", 0)
	for i := range 20 {
		tb.write(Set, fmt.Sprint("k", i), strings.Repeat("v", 200<<10), 0)
	}
	rep := tb.page("", 1, "", 0)
	if len(rep.Changes) != 6 || !rep.More {
		t.Fatalf("%d changes, more: %v", len(rep.Changes), rep.More)
	}
}

func TestWhatIsTooOldIsSaid(t *testing.T) {
	tb := newTable(t)
	behind := func(since uint64, after string) bool {
		_, err := tb.changes(t.Context(), anyone(), &ChangesRequest{Since: since, After: after})
		if err != nil && !errors.Is(err, rpc.ErrTooOld) {
			t.Fatal(err)
		}
		return err != nil
	}
	tooOld := func(since uint64) bool { return behind(since, "") }
	if got := show(tb.page("", 0, "", 0)); got != "next 1" {
		t.Errorf("before the first write the feed begins with %s", got)
	}
	tb.write(Set, "a", "", 0)    // 1
	tb.write(Delete, "a", "", 0) // 2
	tb.write(Set, "b", "", 0)    // 3
	if tooOld(1) {
		t.Error("the tombstone is there, and 1 is said to be too old")
	}
	if n, err := tb.Reap(t.Context(), -time.Hour); n != 1 || err != nil {
		t.Fatalf("reaped %d, %v", n, err)
	}
	if !behind(2, "Z") {
		t.Error("after the reap the rest of index 2 is known, which was a delete")
	}
	if !tooOld(1) || tooOld(2) || tooOld(0) {
		t.Errorf("after the reap: 1 is too old: %v, 2: %v, 0: %v", tooOld(1), tooOld(2), tooOld(0))
	}
	imported, err := tb.Import(storetest.Snapshot(t, tb.Store), 100, store.Identity{ID: "a", Incarnation: "b"})
	if err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer
	if err := errors.Join(imported.Write(&stream), tb.Restore(io.NopCloser(&stream))); err != nil {
		t.Fatal(err)
	}
	if !tooOld(3) || tooOld(100) {
		t.Errorf("after a restore: 3 is too old: %v, 100: %v", tooOld(3), tooOld(100))
	}
	if got := show(tb.page("", 0, "", 0)); got != "next 100" {
		t.Errorf("after a restore the feed begins with %s", got)
	}
}

func TestTheFeedSurvivesASnapshot(t *testing.T) {
	tb := newTable(t)
	for i := range 1500 {
		tb.write(Set, fmt.Sprint("k", i%700), "", 0)
	}
	tb.write(DeleteTree, "k1", "", 0)
	tb.write(Set, "k1", "back", 0)
	to := newTable(t)
	if err := to.Restore(storetest.Snapshot(t, tb.Store)); err != nil {
		t.Fatal(err)
	}
	for _, since := range []uint64{1, 900, 1499, 1501, tb.AppliedIndex()} {
		want, got := show(tb.page("k", since, "", 300)), show(to.page("k", since, "", 300))
		if got != want {
			t.Errorf("since %d the restored one has %s, want %s", since, got, want)
		}
	}
}

func TestFeedLeavesOutWhatMayNotBeRead(t *testing.T) {
	tb := newTable(t)
	tb.write(Set, "first", "", 0)
	tb.write(Set, "secret", "", 0)
	call := &rpc.Call{Authz: denied{}}
	rep, err := tb.changes(t.Context(), call, &ChangesRequest{Since: 1})
	if err != nil || len(rep.Changes) != 0 || !call.Filtered() {
		t.Fatalf("%+v, %v", rep, err)
	}
	for _, limit := range []int{-1, MaxChanges + 1} {
		if _, err := tb.changes(t.Context(), anyone(), &ChangesRequest{Limit: limit}); rpc.ReasonOf(err) != rpc.ReasonInvalid {
			t.Errorf("a limit of %d: %v", limit, err)
		}
	}
}

// follow keeps a copy of what is below a prefix.
type follow struct {
	prefix string
	since  uint64
	after  string
	copy   map[string]string
}

// begin takes a cursor, and then the list.
func (f *follow) begin(tb *table) {
	f.since, f.after = tb.page(f.prefix, 0, "", 0).Index, ""
	clear(f.copy)
	rep, err := tb.Endpoint.list(context.Background(), anyone(), &KeyRequest{Key: f.prefix})
	if err != nil {
		tb.Error(err)
	}
	for _, e := range rep.Entries {
		f.copy[e.Key] = string(e.Value)
	}
}

// step takes one page, and tells whether the copy is then that of a moment.
func (f *follow) step(tb *table, limit int) bool {
	if f.since == 0 {
		f.begin(tb)
	}
	rep, err := tb.changes(context.Background(), anyone(), &ChangesRequest{Prefix: f.prefix, Since: f.since, After: f.after, Limit: limit})
	if errors.Is(err, rpc.ErrTooOld) {
		f.since = 0
		return false
	}
	if err != nil {
		tb.Error(err)
		return true
	}
	for _, c := range rep.Changes {
		if delete(f.copy, c.Key); !c.Deleted {
			f.copy[c.Key] = string(c.Value)
		}
	}
	f.since, f.after = rep.Index, rep.After
	return !rep.More
}

// Whoever follows the feed has what there is, whatever happens, and however he reads.
func TestFollowersHaveWhatThereIs(t *testing.T) {
	for seed := range uint64(8) {
		tb := newTable(t)
		dice := rand.New(rand.NewPCG(seed, 1))
		followers := []*follow{{prefix: "", copy: map[string]string{}}, {prefix: "k1", copy: map[string]string{}}, {prefix: "none", copy: map[string]string{}}}
		key := func() string { return fmt.Sprint("k", dice.IntN(300)) }
		for n := range 6000 {
			switch roll := dice.IntN(1000); {
			case roll < 700:
				tb.write(Set, key(), fmt.Sprint(n), 0)
			case roll < 950:
				tb.write(Delete, key(), "", 0)
			case roll < 960:
				tb.write(DeleteTree, key()[:2], "", 0)
			case roll < 962:
				if _, err := tb.Reap(t.Context(), -time.Hour); err != nil {
					t.Fatal(err)
				}
			default:
				f := followers[dice.IntN(len(followers))]
				f.step(tb, 1+dice.IntN(20))
			}
		}
		want := map[string]string{}
		for e := range store.Rows[*Entry](tb.Read(nil), tableEntries, "id") {
			want[e.Key] = string(e.Value)
		}
		for _, f := range followers {
			for pages := 0; !f.step(tb, 50); pages++ {
				if pages > 1000 {
					t.Fatalf("below %q the feed has no end", f.prefix)
				}
			}
			below := maps.Clone(want)
			maps.DeleteFunc(below, func(key, _ string) bool { return !strings.HasPrefix(key, f.prefix) })
			if !maps.Equal(f.copy, below) {
				t.Fatalf("seed %d: below %q there are %d keys, and the follower has %d", seed, f.prefix, len(below), len(f.copy))
			}
		}
	}
}

// Pages that are read while the state changes must be of one moment: a and c are always
// written in one transaction.
func TestPagesAreOfOneMoment(t *testing.T) {
	tb := newTable(t)
	const rounds = 2000
	set := func(key string, n int) []byte {
		return storetest.Encode(t, opApply, &write{Verb: Set, Key: key, Value: fmt.Append(nil, n)})
	}
	tb.log.Batch(set("a", 0), set("c", 0))
	ctx, done := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			f := &follow{copy: map[string]string{}}
			for ctx.Err() == nil {
				if f.step(tb, 1000) && f.copy["a"] != f.copy["c"] {
					t.Errorf("a page ends with %v", f.copy)
					return
				}
			}
		})
	}
	for n := range rounds {
		tb.log.Batch(set("a", n), set(fmt.Sprint("b", n%50), n), set("c", n))
		if n%7 == 0 {
			tb.write(DeleteTree, "b", "", 0)
		}
	}
	done()
	wg.Wait()
}

func BenchmarkChangesOfOneKeyAmongMany(b *testing.B) {
	tb := newTable(b)
	for i := range 100_000 {
		tb.write(Set, fmt.Sprint("config/", i), "value", 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		since := tb.AppliedIndex()
		tb.write(Set, "config/500", "value", 0)
		if rep := tb.page("config/", since, "", 0); len(rep.Changes) != 1 {
			b.Fatal(show(rep))
		}
	}
}
