package entry

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/rpc/rpctest"
)

// inner is the content of a string on the wire.
func inner(t testing.TB, text []byte) []byte {
	t.Helper()
	var b []byte
	if err := codec.NewDecoderBytes(text, rpc.Msgpack).Decode(&b); err != nil {
		t.Fatal(err)
	}
	return b
}

// values are the MessagePack values of a stream.
func values(t testing.TB, text []byte) []any {
	t.Helper()
	r := bytes.NewReader(text)
	dec := codec.NewDecoder(r, rpc.Msgpack)
	var all []any
	for r.Len() > 0 {
		var v any
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// missing names what is in want and not in got: fields that are empty may be missing, and
// got may have more of them. Text that holds values in turn is compared by those.
func missing(t testing.TB, path string, want, got any) []string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return []string{fmt.Sprintf("%s is a %T", path, got)}
		}
		var all []string
		for name, value := range w {
			if name == "Hash" {
				continue // of the receiver's making
			}
			all = append(all, missing(t, path+"."+name, value, g[name])...)
		}
		return all
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return []string{fmt.Sprintf("%s is %v, want %v", path, got, want)}
		}
		var all []string
		for i := range w {
			all = append(all, missing(t, fmt.Sprint(path, "[", i, "]"), w[i], g[i])...)
		}
		return all
	case string:
		g, ok := got.(string)
		if ok && len(w) > 64 && w[0]&0xf0 >= 0x80 && w[0] != g[0] || ok && len(w) > 64 && w[0] == 0xde {
			return missing(t, path, values(t, []byte(w)), values(t, []byte(g)))
		}
	}
	if empty(want) || fmt.Sprint(want) == fmt.Sprint(got) {
		return nil
	}
	return []string{fmt.Sprintf("%s is %v, want %v", path, got, want)}
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		for _, item := range v {
			if !empty(item) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	}
	return reflect.ValueOf(v).IsZero()
}

func TestRecordedMessagesAreReadAndWrittenAsTheyAre(t *testing.T) {
	type message interface {
		encoding.BinaryMarshaler
		encoding.BinaryUnmarshaler
	}
	again := func(t *testing.T, text []byte, into message) {
		t.Helper()
		want := inner(t, text)
		if err := codec.NewDecoderBytes(text, rpc.Msgpack).Decode(into); err != nil {
			t.Fatal(err)
		}
		for _, m := range missing(t, "", values(t, want), values(t, inner(t, rpctest.Encode(t, into)))) {
			t.Error(m)
		}
	}
	for _, x := range rpctest.Recorded(t, "testdata/rpc.jsonl") {
		t.Run(x.Method+"/"+x.Note, func(t *testing.T) {
			switch x.Method {
			case Apply.Name, Remove.Name:
				again(t, x.Request, new(ApplyRequest))
			case Get.Name:
				again(t, x.Response, new(Reply))
			case List.Name:
				again(t, x.Response, new(Listing))
			case ListAll.Name:
				again(t, x.Response, new(Everything))
			}
		})
	}
}

// What arrives from outside is refused or understood, and never a panic.
func FuzzBinary(f *testing.F) {
	for _, x := range rpctest.Recorded(f, "testdata/rpc.jsonl") {
		if x.Method == Apply.Name || x.Method == Remove.Name {
			f.Add(inner(f, x.Request))
		} else {
			f.Add(inner(f, x.Response))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var apply ApplyRequest
		if apply.UnmarshalBinary(text) == nil && apply.Entry.Body != nil {
			if _, err := apply.MarshalBinary(); err != nil {
				t.Error(err)
			}
			if _, err := writeOf(Upsert, apply.Entry); err != nil {
				t.Log(err)
			}
		}
		for _, into := range []encoding.BinaryUnmarshaler{new(Reply), new(Listing), new(Everything)} {
			if err := into.UnmarshalBinary(text); err == nil {
				if _, err := into.(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
