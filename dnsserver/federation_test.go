//go:build linux

package dnsserver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/test/lab"
)

// resolverPatience is how long resolvers wait before they ask another server.
const resolverPatience = 5 * time.Second

// found says what is wrong with an agent's answer, which should hold the text. An answer
// that a resolver would not have waited for is no answer.
func found(n *lab.Node, name string, qtype uint16, want string) error {
	client := &dns.Client{Timeout: resolverPatience}
	reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, qtype), n.Addr(lab.DNSPort))
	if err != nil {
		return err
	}
	if !strings.Contains(reply.String(), want) {
		return fmt.Errorf("%q is not in\n%s", want, reply)
	}
	return nil
}

func expectFound(t *testing.T, n *lab.Node, name string, qtype uint16, want string) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("%s finds %s", n.Name, name), func() error { return found(n, name, qtype, want) })
}

// register makes the only instance of a datacenter what status says.
func register(t *testing.T, dc *lab.DC, address, status string) {
	t.Helper()
	node := "web-" + dc.Name
	lab.Do(t, "register "+node, func() error {
		_, err := dc.Nodes[0].API(t).Catalog().Register(&api.CatalogRegistration{
			Node: node, Address: address, Service: &api.AgentService{ID: "web", Service: "web", Port: 80},
			Check: &api.AgentCheck{Node: node, CheckID: "web", Name: "web", Status: status, ServiceID: "web"},
		}, nil)
		return err
	})
}

// A query finds its service in the next datacenter when the one before is cut off, at
// servers and at client agents.
func TestQueriesFailOverOverDNS(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Clients("shanghai", 1), lab.Servers("beijing", 1), lab.Servers("osaka", 1))
	shanghai := fed.DC("shanghai")
	for name, address := range map[string]string{"shanghai": "10.1.0.1", "beijing": "10.2.0.1", "osaka": "10.3.0.1"} {
		register(t, fed.DC(name), address, api.HealthPassing)
	}
	_, _, err := shanghai.Nodes[0].API(t).PreparedQuery().Create(&api.PreparedQueryDefinition{
		Name: "web", DNS: api.QueryDNSOptions{TTL: "3s"},
		Service: api.ServiceQuery{Service: "web", Failover: api.QueryFailoverOptions{Datacenters: []string{"beijing", "osaka"}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	answers := func(address string) {
		t.Helper()
		for _, n := range shanghai.Nodes {
			expectFound(t, n, "web.query.consul.", dns.TypeA, "web.query.consul.\t3\tIN\tA\t"+address)
		}
	}
	answers("10.1.0.1")
	register(t, shanghai, "10.1.0.1", api.HealthCritical)
	answers("10.2.0.1")
	fed.Cut(t, "shanghai", "beijing")
	answers("10.3.0.1")
	for _, n := range shanghai.Nodes {
		expectFound(t, n, "web.service.beijing.consul.", dns.TypeA, "SERVFAIL")
		expectFound(t, n, "web.service.osaka.consul.", dns.TypeSRV, "80 web-osaka.node.osaka.consul.")
		expectFound(t, n, "web.service.paris.consul.", dns.TypeA, "NXDOMAIN")
	}
	fed.Heal(t, "shanghai", "beijing")
	answers("10.2.0.1")
}

// Servers of another datacenter that stand still are passed over; when all do, the
// question fails before a resolver gives up, and nobody here notices.
func TestFrozenServersOfAnotherDatacenter(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 1), lab.Clients("shanghai", 1), lab.Servers("beijing", 3))
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	register(t, shanghai, "10.1.0.1", api.HealthPassing)
	register(t, beijing, "10.2.0.1", api.HealthPassing)
	everywhere := func(name, want string) {
		t.Helper()
		for _, n := range shanghai.Nodes {
			expectFound(t, n, name, dns.TypeA, want)
		}
	}
	const there, here = "web.service.beijing.consul.", "web.service.consul."
	everywhere(there, "A\t10.2.0.1")
	servers := beijing.Servers()
	servers[0].Freeze(t)
	servers[1].Freeze(t)
	everywhere(there, "A\t10.2.0.1") // one that is alone answers stale questions
	servers[2].Freeze(t)
	everywhere(there, "SERVFAIL")
	everywhere(here, "A\t10.1.0.1")
	for _, s := range servers {
		s.Thaw(t)
	}
	everywhere(there, "A\t10.2.0.1")
}
