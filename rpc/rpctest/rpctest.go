// Package rpctest has what tests of messages share: the calls that were recorded between
// others' servers, and whether our types say the same.
package rpctest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
)

// Exchange is one call, as it was recorded on a server port.
type Exchange struct {
	// Note says what it shows, and Error is what the header of the answer said.
	Method, Note, Error string
	// Header and Request are what was sent, and Response is the body of the answer.
	Header, Request, Response []byte
}

// Recorded are the exchanges in a file, one in a line.
func Recorded(t testing.TB, file string) []Exchange {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []Exchange
	for line := range bytes.Lines(text) {
		var x struct {
			Method, Note, Error string
			Header              string `json:"request_header_hex"`
			Request             string `json:"request_body_hex"`
			Response            string `json:"response_body_hex"`
		}
		if err := json.Unmarshal(line, &x); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, Exchange{x.Method, x.Note, x.Error, FromHex(t, x.Header), FromHex(t, x.Request), FromHex(t, x.Response)})
	}
	if len(all) == 0 {
		t.Fatalf("%s holds nothing", file)
	}
	return all
}

// FromHex is what a text of hexadecimal digits stands for.
func FromHex(t testing.TB, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Types are, by the name of a method, what its requests and its replies are.
type Types map[string][2]func() any

// Made makes an empty message.
func Made[T any]() any { return new(T) }

// Compare fails unless the exchanges in a file are of all the methods in types and of no
// other, and each of their messages is the same when it was decoded and encoded again.
func Compare(t *testing.T, file string, types Types) {
	seen := map[string]bool{}
	for _, x := range Recorded(t, file) {
		pair, known := types[x.Method]
		if !known {
			t.Errorf("%s has no types", x.Method)
			continue
		}
		seen[x.Method] = true
		t.Run(x.Method+"/"+x.Note, func(t *testing.T) {
			Reencode(t, x.Request, pair[0]())
			Reencode(t, x.Response, pair[1]())
		})
	}
	if len(seen) != len(types) {
		t.Errorf("recorded are %v", seen)
	}
}

// metaOfHanse is how many bytes the empty fields that only Hanse has add to a reply.
var metaOfHanse = len("\xb1HanseDatacenterID\xa0") + len("\xb0HanseIncarnation\xa0")

// Reencode fails unless a message decodes without a field left over, and encodes to as
// many bytes: the fields are the same, only maps come in any order.
func Reencode(t testing.TB, recorded []byte, into any) {
	t.Helper()
	Decode(t, recorded, into)
	want := len(recorded)
	if _, isReply := into.(rpc.Reply); isReply {
		want += metaOfHanse
	}
	if got := len(Encode(t, into)); got != want {
		t.Errorf("%T has %d bytes, want %d", into, got, want)
	}
}

// Decode reads a message, and fails if it has a field that into lacks.
func Decode(t testing.TB, data []byte, into any) {
	t.Helper()
	strict := &codec.MsgpackHandle{}
	strict.RawToString, strict.TimeNotBuiltin, strict.ErrorIfNoField = true, true, true
	strict.MapType, strict.TypeInfos = rpc.Msgpack.MapType, rpc.Msgpack.TypeInfos
	if err := codec.NewDecoderBytes(data, strict).Decode(into); err != nil {
		t.Fatalf("%T: %v", into, err)
	}
}

// Encode writes a message.
func Encode(t testing.TB, value any) []byte {
	t.Helper()
	var out []byte
	if err := codec.NewEncoderBytes(&out, rpc.Msgpack).Encode(value); err != nil {
		t.Fatalf("%T: %v", value, err)
	}
	return out
}
