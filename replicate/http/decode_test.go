package replicatehttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/replicate"
)

func TestDecodeEntries(t *testing.T) {
	const one = `{"LockIndex":0,"Key":"c/a","Flags":18446744073709551615,"Value":"AAH+/w==","CreateIndex":5,"ModifyIndex":6}`
	for _, c := range []struct {
		name, body string
		n          int
		err        string
	}{
		{"a list", "[" + one + "," + one + "]", 2, ""},
		{"an empty value is null", `[{"Key":"c/a","Value":null}]`, 1, ""},
		{"a newline at the end", "[" + one + "]\n", 1, ""},
		{"pretty", "[\n  " + one + "\n]\n", 1, ""},
		{"an empty list", "[]", 0, ""},
		{"nothing", "", 0, "does not begin: unexpected EOF"},
		{"null", "null", 0, "not a list"},
		{"an object", "{}", 0, "not a list"},
		{"a web page", "<html></html>", 0, "does not begin"},
		{"cut inside an entry", "[" + one[:30], 0, "entry 0 of the list: unexpected EOF"},
		{"cut after an entry", "[" + one, 1, "does not end: unexpected EOF"},
		{"cut after a comma", "[" + one + ",", 1, "unexpected EOF"},
		{"no comma", "[" + one + one + "]", 1, "entry 1"},
		{"more than the list", "[" + one + "][]", 1, "something follows"},
		{"an entry that is none", "[7]", 0, "entry 0"},
		{"no key", `[{"Value":"AAA="}]`, 0, `key ""`},
		{"another prefix", `[{"Key":"d/a"}]`, 0, `does not begin with "c/"`},
		{"flags below zero", `[{"Key":"c/a","Flags":-1}]`, 0, "entry 0"},
		{"a value that is not base64", `[{"Key":"c/a","Value":"%"}]`, 0, "entry 0"},
	} {
		var got []replicate.Entry
		err := decodeEntries(strings.NewReader(c.body), "c/", func(e replicate.Entry) bool { got = append(got, e); return true })
		if len(got) != c.n || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %d entries, %v", c.name, len(got), err)
		}
		if c.name == "a list" && (got[0].Flags != 1<<64-1 || !bytes.Equal(got[0].Value, []byte{0, 1, 254, 255}) || got[0].CreateIndex != 5 || got[0].ModifyIndex != 6) {
			t.Errorf("%+v", got[0])
		}
	}
}

// FuzzDecodeEntries: an answer that is accepted is a whole JSON list of entries below
// the prefix, as a second decoder reads it.
func FuzzDecodeEntries(f *testing.F) {
	f.Add(`[{"Key":"c/a","Value":"AAA=","Flags":7}]`)
	f.Add(`[{"Key":"c/a"}`)
	f.Add(`[]x`)
	f.Fuzz(func(t *testing.T, body string) {
		n := 0
		if decodeEntries(strings.NewReader(body), "c/", func(replicate.Entry) bool { n++; return true }) != nil {
			return
		}
		var all []pair
		if err := json.Unmarshal([]byte(body), &all); err != nil || len(all) != n {
			t.Fatalf("%q was accepted as %d entries; it holds %d (%v)", body, n, len(all), err)
		}
	})
}

func TestDecodeTxn(t *testing.T) {
	ops := []txnOp{{txnKV{Verb: "cas", Key: "status/x"}}, {txnKV{Verb: "set", Key: "config/a"}}, {txnKV{Verb: checkSession, Key: "status/x/.lock"}}}
	for _, c := range []struct {
		name, body string
		index      uint64
		err        string
		moved      bool
	}{
		{"done", `{"Results":[{"KV":{"Key":"status/x","ModifyIndex":95}},{"KV":{"Key":"config/a","ModifyIndex":95}}],"Errors":null}`, 95, "", false},
		{"the record was moved", `{"Results":null,"Errors":[{"OpIndex":0,"What":"failed to set key \"status/x\", index is stale"}]}`, 0, "moved", true},
		{"the record may not be written", `{"Results":null,"Errors":[{"OpIndex":0,"What":"Permission denied"}]}`, 0, `cas of "status/x": Permission denied`, false},
		{"a key may not be written", `{"Results":null,"Errors":[{"OpIndex":1,"What":"Permission denied"}]}`, 0, `set of "config/a": Permission denied`, false},
		{"the lock may not be read", `{"Results":null,"Errors":[{"OpIndex":2,"What":"Permission denied"}]}`, 0, `check-session of "status/x/.lock": Permission denied`, false},
		{"the lock is another's", `{"Results":null,"Errors":[{"OpIndex":2,"What":"failed session check for key \"status/x/.lock\": current session \"b\" != session \"a\""}]}`, 0, "lock of the link was lost", false},
		{"the lock is gone", `{"Results":null,"Errors":[{"OpIndex":2,"What":"failed to check session \"a\" on key \"status/x/.lock\": key doesn't exist"}]}`, 0, "lock of the link was lost", false},
		{"an error of no operation", `{"Results":null,"Errors":[{"OpIndex":9,"What":"why"}]}`, 0, "refused: why", false},
		{"neither", `{"Results":[],"Errors":null}`, 0, "neither", false},
		{"cut", `{"Results":[`, 0, "unexpected EOF", false},
		{"nothing", ``, 0, "unexpected EOF", false},
	} {
		index, err := decodeTxn(strings.NewReader(c.body), ops)
		if index != c.index || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) || errors.Is(err, replicate.ErrMoved) != c.moved {
			t.Errorf("%s: %d, %v", c.name, index, err)
		}
	}
}

func FuzzDecodeTxn(f *testing.F) {
	f.Add(`{"Results":[{"KV":{"ModifyIndex":95}}],"Errors":null}`)
	f.Add(`{"Errors":[{"OpIndex":-1,"What":"x"}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		index, err := decodeTxn(strings.NewReader(body), []txnOp{{}})
		if (err == nil) != (index != 0) {
			t.Fatalf("%q: index %d with error %v", body, index, err)
		}
	})
}

func TestCostIsNeverBelowWhatAnOperationTakes(t *testing.T) {
	s := &Sink{}
	for _, op := range []replicate.Op{
		{Key: "a"},
		{Key: "a", Kind: replicate.DeleteKey},
		{Key: "a/<b>&\"\\\x01\u2028\xff", Value: []byte("xyzw"), Flags: 1<<64 - 1},
		{Key: strings.Repeat("ü", 100), Value: bytes.Repeat([]byte{0}, 1001)},
	} {
		kv := txnKV{Verb: "set", Key: op.Key, Value: op.Value, Flags: op.Flags, Index: 1<<64 - 1}
		if op.Kind == replicate.DeleteKey {
			kv = txnKV{Verb: "delete", Key: op.Key}
		}
		b, err := json.Marshal([]txnOp{{kv}})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Cost(op); got < len(b)-1 {
			t.Errorf("%q costs %d, takes %d", op.Key, got, len(b)-1)
		}
	}
}
