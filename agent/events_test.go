package agent_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// client talks to an agent as programs do.
func (r *running) client(t testing.TB) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: r.url("")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// heard waits until the agent knows the events of these names, in any order.
func (r *running) heard(t testing.TB, names ...string) {
	t.Helper()
	events := r.client(t).Event()
	slices.Sort(names)
	lab.Until(t, fmt.Sprintf("%s heard %v", r.addr, names), func() error {
		list, _, err := events.List("", nil)
		var got []string
		for _, e := range list {
			got = append(got, e.Name)
		}
		slices.Sort(got)
		if err != nil || !slices.Equal(got, names) {
			return errorOf(err, got)
		}
		return nil
	})
}

func TestEventsReachWhomTheyAreFor(t *testing.T) {
	server := start(t, "-dev", "-node", "leader")
	web := start(t, "-dev", "-server=false", "-node", "web-1", "-join", server.addr, "-hcl", `service { name = "web", tags = ["v1"] }`)
	other := start(t, "-dev", "-server=false", "-node", "other", "-join", server.addr)
	server.put(t, "ready", "yes")
	lab.Until(t, "everybody knows everybody", func() error {
		for _, r := range []*running{server, web, other} {
			members, err := r.client(t).Agent().Members(false)
			if err != nil || len(members) != 3 {
				return errorOf(err, len(members))
			}
		}
		return nil
	})
	fire := func(at *running, e api.UserEvent) {
		t.Helper()
		if _, _, err := at.client(t).Event().Fire(&e, nil); err != nil {
			t.Fatal(err)
		}
	}
	fire(server, api.UserEvent{Name: "all", Payload: []byte("x")})
	fire(other, api.UserEvent{Name: "webs", ServiceFilter: "^web$", TagFilter: "v[0-9]"})
	fire(web, api.UserEvent{Name: "others", NodeFilter: "^other$"})
	fire(web, api.UserEvent{Name: "nobody", ServiceFilter: "web", TagFilter: "v2"})
	fire(web, api.UserEvent{Name: "last"})
	server.heard(t, "all", "last")
	web.heard(t, "all", "webs", "last")
	other.heard(t, "all", "others", "last")
}

func TestEventsAreFiredInAnotherDatacenter(t *testing.T) {
	here := start(t, "-dev", "-node", "here", "-datacenter", "shanghai")
	there := start(t, "-dev", "-node", "there", "-datacenter", "beijing", "-retry-join-wan", here.addr)
	there.put(t, "ready", "yes")
	events := here.client(t).Event()
	lab.Until(t, "the other datacenter takes an event", func() error {
		_, _, err := events.Fire(&api.UserEvent{Name: "far"}, &api.WriteOptions{Datacenter: "beijing"})
		return err
	})
	there.heard(t, "far")
	here.heard(t)
}
