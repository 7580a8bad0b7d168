package event

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
)

// recordedEvent is one of testdata/user_events.json: sent by a real agent.
type recordedEvent struct {
	HTTPReply Event `json:"http_reply"`
	Serf      struct {
		Name       string `json:"name"`
		PayloadHex string `json:"payload_hex"`
	} `json:"serf_user_event"`
}

func (r *recordedEvent) payload(t testing.TB) []byte { return bytesOf(t, r.Serf.PayloadHex) }

func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func recordedEvents(t testing.TB) []recordedEvent {
	t.Helper()
	text, err := os.ReadFile("testdata/user_events.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		UserEvents []recordedEvent `json:"user_events"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.UserEvents) == 0 {
		t.Fatal("no recorded events")
	}
	return all.UserEvents
}

func TestEventsOfRealAgentsAreReadAndWritten(t *testing.T) {
	for _, r := range recordedEvents(t) {
		t.Run(r.Serf.Name, func(t *testing.T) {
			got, err := Decode(r.payload(t))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, &r.HTTPReply) {
				t.Errorf("event is %+v, want %+v", got, &r.HTTPReply)
			}
			if gossipPrefix+got.Name != r.Serf.Name {
				t.Errorf("%s is gossiped as %s", got.Name, r.Serf.Name)
			}
			again, err := got.Encode()
			if err != nil || !bytes.Equal(again, r.payload(t)) {
				t.Errorf("encodes as %x, %v; want %x", again, err, r.payload(t))
			}
		})
	}
}

// metaOfHanse is how many bytes the empty fields that only Hanse has add to a reply.
var metaOfHanse = len("\xb1HanseDatacenterID\xa0") + len("\xb0HanseIncarnation\xa0")

// What peers send decodes without a field left over, and encodes to as many bytes: the
// fields are the same, only maps come in any order.
func TestCallsAreThoseOfPeers(t *testing.T) {
	file, err := os.ReadFile("testdata/rpc.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(file) {
		var c struct{ Note, Request, Response string }
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.Note, func(t *testing.T) {
			req := &FireRequest{}
			reencode(t, c.Request, req, 0)
			e, err := Decode(req.Payload)
			if err != nil || e.Name != req.Name {
				t.Errorf("the payload is %+v, %v", e, err)
			}
			if c.Response != "" { // a recorder sends as little as it can
				reencode(t, c.Response, &FireResponse{}, metaOfHanse)
			}
		})
	}
}

func reencode(t *testing.T, text string, into any, more int) {
	t.Helper()
	recorded := bytesOf(t, text)
	strict := &codec.MsgpackHandle{}
	strict.RawToString, strict.TimeNotBuiltin, strict.ErrorIfNoField = true, true, true
	strict.MapType, strict.TypeInfos = rpc.Msgpack.MapType, rpc.Msgpack.TypeInfos
	if err := codec.NewDecoderBytes(recorded, strict).Decode(into); err != nil {
		t.Fatalf("%T: %v", into, err)
	}
	var out []byte
	if err := codec.NewEncoderBytes(&out, rpc.Msgpack).Encode(into); err != nil || len(out) != len(recorded)+more {
		t.Errorf("%T has %d bytes, want %d: %v", into, len(out), len(recorded)+more, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range recordedEvents(f) {
		f.Add(r.payload(f))
	}
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := Decode(payload)
		if err != nil {
			return
		}
		Index([]*Event{e})
		_ = e.Validate()
		again, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		same, err := Decode(again)
		if err != nil || same.Name != e.Name || same.TagFilter != e.TagFilter || !bytes.Equal(same.Payload, e.Payload) {
			t.Errorf("%+v came back as %+v, %v", e, same, err)
		}
	})
}
