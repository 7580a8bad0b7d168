package gossip

import (
	"testing"

	"github.com/hashicorp/serf/serf"
)

func TestQueueKeepsOrderAndBoundsUserEvents(t *testing.T) {
	q := newQueue()
	q.push(serf.MemberEvent{Type: serf.EventMemberJoin})
	for n := range maxUserEvents + 5 {
		q.push(serf.UserEvent{LTime: serf.LamportTime(n)})
	}
	q.push(serf.MemberEvent{Type: serf.EventMemberLeave})

	events, dropped := q.take()
	if len(events) != maxUserEvents+2 || dropped != 5 {
		t.Fatalf("took %d events with %d dropped", len(events), dropped)
	}
	for n, e := range events[1 : maxUserEvents+1] {
		if u, ok := e.(serf.UserEvent); !ok || u.LTime != serf.LamportTime(n) {
			t.Fatalf("event %d is %v", n+1, e)
		}
	}
	if first, last := events[0].EventType(), events[len(events)-1].EventType(); first != serf.EventMemberJoin || last != serf.EventMemberLeave {
		t.Errorf("first is %v, last is %v: member events are never dropped", first, last)
	}
	q.push(serf.UserEvent{})
	if events, dropped := q.take(); len(events) != 1 || dropped != 0 {
		t.Errorf("then took %d events with %d dropped", len(events), dropped)
	}
}
