package event

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/rpc"
)

// id is the nth UUID.
func id(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", n, 0xabcdef^n) }

// heard is an event as gossip brings it.
func heard(t *testing.T, e Event) serf.UserEvent {
	t.Helper()
	payload, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return serf.UserEvent{Name: gossipPrefix + e.Name, Payload: payload, LTime: 7}
}

func receiver(node string, services iter.Seq2[string, []string]) (*Receiver, *History, *[]*Event) {
	h, jobs := NewHistory(), new([]*Event)
	return NewReceiver(Config{
		Node: node, Services: services, Exec: func(e *Event) { *jobs = append(*jobs, e) }, Log: hclog.NewNullLogger(),
	}, h), h, jobs
}

func TestFiltersDecideWhoIsMeant(t *testing.T) {
	services := maps.All(map[string][]string{"web": {"v1", "primary"}, "db": nil})
	for name, c := range map[string]struct {
		event Event
		meant bool
	}{
		"everybody":                    {Event{}, true},
		"a part of the node's name":    {Event{NodeFilter: "web"}, true},
		"another node":                 {Event{NodeFilter: "^db"}, false},
		"a service":                    {Event{ServiceFilter: "^web$"}, true},
		"a service that is not here":   {Event{ServiceFilter: "cache"}, false},
		"a tag of a service":           {Event{ServiceFilter: "web", TagFilter: "^v[0-9]$"}, true},
		"a tag of another service":     {Event{ServiceFilter: "db", TagFilter: "v1"}, false},
		"one of two filters":           {Event{NodeFilter: "db", ServiceFilter: "web"}, false},
		"a filter that does not parse": {Event{NodeFilter: "["}, false},
		"a tag of no service":          {Event{TagFilter: "v1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, h, _ := receiver("web-1", services)
			c.event.ID, c.event.Name = id(1), "deploy"
			r.Take(heard(t, c.event))
			events, _ := h.List("")
			if len(events) == 1 != c.meant {
				t.Errorf("%d events, meant: %v", len(events), c.meant)
			}
		})
	}
}

func TestOnlyTheLastEventsAreKept(t *testing.T) {
	r, h, _ := receiver("n", maps.All(map[string][]string{}))
	_, changed := h.List("")
	for n := range Kept + 10 {
		r.Take(heard(t, Event{ID: id(n), Name: fmt.Sprintf("e%d", n%2)}))
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told of a change")
	}
	all, _ := h.List("")
	if len(all) != Kept || all[0].ID != id(10) || all[Kept-1].ID != id(Kept+9) || all[0].LTime != 7 {
		t.Errorf("%d events, from %+v to %+v", len(all), all[0], all[len(all)-1])
	}
	if odd, _ := h.List("e1"); len(odd) != Kept/2 || odd[0].Name != "e1" {
		t.Errorf("%d events of a name", len(odd))
	}
}

func TestAnEventIsHeardOnce(t *testing.T) {
	r, h, jobs := receiver("n", maps.All(map[string][]string{}))
	for range 2 {
		r.Take(heard(t, Event{ID: id(1), Name: "deploy"}))
		r.Take(heard(t, Event{ID: id(2), Name: ExecName}))
	}
	if events, _ := h.List(""); len(events) != 1 || events[0].Name != "deploy" {
		t.Errorf("heard %+v", events)
	}
	if len(*jobs) != 1 {
		t.Errorf("%d jobs, want 1", len(*jobs))
	}
}

func TestWhatIsNoEventIsIgnored(t *testing.T) {
	r, h, _ := receiver("n", maps.All(map[string][]string{}))
	r.Take(serf.UserEvent{Name: "consul:new-leader", Payload: []byte("a")})
	r.Take(serf.UserEvent{Name: gossipPrefix + "x", Payload: []byte("garbage")})
	r.Take(heard(t, Event{ID: "short", Name: "x"})) // clients cut IDs to pieces
	if events, _ := h.List(""); len(events) != 0 {
		t.Errorf("heard %+v", events[0])
	}
}

func TestIndexIsWhatClientsComputeOfTheID(t *testing.T) {
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if got := Index(nil); got != 0 {
		t.Errorf("the index of nothing is %d", got)
	}
	last := &Event{ID: "61e748ab-962b-19bb-477e-7853465b9e1f"}
	if got := Index([]*Event{{ID: id(1)}, last}); got != client.Event().IDToIndex(last.ID) || got != 2781308090085050276 {
		t.Errorf("the index is %d", got)
	}
}

// pool is a gossip pool that says what it was told.
type pool struct {
	err   error
	names []string
}

func (p *pool) UserEvent(name string, _ []byte, _ bool) error {
	p.names = append(p.names, name)
	return p.err
}

func TestServerChecksWhatItSends(t *testing.T) {
	good := Event{ID: id(1), Name: "deploy", ServiceFilter: "web", TagFilter: "v1"}
	for name, c := range map[string]struct {
		sent Event
		as   string
		pool error
		says string
	}{
		"an event":               {sent: good, as: "deploy"},
		"another name inside":    {sent: good, as: "harmless", says: `event "deploy" was sent under the name "harmless"`},
		"a filter with mistakes": {sent: Event{ID: id(1), Name: "e", NodeFilter: "["}, as: "e", says: "Invalid node filter: error parsing regexp: missing closing ]: `[`"},
		"tags of no service":     {sent: Event{ID: id(1), Name: "e", TagFilter: "v1"}, as: "e", says: "Cannot provide tag filter without service filter"},
		"too large":              {sent: good, as: "deploy", pool: errors.New("too large"), says: "error broadcasting event: too large"},
	} {
		t.Run(name, func(t *testing.T) {
			payload, err := c.sent.Encode()
			if err != nil {
				t.Fatal(err)
			}
			p := &pool{err: c.pool}
			_, err = NewEndpoint(p).fire(t.Context(), &rpc.Call{Authz: rpc.AllowAll{}}, &FireRequest{Name: c.as, Payload: payload})
			switch {
			case c.says == "" && (err != nil || len(p.names) != 1 || p.names[0] != "consul:event:deploy"):
				t.Errorf("sent as %v, %v", p.names, err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("error %v, want %s", err, c.says)
			}
		})
	}
	if _, err := NewEndpoint(&pool{}).fire(t.Context(), &rpc.Call{Authz: rpc.AllowAll{}}, &FireRequest{Name: "e", Payload: []byte{0xc1}}); err == nil {
		t.Error("garbage was sent")
	}
}
