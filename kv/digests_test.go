package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/kv/digest"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

func (tb *table) digestsOf(origin uint64, q digest.Query) *digest.Reply {
	tb.Helper()
	rep, err := tb.digests(context.Background(), anyone(), &DigestsRequest{Query: q, Origin: origin})
	if err != nil {
		tb.Fatal(err)
	}
	return rep.Reply()
}

// side is the table as one side of a comparison.
func (tb *table) side(prefix string, origin uint64) digest.Side {
	return digest.Side{Prefix: prefix, Ask: func(ctx context.Context, q digest.Query) (*digest.Reply, error) {
		rep, err := tb.digests(ctx, anyone(), &DigestsRequest{Query: q, Origin: origin})
		if err != nil {
			return nil, err
		}
		return rep.Reply(), nil
	}}
}

// afresh replaces the state by a snapshot of it, taken as it is or brought in from outside.
func (tb *table) afresh(outside bool) {
	tb.Helper()
	stream := storetest.Snapshot(tb, tb.Store)
	if outside {
		at := tb.AppliedIndex() + 10
		imported, err := tb.Import(stream, at, store.Identity{ID: "dc", Incarnation: fmt.Sprint("restored at ", at)})
		if err != nil {
			tb.Fatal(err)
		}
		var archive bytes.Buffer
		if err := imported.Write(&archive); err != nil {
			tb.Fatal(err)
		}
		stream = io.NopCloser(&archive)
		tb.log.SkipTo(at)
	}
	if err := tb.Restore(stream); err != nil {
		tb.Fatal(err)
	}
}

// Whatever happens, a tree that follows has the sums of one that is made afresh.
func TestTreesFollowWhateverHappens(t *testing.T) {
	for seed := range uint64(6) {
		dice := rand.New(rand.NewPCG(seed, 5))
		tb := newTable(t)
		selections := []selection{{}, {prefix: "a"}, {origin: 7}, {prefix: "a/", origin: 8}, {prefix: "a/", exclude: []string{"1", "\xff"}}, {prefix: "none"}}
		key := func() string {
			return []string{"a/", "a/", "a\xff", "b"}[dice.IntN(4)] + fmt.Sprint(dice.IntN(700))
		}
		for step := range 4000 {
			switch roll := dice.IntN(1000); {
			case roll < 400:
				tb.write(Set, key(), fmt.Sprint(dice.IntN(3)), 0)
			case roll < 550:
				tb.mirror(7+uint64(dice.IntN(2)), MirrorOp{Kind: MirrorSet, Key: key(), Value: fmt.Append(nil, dice.IntN(3))})
			case roll < 600:
				tb.mirror(7, MirrorOp{Kind: MirrorAdopt, Key: key()}, MirrorOp{Kind: MirrorRelease, Key: key()})
			case roll < 900:
				tb.write(Delete, key(), "", 0)
			case roll < 905:
				tb.write(DeleteTree, key()[:2], "", 0)
			case roll < 910:
				if _, err := tb.Reap(t.Context(), -time.Hour); err != nil {
					t.Fatal(err)
				}
			case roll < 914:
				tb.afresh(roll < 912)
			default:
				of := selections[dice.IntN(len(selections))]
				q := digest.Query{Prefix: of.prefix, Exclude: of.exclude, Level: dice.IntN(4)}
				got := tb.digestsOf(of.origin, q)
				v := tb.Read(nil)
				want := digest.Build(of.entries(v)).Answer(&q, of.entries(v))
				if want.Index = tableIndex(v); !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d, step %d: %+v: %d levels and %d ranges at %d, want %d and %d at %d", seed, step, of,
						got.Levels, len(got.Ranges[0]), got.Index, want.Levels, len(want.Ranges[0]), want.Index)
				}
			}
		}
	}
}

