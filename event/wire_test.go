package event

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/hanse-project/hanse/rpc/rpctest"
)

// recordedEvent is one of testdata/user_events.json: sent by a real agent.
type recordedEvent struct {
	HTTPReply Event `json:"http_reply"`
	Serf      struct {
		Name       string `json:"name"`
		PayloadHex string `json:"payload_hex"`
	} `json:"serf_user_event"`
}

func (r *recordedEvent) payload(t testing.TB) []byte { return rpctest.FromHex(t, r.Serf.PayloadHex) }

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

// What peers send decodes without a field left over, and encodes to as many bytes: the
// fields are the same, only maps come in any order.
func TestCallsAreThoseOfPeers(t *testing.T) {
	for _, x := range rpctest.Recorded(t, "testdata/rpc.jsonl") {
		t.Run(x.Note, func(t *testing.T) {
			req := &FireRequest{}
			rpctest.Reencode(t, x.Request, req)
			e, err := Decode(req.Payload)
			if err != nil || e.Name != req.Name {
				t.Errorf("the payload is %+v, %v", e, err)
			}
			if len(x.Response) > 0 { // a recorder sends as little as it can
				rpctest.Reencode(t, x.Response, &FireResponse{})
			}
		})
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
