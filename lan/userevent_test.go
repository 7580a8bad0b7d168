package lan

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"strconv"
	"testing"

	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/gossip/gossiptest"
)

// recordedEvent is one of testdata/user_events.json: sent by a real agent.
type recordedEvent struct {
	HTTPReply UserEvent `json:"http_reply"`
	Serf      struct {
		Name       string `json:"name"`
		PayloadHex string `json:"payload_hex"`
	} `json:"serf_user_event"`
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

func TestRecordedUserEvents(t *testing.T) {
	for _, r := range recordedEvents(t) {
		t.Run(r.Serf.Name, func(t *testing.T) {
			payload, err := hex.DecodeString(r.Serf.PayloadHex)
			if err != nil {
				t.Fatal(err)
			}
			got, ok, err := ParseUserEvent(serf.UserEvent{Name: r.Serf.Name, Payload: payload, LTime: 7})
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			want := r.HTTPReply
			want.LTime = 7
			if !reflect.DeepEqual(got, want) {
				t.Errorf("event is %+v, want %+v", got, want)
			}
			again, err := encodeUserEvent(got)
			if err != nil || !bytes.Equal(again, payload) {
				t.Errorf("encodes as %x, %v; want %x", again, err, payload)
			}
		})
	}
}

func TestUserEventsReachEveryone(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		a := start(t, on(network, "a", "127.0.0.1:8301"))
		p, err := New(defaults(t, on(network, "b", "127.0.0.2:8301")))
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan serf.UserEvent, 8)
		gossiptest.NewWatch(t, p.Pool, gossip.Handler{User: func(e serf.UserEvent) { got <- e }})
		mustJoin(t, a, "127.0.0.2:8301")

		sent := UserEvent{ID: "1", Name: "deploy", Payload: []byte{0, 1, 0xff}, NodeFilter: "web.*"}
		if err := a.Fire(sent); err != nil {
			t.Fatal(err)
		}
		e, ok, err := ParseUserEvent(<-got)
		e.LTime, sent.Version = 0, 1
		if err != nil || !ok || !reflect.DeepEqual(e, sent) {
			t.Errorf("got %+v, %v, %v; want %+v", e, ok, err, sent)
		}

		if err := a.AnnounceLeader(); err != nil {
			t.Fatal(err)
		}
		leader := <-got
		if node, ok := NewLeader(leader); !ok || node != "a" {
			t.Errorf("new leader is %q, %v", node, ok)
		}
		if _, ok, err := ParseUserEvent(leader); ok || err != nil {
			t.Errorf("an internal event counts as a user's: %v, %v", ok, err)
		}

		err = a.Fire(UserEvent{Name: "big", Payload: make([]byte, 600)})
		const want = "error broadcasting event: user event exceeds configured limit of 512 bytes before encoding"
		if err == nil || err.Error() != want {
			t.Errorf("a large event: %v, want %s", err, want)
		}
	})
}

func FuzzUserEvent(f *testing.F) {
	for _, r := range recordedEvents(f) {
		payload, err := hex.DecodeString(r.Serf.PayloadHex)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := decodeUserEvent(payload)
		if err != nil {
			return
		}
		again, err := encodeUserEvent(e)
		if err != nil {
			t.Fatal(err)
		}
		same, err := decodeUserEvent(again)
		if err != nil || same.Name != e.Name || same.TagFilter != e.TagFilter || !bytes.Equal(same.Payload, e.Payload) {
			t.Errorf("%+v came back as %+v, %v", e, same, err)
		}
	})
}

func TestSlowHandlerHoldsNothingUp(t *testing.T) {
	gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
		p, err := New(defaults(t, on(network, "a", "127.0.0.1:8301")))
		if err != nil {
			t.Fatal(err)
		}
		const events = 5000 // more than all the buffers on the way
		release, got := make(chan struct{}), make(chan string, events)
		gossiptest.NewWatch(t, p.Pool, gossip.Handler{
			Member: func(serf.EventType, serf.Member) { <-release },
			User: func(e serf.UserEvent) {
				if len(p.Members()) == 1 { // asking the pool from here is allowed
					got <- e.Name
				}
			},
		})
		for n := range events {
			if err := p.UserEvent(strconv.Itoa(n), nil, false); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(p.Members()); n != 1 {
			t.Errorf("%d members", n)
		}
		close(release)
		for n := range events {
			if name := <-got; name != strconv.Itoa(n) {
				t.Fatalf("event %d is %s", n, name)
			}
		}
	})
}
