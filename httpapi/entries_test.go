package httpapi

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/hanse-project/hanse/kv"
)

func TestEntriesAreWhatEncodingJSONMakesOfThem(t *testing.T) {
	texts := []string{"", "a", "config/app/limit", `quote " and \`, "<script>&amp;", "über", "\u2028", "tab\t", "\x00\x7f", "bad \xff utf", "😀"}
	entries := []*kv.Entry{}
	check := func() {
		t.Helper()
		got, err := encode(nil, entries, false)
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(entries)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	}
	check()
	for i, text := range texts {
		e := &kv.Entry{Key: text, Flags: math.MaxUint64 - uint64(i), LockIndex: uint64(i), CreateIndex: 7, ModifyIndex: math.MaxUint64, Time: 5}
		if i > 0 {
			e.Value = []byte(text)
		}
		if i%2 == 1 {
			e.Session = text
		}
		entries = append(entries, e)
		check()
	}
}

func FuzzEntry(f *testing.F) {
	f.Add("config/a", []byte("value"), "", uint64(1))
	f.Add("<\xff\u2029", []byte{}, "s\"", uint64(1<<63))
	f.Fuzz(func(t *testing.T, key string, value []byte, session string, n uint64) {
		e := &kv.Entry{Key: key, Value: value, Session: session, Flags: n, LockIndex: n, CreateIndex: n, ModifyIndex: n}
		if len(value) == 0 {
			e.Value = nil // both are null
		}
		want, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendEntry(nil, e); string(got) != string(want) {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}
