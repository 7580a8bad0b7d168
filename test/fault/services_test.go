//go:build linux

package fault

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// What is registered stays in every answer, whichever servers die, and what is registered
// meanwhile is there once a server can write it down.
func TestLostServersCostNoRegistration(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Clients("shanghai", 2), keepServers)
	shanghai := fed.DC("shanghai")
	agents := []*lab.Node{fed.Node("shanghai-c1"), fed.Node("shanghai-c2")}
	registered := 0
	register := func(n int) {
		t.Helper()
		for range n {
			registerApp(t, agents[registered%len(agents)], fmt.Sprintf("app-%d", registered))
			registered++
		}
	}
	register(20)
	passing(t, agents[0], registered)
	never := neverFewer(t, registered, shanghai.Nodes...)

	lost := shanghai.KillLeader(t)
	register(10) // without a leader
	passing(t, agents[1], registered)
	lost.Start(t)
	shanghai.WaitWhole(t)
	other := shanghai.Followers(t)[0]
	other.Kill(t)
	register(10)
	passing(t, agents[0], registered)
	other.Start(t)
	shanghai.WaitWhole(t)

	for _, s := range shanghai.Servers() {
		s.Kill(t)
	}
	register(10) // without any server
	for _, s := range shanghai.Servers() {
		s.Start(t)
	}
	for _, n := range shanghai.Nodes {
		passing(t, n, registered)
	}
	never()
}

// The services of a client agent that is killed are critical with their node. When it is
// there again they are as they were, and so are those of one that left.
func TestTheServicesOfAnAgentSurviveItsEnd(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), lab.QuickGossip(), lab.Servers("shanghai", 1), lab.Clients("shanghai", 1))
	server, agent := fed.Node("shanghai-s1"), fed.Node("shanghai-c1")
	for i := range 10 {
		registerApp(t, agent, fmt.Sprintf("app-%d", i))
	}
	passing(t, server, 10)
	agent.Kill(t)
	passing(t, server, 0)
	agent.Start(t)
	passing(t, server, 10)
	if err := agent.API(t).Agent().ServiceDeregister("app-3"); err != nil {
		t.Fatal(err)
	}
	passing(t, server, 9)
	agent.Stop(t) // it leaves
	server.WaitCatalog(t, "shanghai-s1")
	agent.Start(t)
	passing(t, server, 9)
}

// registerApp registers an instance of app that is well for the next ten minutes.
func registerApp(t *testing.T, n *lab.Node, id string) {
	t.Helper()
	if err := n.API(t).Agent().ServiceRegister(&api.AgentServiceRegistration{
		ID: id, Name: "app", Port: 80, Check: &api.AgentServiceCheck{TTL: "10m"},
	}); err != nil {
		t.Fatal(err)
	}
	if err := n.API(t).Agent().PassTTL("service:"+id, "well"); err != nil {
		t.Fatal(err)
	}
}

// passing waits until so many instances of app are healthy, asked at this agent.
func passing(t *testing.T, n *lab.Node, want int) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("%d instances pass for %s", want, n.Name), func() error {
		found, _, err := n.API(t).Health().Service("app", "", true, nil)
		if err == nil && len(found) != want {
			err = fmt.Errorf("it is %d", len(found))
		}
		return err
	})
}

// neverFewer asks every agent again and again, until the function that it returns is
// called. An answer with fewer healthy instances than least fails the test.
func neverFewer(t *testing.T, least int, agents ...*lab.Node) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, n := range agents {
		wg.Go(func() {
			for ctx.Err() == nil {
				query := (&api.QueryOptions{}).WithContext(ctx)
				if found, _, err := n.API(t).Health().Service("app", "", true, query); err == nil && len(found) < least {
					t.Errorf("%s answers with %d instances, want %d at least", n.Name, len(found), least)
					return
				}
				time.Sleep(5 * time.Millisecond) // the agents have other work to do
			}
		})
	}
	end = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(end)
	return end
}

// A question for a prepared query is answered by the first datacenter that can be reached
// and has a healthy instance, over HTTP and over DNS, whatever happens to packets.
func TestNamespacesAPreparedQueryFailsOver(t *testing.T) {
	fed := lab.Start(t, lab.Namespaces(), lab.Servers("shanghai", 1), lab.Clients("shanghai", 1), lab.Servers("beijing", 1), lab.Servers("osaka", 1))
	for _, n := range fed.Nodes() {
		if n.Server {
			registerApp(t, n, "app-"+n.DC.Name)
		}
	}
	shanghai := fed.DC("shanghai")
	if _, _, err := shanghai.Nodes[0].API(t).PreparedQuery().Create(&api.PreparedQueryDefinition{
		Name: "any-app", Service: api.ServiceQuery{Service: "app", Failover: api.QueryFailoverOptions{Datacenters: []string{"beijing", "osaka"}}},
	}, nil); err != nil {
		t.Fatal(err)
	}
	// answers waits until all agents of shanghai answer with the instance of dc, "" for none.
	answers := func(dc string) {
		t.Helper()
		var want []string
		if dc != "" {
			want = append(want, fed.DC(dc).Nodes[0].IP)
		}
		for _, n := range shanghai.Nodes {
			overHTTP(t, n, dc)
			overDNS(t, n, "any-app.query.consul.", want...)
		}
	}
	answers("shanghai")
	if err := fed.Node("shanghai-s1").API(t).Agent().FailTTL("service:app-shanghai", "ill"); err != nil {
		t.Fatal(err)
	}
	answers("beijing")
	fed.Cut(t, "shanghai", "beijing")
	answers("osaka")
	fed.Cut(t, "shanghai", "osaka")
	answers("")
	fed.Heal(t, "shanghai", "beijing")
	answers("beijing")
	if err := fed.Node("shanghai-s1").API(t).Agent().PassTTL("service:app-shanghai", "well"); err != nil {
		t.Fatal(err)
	}
	answers("shanghai")
}

func overHTTP(t *testing.T, n *lab.Node, dc string) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("%s answers over HTTP from %q", n.Name, dc), func() error {
		found, _, err := n.API(t).PreparedQuery().Execute("any-app", nil)
		switch {
		case err != nil:
			return err
		case dc == "" && len(found.Nodes) == 0:
			return nil
		case len(found.Nodes) != 1 || found.Datacenter != dc:
			return fmt.Errorf("it answers with %d instances of %q", len(found.Nodes), found.Datacenter)
		}
		return nil
	})
}
