package kv

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store/storetest"
)

func (tb *table) entriesOf(req PageRequest) *Page {
	tb.Helper()
	rep, err := tb.entriesPage(context.Background(), anyone(), &req)
	if err != nil {
		tb.Fatal(err)
	}
	return rep
}

func (p *Page) keys() []string {
	keys := []string{}
	for _, e := range p.Entries {
		keys = append(keys, e.Key)
	}
	return keys
}

// Names of two different bytes and of any bytes at all, so that there are many keys which
// begin with others, and many that are not UTF-8.
func oddKey(dice *rand.Rand) string {
	key := make([]byte, 1+dice.IntN(6))
	for i := range key {
		if key[i] = "ab/\x00\xff\x80"[dice.IntN(6)]; dice.IntN(10) == 0 {
			key[i] = byte(dice.IntN(256))
		}
	}
	return string(key)
}

// Every page of any part of any keys has what sorting them gives.
func TestPagesAreInTheOrderOfBytes(t *testing.T) {
	for seed := range uint64(20) {
		dice := rand.New(rand.NewPCG(seed, 3))
		tb := newTable(t)
		var all []string
		for range 1 + dice.IntN(400) {
			key := oddKey(dice)
			tb.write(Set, key, "v"+key, 0)
			all = append(all, key)
		}
		for range len(all) / 4 {
			tb.write(Delete, all[dice.IntN(len(all))], "", 0)
		}
		slices.Sort(all)
		all = slices.Compact(all)
		all = slices.DeleteFunc(all, func(key string) bool { e, _ := tb.read(key); return e == nil })
		for range 300 {
			req := PageRequest{Limit: 1 + dice.IntN(20), Count: true}
			if dice.IntN(4) > 0 {
				req.Prefix = oddKey(dice)[:1]
			}
			if dice.IntN(2) == 0 {
				req.After = oddKey(dice)
			}
			if dice.IntN(2) == 0 {
				req.To = oddKey(dice)
			}
			want, total := []string{}, 0
			for _, key := range all {
				if !strings.HasPrefix(key, req.Prefix) {
					continue
				}
				total++
				if key > req.After && (req.To == "" || key < req.To) {
					want = append(want, key)
				}
			}
			more := len(want) > req.Limit
			want = want[:min(len(want), req.Limit)]
			rep := tb.entriesOf(req)
			if !slices.Equal(rep.keys(), want) || rep.More != more || rep.Total != total || rep.Index != tableIndex(tb.Read(nil)) {
				t.Fatalf("%+v: %q, more: %v, %d in all, index %d; want %q, more: %v, %d", req, rep.keys(), rep.More, rep.Total, rep.Index, want, more, total)
			}
		}
	}
}

func TestPagesOfNamedKeys(t *testing.T) {
	tb := newTable(t)
	for _, key := range []string{"a", "b/\xff", "c"} {
		tb.write(Set, key, "v", 0)
	}
	rep := tb.entriesOf(PageRequest{Keys: []string{"c", "nosuch", "b/\xff", ""}})
	if !slices.Equal(rep.keys(), []string{"c", "b/\xff"}) || rep.More {
		t.Errorf("%q, more: %v", rep.keys(), rep.More)
	}
	if rep := tb.entriesOf(PageRequest{Keys: []string{}}); len(rep.Entries) != 0 {
		t.Errorf("no keys are answered with %q", rep.keys())
	}
	if rep := tb.entriesOf(PageRequest{Keys: []string{"a", "c", "nosuch"}, Limit: 1}); !slices.Equal(rep.keys(), []string{"a"}) || !rep.More {
		t.Errorf("%q, more: %v", rep.keys(), rep.More)
	}
	if rep := tb.entriesOf(PageRequest{Keys: []string{"a", "nosuch"}, Limit: 1}); rep.More {
		t.Error("behind the last key there is said to be more")
	}
}

func TestPagesOfEntriesAreBounded(t *testing.T) {
	tb := newTable(t)
	var keys []string
	for i := range 20 {
		keys = append(keys, fmt.Sprintf("k%02d", i))
		tb.write(Set, keys[i], strings.Repeat("v", 200<<10), 0)
	}
	for _, req := range []PageRequest{{}, {Keys: keys}} {
		if rep := tb.entriesOf(req); len(rep.Entries) != 6 || !rep.More {
			t.Errorf("%d entries, more: %v", len(rep.Entries), rep.More)
		}
	}
	for _, req := range []PageRequest{{Limit: -1}, {Limit: MaxChanges + 1}, {Keys: make([]string, MaxChanges+1)}} {
		if _, err := tb.entriesPage(t.Context(), anyone(), &req); rpc.ReasonOf(err) != rpc.ReasonInvalid {
			t.Errorf("a mistaken request: %v", err)
		}
	}
	call := &rpc.Call{Authz: denied{}}
	rep, err := tb.entriesPage(t.Context(), call, &PageRequest{Count: true})
	if err != nil || len(rep.Entries) != 0 || rep.Total != 0 || !call.Filtered() {
		t.Errorf("who may read nothing gets %d entries of %d (%v)", len(rep.Entries), rep.Total, err)
	}
}

func TestEntriesTravelAsArrays(t *testing.T) {
	sent := Page{Entries: []PageEntry{{Entry: Entry{
		LockIndex: 1, Key: "not \xffUTF-8", Flags: 2, Value: []byte("v\xff"), Session: "s", CreateIndex: 3, ModifyIndex: 4, Time: 5, Origin: 6,
	}}, {Entry: Entry{Key: "k"}}}, More: true, Total: 9}
	var wire []byte
	if err := codec.NewEncoderBytes(&wire, rpc.Msgpack).Encode(&sent); err != nil {
		t.Fatal(err)
	}
	row := []byte("\x99\x01\xaanot \xffUTF-8\x02\xa2v\xff\xa1s\x03\x04\x05\x06")
	if !bytes.Contains(wire, row) {
		t.Errorf("the row %q is not in %q", row, wire)
	}
	var got Page
	if err := codec.NewDecoderBytes(wire, rpc.Msgpack).Decode(&got); err != nil || !reflect.DeepEqual(got, sent) {
		t.Errorf("%+v came out of %+v (%v)", got, sent, err)
	}
}

// fill writes n keys of about the length that people use.
func (tb *table) fill(n int) {
	var batch [][]byte
	for i := range n {
		batch = append(batch, storetest.Encode(tb, opApply, &write{Verb: Set, Key: fmt.Sprintf("config/service-%07d/limit", i), Value: make([]byte, 16)}))
		if len(batch) == 1000 || i == n-1 {
			tb.log.Batch(batch...)
			batch = nil
		}
	}
}

func BenchmarkPageAtTheEndOfAMillionKeys(b *testing.B) {
	tb := newTable(b)
	tb.fill(1_000_000)
	req := PageRequest{Prefix: "config/", After: "config/service-0998999/limit"}
	b.ReportAllocs()
	for b.Loop() {
		if rep := tb.entriesOf(req); len(rep.Entries) != 1000 || rep.More {
			b.Fatal(len(rep.Entries), rep.More)
		}
	}
}
