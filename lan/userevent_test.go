package lan

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/gossip/gossiptest"
)

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

		if err := a.UserEvent("deploy", []byte{0, 1, 0xff}, false); err != nil {
			t.Fatal(err)
		}
		if e := <-got; e.Name != "deploy" || !bytes.Equal(e.Payload, []byte{0, 1, 0xff}) {
			t.Errorf("got %+v", e)
		}

		if err := a.AnnounceLeader(); err != nil {
			t.Fatal(err)
		}
		leader := <-got
		if node, ok := NewLeader(leader); !ok || node != "a" {
			t.Errorf("new leader is %q, %v", node, ok)
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

// A join is two exchanges of members. What was fired before the first is old news, and
// what is fired between the two is for the new member too.
func TestEventsAreHeardFromTheFirstExchangeOn(t *testing.T) {
	for range 20 { // the moment is hard to hit
		gossiptest.Bubble(t, func(t *testing.T, network *gossiptest.Network) {
			p, err := New(defaults(t, on(network, "a", "127.0.0.1:8301")))
			if err != nil {
				t.Fatal(err)
			}
			if err := p.UserEvent("old", nil, false); err != nil {
				t.Fatal(err)
			}
			gossiptest.NewWatch(t, p.Pool, gossip.Handler{Member: func(change serf.EventType, m serf.Member) {
				if change == serf.EventMemberJoin && m.Name == "b" {
					if err := p.UserEvent("welcome", nil, false); err != nil {
						t.Error(err)
					}
				}
			}})
			b, err := New(defaults(t, on(network, "b", "127.0.0.2:8301")))
			if err != nil {
				t.Fatal(err)
			}
			got := make(chan string, 8)
			w := gossiptest.NewWatch(t, b.Pool, gossip.Handler{User: func(e serf.UserEvent) { got <- e.Name }})
			mustJoin(t, member{b, w}, "127.0.0.1:8301")
			select {
			case name := <-got:
				if name != "welcome" {
					t.Errorf("heard %q", name)
				}
			case <-time.After(time.Minute):
				t.Error("heard nothing")
			}
		})
	}
}