func TestTwoTablesAreComparedByTheirSums(t *testing.T) {
	from, to := newTable(t), newTable(t)
	var ops []MirrorOp
	for i := range 3000 {
		key := fmt.Sprintf("%04d", i)
		from.write(Set, "config/"+key, "v", 0)
		ops = append(ops, MirrorOp{Key: "copy/" + key, Value: []byte("v")})
	}
	from.write(Set, "config/private/1", "secret", 0)
	from.write(Set, "config", "is not below it", 0)
	to.mirror(7, ops...)
	to.write(Set, "copy/own", "not the link's", 0)
	compare := func() *digest.Result {
		t.Helper()
		r, err := digest.Compare(t.Context(), from.side("config/", 0), to.side("copy/", 7), "private/")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := compare(); !r.Equal() || r.Source.Keys != 3000 || r.Destination.Keys != 3000 ||
		r.Source.Index != tableIndex(from.Read(nil)) || r.Destination.Index != tableIndex(to.Read(nil)) {
		t.Fatalf("%+v", r)
	}
	to.write(Set, "copy/0100", "drift", 0) // and is no more the link's
	to.mirror(7, MirrorOp{Kind: MirrorDelete, Key: "copy/0200"}, MirrorOp{Kind: MirrorRelease, Key: "copy/0300"},
		MirrorOp{Key: "copy/0400", Value: []byte("v"), Flags: 1}, MirrorOp{Kind: MirrorAdopt, Key: "copy/own"})
	from.write(Set, "config/\xff", "new", 0)
	if r := compare(); !slices.Equal(r.Keys, []string{"0100", "0200", "0300", "0400", "own", "\xff"}) || len(r.Stretches) > 0 {
		t.Errorf("%+v", r)
	}
}

func TestWhoMayNotReadAllGetsNoSums(t *testing.T) {
	tb := newTable(t)
	if _, err := tb.digests(t.Context(), &rpc.Call{Authz: denied{}}, &DigestsRequest{}); !errors.Is(err, rpc.ErrPermissionDenied) {
		t.Errorf("%v", err)
	}
	for _, q := range []digest.Query{{Level: -1}, {Spans: digest.Spans{{From: "b", To: "a"}}}} {
		if _, err := tb.digests(t.Context(), anyone(), &DigestsRequest{Query: q}); rpc.ReasonOf(err) != rpc.ReasonInvalid {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func TestAServerKeepsFewTrees(t *testing.T) {
	tb := newTable(t)
	tb.write(Set, "a", "", 0)
	for i := range 3 * maxTrees {
		tb.digestsOf(0, digest.Query{Exclude: []string{"b", "a"}})
		tb.digestsOf(0, digest.Query{Exclude: []string{"a", "b", "a"}})
		tb.digestsOf(0, digest.Query{Prefix: fmt.Sprint(i)})
	}
	if n := len(tb.trees.kept); n != maxTrees {
		t.Errorf("%d trees are kept", n)
	}
	if of := (selection{exclude: []string{"a", "b"}}); tb.trees.kept[1].id != of.id() {
		t.Errorf("the latest but one is that of %s, want %s", tb.trees.kept[1].id, of.id())
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	kept := tb.trees.find("0 \"\" []")
	kept.turn <- struct{}{}
	if _, err := tb.digests(gone, anyone(), &DigestsRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("who is gone still waits: %v", err)
	}
}

// Questions that come at once, while keys change, are each answered as of one moment: a and
// c are always written in one transaction.
func TestSumsAreOfOneMoment(t *testing.T) {
	tb := newTable(t)
	set := func(key string, n int) []byte {
		return storetest.Encode(t, opApply, &write{Verb: Set, Key: key, Value: fmt.Append(nil, n)})
	}
	const rounds = 1000
	round := map[digest.Sum]int{} // by the sum of either key alone
	for n := range rounds {
		for _, key := range []string{"a/k", "c/k"} {
			tb.log.Batch(set(key, n))
			round[tb.digestsOf(0, digest.Query{Spans: digest.Spans{{From: key, To: key + "\x00"}}}).Ranges[0][0].Sum] = n
		}
	}
	ctx, done := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	for i := range 4 {
		asking.Go(func() {
			for ctx.Err() == nil {
				q := digest.Query{Spans: digest.Spans{{From: "a/k", To: "a/l"}, {From: "c/k", To: "c/l"}}, Level: i}
				rep, err := tb.digests(t.Context(), anyone(), &DigestsRequest{Query: q})
				if err != nil || rep.Index == 0 || len(rep.Ranges[0]) != 1 || len(rep.Ranges[1]) != 1 {
					t.Errorf("%+v, %v", rep, err)
					return
				}
				a, known := round[rep.Ranges[0][0].Sum]
				if c := round[rep.Ranges[1][0].Sum]; a != c || !known {
					t.Errorf("an answer has a of round %d and c of %d", a, c)
					return
				}
			}
		})
	}
	asking.Go(func() {
		for ctx.Err() == nil {
			r, err := digest.Compare(t.Context(), tb.side("a/", 0), tb.side("a/", 0))
			if err != nil || len(r.Keys) > 1 {
				t.Errorf("%+v, %v", r, err)
				return
			}
		}
	})
	for n := range rounds {
		tb.log.Batch(set("a/k", n), set(fmt.Sprint("b", n%300), n), set("c/k", n))
		if n%50 == 0 {
			tb.write(DeleteTree, "b", "", 0)
		}
	}
	done()
	asking.Wait()
}

func TestQuestionsForDigestsTravel(t *testing.T) {
	sent := DigestsRequest{Query: digest.Query{Prefix: "p\xff", Exclude: []string{"x\xff"}, Spans: digest.Spans{{From: "a\xff", To: "b"}, {From: "b"}}, Level: 3}, Origin: 9}
	answer := DigestsReply{Levels: 4, Ranges: digest.Ranges{{{Start: "a\xff", Count: 2, Sum: digest.Sum{1, 0xff}}}, nil}, Meta: rpc.Meta{Index: 5}}
	var got DigestsRequest
	var back DigestsReply
	for _, c := range []struct{ what, into any }{{&sent, &got}, {&answer, &back}} {
		var wire []byte
		if err := codec.NewEncoderBytes(&wire, rpc.Msgpack).Encode(c.what); err != nil {
			t.Fatal(err)
		}
		if err := codec.NewDecoderBytes(wire, rpc.Msgpack).Decode(c.into); err != nil || !reflect.DeepEqual(c.what, c.into) {
			t.Errorf("%+v came out of %+v (%v)", c.into, c.what, err)
		}
	}
}

// A comparison that finds nothing is one question to each side.
func TestAnIdleComparisonIsSmall(t *testing.T) {
	tb := newTable(t)
	tb.fill(1000)
	sent, questions := 0, 0
	side := digest.Side{Prefix: "config/", Ask: func(ctx context.Context, q digest.Query) (*digest.Reply, error) {
		req := &DigestsRequest{Query: q}
		rep, err := tb.digests(ctx, anyone(), req)
		for _, what := range []any{req, rep} {
			var wire []byte
			if err := codec.NewEncoderBytes(&wire, rpc.Msgpack).Encode(what); err != nil {
				return nil, err
			}
			sent += len(wire)
		}
		questions++
		return rep.Reply(), err
	}}
	r, err := digest.Compare(t.Context(), side, tb.side("config/", 0))
	if err != nil || !r.Equal() || r.Source.Keys != 1000 {
		t.Fatalf("%+v, %v", r, err)
	}
	if t.Logf("%d bytes", sent); questions != 1 || sent > 700 {
		t.Errorf("it took %d questions and %d bytes", questions, sent)
	}
}

func BenchmarkRootWhenOneKeyOfAMillionChanged(b *testing.B) {
	tb := newTable(b)
	tb.fill(1_000_000)
	root := digest.Query{Prefix: "config/", Level: digest.MaxLevel}
	tb.digestsOf(0, root)
	b.ReportAllocs()
	for b.Loop() {
		tb.write(Set, "config/service-0500000/limit", "value", 0)
		if rep := tb.digestsOf(0, root); rep.Ranges[0][0].Count != 1_000_000 {
			b.Fatal(rep)
		}
	}
}

func BenchmarkTreeOfAMillionKeys(b *testing.B) {
	tb := newTable(b)
	tb.fill(1_000_000)
	of := selection{prefix: "config/"}
	b.ReportAllocs()
	for b.Loop() {
		digest.Build(of.entries(tb.Read(nil)))
	}
}
