//go:build linux

package query_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// One datacenter has lost its instances, the nearest other one is cut off: the answer
// comes from the third, through servers and client agents alike, and from the second
// again once it can be reached.
func TestAQueryFailsOverPastADatacenterThatIsCutOff(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Clients("shanghai", 1), lab.Servers("beijing", 1), lab.Servers("osaka", 1))
	for _, name := range []string{"shanghai", "beijing", "osaka"} {
		register(t, fed.DC(name), api.HealthPassing)
	}
	shanghai := fed.DC("shanghai")
	_, _, err := shanghai.Nodes[0].API(t).PreparedQuery().Create(&api.PreparedQueryDefinition{
		Name: "web", DNS: api.QueryDNSOptions{TTL: "3s"},
		Service: api.ServiceQuery{Service: "web", Failover: api.QueryFailoverOptions{Datacenters: []string{"beijing", "osaka"}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	answers := func(dc string, failovers int) {
		t.Helper()
		for _, n := range shanghai.Nodes {
			lab.Until(t, fmt.Sprintf("%s is told of web in %s", n.Name, dc), func() error { return told(t, n, dc, failovers) })
		}
	}
	answers("shanghai", 0)
	register(t, shanghai, api.HealthCritical)
	answers("beijing", 1)
	fed.Cut(t, "shanghai", "beijing")
	answers("osaka", 2)
	fed.Cut(t, "shanghai", "osaka")
	answers("", 2)
	fed.Heal(t, "shanghai", "beijing")
	answers("beijing", 1)
	register(t, shanghai, api.HealthPassing)
	answers("shanghai", 0)
}

// register makes the only instance of a datacenter what status says.
func register(t *testing.T, dc *lab.DC, status string) {
	t.Helper()
	node := "web-" + dc.Name
	_, err := dc.Nodes[0].API(t).Catalog().Register(&api.CatalogRegistration{
		Node: node, Address: "10.0.0.1", Service: &api.AgentService{ID: "web", Service: "web", Port: 80},
		Check: &api.AgentCheck{Node: node, CheckID: "web", Name: "web", Status: status, ServiceID: "web"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// told says what is wrong with an answer that should come from dc, "" for none.
func told(t *testing.T, n *lab.Node, dc string, failovers int) error {
	rep, _, err := n.API(t).PreparedQuery().Execute("web", nil)
	switch {
	case err != nil:
		return err
	case rep.Failovers != failovers:
		return fmt.Errorf("%d failovers, want %d", rep.Failovers, failovers)
	case rep.DNS.TTL != "3s":
		return fmt.Errorf("the TTL is %q", rep.DNS.TTL)
	case dc == "":
		if len(rep.Nodes) > 0 {
			return errors.New("there is an answer")
		}
		return nil
	case len(rep.Nodes) != 1 || rep.Datacenter != dc || rep.Nodes[0].Node.Node != "web-"+dc:
		return fmt.Errorf("%d instances in %s", len(rep.Nodes), rep.Datacenter)
	}
	return nil
}
