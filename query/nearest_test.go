//go:build linux

package query_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// The lines are what orders datacenters, not their names: the one at the end of the short
// line is asked first, and the far one when that is cut off.
func TestAQueryFailsOverToTheNearestDatacenter(t *testing.T) {
	fed := lab.New(t, lab.QuickGossip(), lab.Servers("shanghai", 1), lab.Clients("shanghai", 1), lab.Servers("beijing", 1), lab.Servers("osaka", 1))
	fed.Launch(t)
	fed.Delay(t, "shanghai", "osaka", 2*time.Millisecond)
	fed.Delay(t, "shanghai", "beijing", 30*time.Millisecond)
	fed.Delay(t, "osaka", "beijing", 30*time.Millisecond)
	fed.WaitWhole(t)
	shanghai := fed.DC("shanghai")
	for _, n := range shanghai.Nodes {
		order := func(want ...string) {
			lab.Until(t, n.Name+" knows which datacenter is near", func() error {
				dcs, err := n.API(t).Catalog().Datacenters()
				if err == nil && !slices.Equal(dcs, want) {
					err = fmt.Errorf("the order is %v", dcs)
				}
				return err
			})
		}
		order("shanghai", "osaka", "beijing")
	}
	for _, name := range []string{"beijing", "osaka"} {
		register(t, fed.DC(name), api.HealthPassing)
	}
	create := func(name string, failover api.QueryFailoverOptions) {
		t.Helper()
		_, _, err := shanghai.Nodes[0].API(t).PreparedQuery().Create(&api.PreparedQueryDefinition{
			Name: name, Service: api.ServiceQuery{Service: "web", Failover: failover}}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	create("nearest", api.QueryFailoverOptions{NearestN: 1})
	create("nearest two", api.QueryFailoverOptions{NearestN: 2})
	create("nearest and named", api.QueryFailoverOptions{NearestN: 1, Datacenters: []string{"osaka", "beijing"}})
	answers := func(name, dc string, failovers int) {
		t.Helper()
		for _, n := range shanghai.Nodes {
			lab.Until(t, fmt.Sprintf("%s is told by %s of web in %q", n.Name, name, dc), func() error {
				rep, _, err := n.API(t).PreparedQuery().Execute(name, nil)
				switch {
				case err != nil:
					return err
				case rep.Failovers != failovers || len(rep.Nodes) > 0 && rep.Datacenter != dc || len(rep.Nodes) == 0 && dc != "":
					return fmt.Errorf("%d instances in %s after %d failovers", len(rep.Nodes), rep.Datacenter, rep.Failovers)
				}
				return nil
			})
		}
	}
	answers("nearest", "osaka", 1)
	answers("nearest two", "osaka", 1)
	answers("nearest and named", "osaka", 1)
	fed.Cut(t, "shanghai", "osaka")
	answers("nearest", "", 1)
	answers("nearest two", "beijing", 2)
	answers("nearest and named", "beijing", 2)
}
