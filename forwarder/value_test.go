package forwarder

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
)

func reader(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }

func TestReadValueTakesExactlyOneValue(t *testing.T) {
	for name, value := range map[string]any{
		"nothing":         nil,
		"numbers":         []any{uint64(0), uint64(200), uint64(1 << 40), -5, -70000, 1.5, float32(2)},
		"short string":    "abc",
		"long string":     strings.Repeat("x", 200_000),
		"nested":          map[string]any{"a": []any{map[string]any{"b": []any{true, false, nil}}}, "c": "d"},
		"a long array":    slices.Repeat([]any{"e"}, 70_000),
		"a struct":        &textRequest{Text: "t"},
		"an empty struct": &rpc.Nothing{},
	} {
		t.Run(name, func(t *testing.T) {
			var want []byte
			if err := codec.NewEncoderBytes(&want, rpc.Msgpack).Encode(value); err != nil {
				t.Fatal(err)
			}
			r := reader(append(slices.Clone(want), "rest"...))
			got, err := readValue(r, nil, len(want))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes, %v, want %d", len(got), err, len(want))
			}
			if rest, _ := io.ReadAll(r); string(rest) != "rest" {
				t.Fatalf("left %q", rest)
			}
			if _, err := readValue(reader(want), nil, len(want)-1); len(want) > 1 && !errors.Is(err, errTooLarge) {
				t.Fatalf("one byte too many: %v", err)
			}
			for _, cut := range []int{1, len(want) / 2, len(want) - 1} {
				if _, err := readValue(reader(want[:cut]), nil, len(want)); cut < len(want) && cut > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("cut after %d of %d: %v", cut, len(want), err)
				}
			}
			value, rest := cutValue(append(slices.Clone(want), "rest"...))
			if !bytes.Equal(value, want) || string(rest) != "rest" {
				t.Fatalf("cut into %d bytes and %q", len(value), rest)
			}
		})
	}
}

func TestReadValueRefusesWhatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		hex  string
		want error
	}{
		"nothing":                        {"", io.EOF},
		"an array of 4 billion":          {"ddffffffff", errTooLarge},
		"a map of 4 billion":             {"dfffffffff", errTooLarge},
		"a string of 4 GB":               {"dbffffffff", errTooLarge},
		"an array of 900 with 1":         {"dc038401", io.ErrUnexpectedEOF},
		"nested without end":             {strings.Repeat("91", 5000), errTooDeep},
		"arrays of arrays, all promised": {strings.Repeat("dc0100", 50), io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := hex.DecodeString(c.hex)
			if err != nil {
				t.Fatal(err)
			}
			got, err := readValue(reader(data), nil, 1<<20)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if cap(got) > 2*readStep {
				t.Fatalf("%d bytes were allocated", cap(got))
			}
		})
	}
	if _, err := readValue(reader([]byte{0xc1}), nil, 10); err == nil {
		t.Fatal("0xc1 begins no value")
	}
}

func TestDecodedValuesDoNotShareTheBuffer(t *testing.T) {
	m := newMessage()
	if err := m.encodeBody(&listReply{Items: [][]byte{[]byte("kept")}, Meta: rpc.Meta{ConsistencyLevel: "kept"}}); err != nil {
		t.Fatal(err)
	}
	var got listReply
	if err := m.decodeBody(&got); err != nil {
		t.Fatal(err)
	}
	var loose map[string]any
	if err := m.decodeBody(&loose); err != nil {
		t.Fatal(err)
	}
	clear(m.body)
	if string(got.Items[0]) != "kept" || got.ConsistencyLevel != "kept" || loose["ConsistencyLevel"] != "kept" {
		t.Fatalf("got %+v, %v", got, loose)
	}
}

func TestNilRepliesAreEmptyOnTheWire(t *testing.T) {
	m := newMessage()
	for want, reply := range map[string]any{
		"\x90": new([]string), "\x80": (*textReply)(nil), "\xa0": new(string), "\xc2": new(bool),
	} {
		if err := m.encodeBody(reply); err != nil || string(m.body) != want {
			t.Errorf("%T is %x (%v), want %x", reply, m.body, err, want)
		}
	}
	if err := m.encodeBody(nil); err != nil || string(m.body) != "\x80" {
		t.Errorf("nil is %x (%v)", m.body, err)
	}
}

func FuzzReadValue(f *testing.F) {
	for _, e := range recorded(f) {
		f.Add([]byte(e.RequestHeader))
		f.Add([]byte(e.ResponseBody))
	}
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 20
		got, err := readValue(reader(data), nil, limit)
		if len(got) > limit || !bytes.HasPrefix(data, got) {
			t.Fatalf("read %d bytes that are not the beginning of %d", len(got), len(data))
		}
		if err != nil {
			return
		}
		if value, rest := cutValue(data); !bytes.Equal(value, got) || len(value)+len(rest) != len(data) {
			t.Fatalf("cut %x, read %x", value, got)
		}
		h, err := parseHeader(got)
		if err == nil {
			if again, err := parseHeader(h.appendReply(nil)); err != nil || again.err != h.err || again.method != h.method || again.seq != h.seq {
				t.Fatalf("%+v became %+v, %v", h, again, err)
			}
		}
		m := newMessage()
		m.body = got
		for _, v := range []any{new(textRequest), new(listReply), new(any), new(string), new([]string), new(recordedEntries)} {
			if err := m.decodeBody(v); err != nil {
				continue
			}
		}
		for whole := got; len(got) > 0; got = got[:len(got)-1] { // every beginning of it lacks something
			if _, err := readValue(reader(got[:len(got)-1]), nil, limit); err == nil {
				t.Fatalf("%x is a value, and so is its beginning %x", whole, got[:len(got)-1])
			}
			if len(whole) > 64 {
				break
			}
		}
	})
}
