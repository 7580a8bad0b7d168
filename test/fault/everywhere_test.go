//go:build linux

package fault

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/federation"
	"github.com/hanse-project/hanse/test/lab"
)

var threeDatacenters = []lab.Option{
	lab.Servers("shanghai", 1), lab.Clients("shanghai", 1), lab.Servers("beijing", 1), lab.Servers("osaka", 1),
}

func TestAllDatacentersAnswerButTheOneThatIsCutOff(t *testing.T) {
	answersEverywhere(t, lab.Start(t, threeDatacenters...))
}

func TestNamespacesAllDatacentersAnswerButTheOneThatIsCutOff(t *testing.T) {
	answersEverywhere(t, lab.Start(t, append(threeDatacenters, lab.Namespaces())...))
}

// answersEverywhere asks all agents of shanghai for what all datacenters have, before,
// while and after one of them is cut off.
func answersEverywhere(t *testing.T, fed *lab.Federation) {
	all := []string{"beijing", "osaka", "shanghai"}
	for _, dc := range all {
		fed.DC(dc).Put(t, "app/limit", dc)
	}
	shanghai := fed.DC("shanghai")
	waitRows := func(rows []string, missing string) {
		t.Helper()
		for _, n := range shanghai.Nodes {
			for _, path := range []string{
				"/v1/kv/app/limit?dc=*", "/v1/kv/app/?recurse&dc=*", "/v1/kv/app/?keys&dc=*", "/v1/catalog/nodes?dc=*&stale",
				"/v1/catalog/services?dc=*", "/v1/health/service/consul?dc=*&passing", "/v1/health/state/any?dc=*",
			} {
				lab.Until(t, fmt.Sprintf("%s answers %s for %v", n.Name, path, rows), func() error { return rowsOf(t, n, path, rows, missing) })
			}
		}
	}
	waitRows(all, "")
	fed.Cut(t, "shanghai", "beijing")
	waitRows([]string{"osaka", "shanghai"}, "beijing")
	byClientLibrary(t, fed.Node("shanghai-c1"), "osaka", "shanghai")
	waitFederation(t, shanghai.Nodes, "beijing - open, osaka osaka-s1 closed, shanghai shanghai-s1 closed")
	fed.Heal(t, "shanghai", "beijing")
	waitRows(all, "")
	waitFederation(t, shanghai.Nodes, "beijing beijing-s1 closed, osaka osaka-s1 closed, shanghai shanghai-s1 closed")
}

// waitFederation waits until all agents tell the leaders and the breakers so.
func waitFederation(t *testing.T, agents []*lab.Node, want string) {
	t.Helper()
	for _, n := range agents {
		lab.Until(t, n.Name+" knows how all datacenters are", func() error {
			var report federation.Report
			rep, err := answer(t, n, "/v1/federation/status")
			if err != nil {
				return err
			}
			if err := json.Unmarshal(rep.Body, &report); err != nil {
				return err
			}
			var rows []string
			for _, d := range report.Datacenters {
				if d.Breaker == "half-open" { // open, and on the point of closing
					d.Breaker = "open"
				}
				rows = append(rows, d.Datacenter+" "+cmp.Or(d.Leader, "-")+" "+d.Breaker)
				if len(d.Servers) != d.Alive+d.Failed || d.Datacenter == "osaka" && (d.RTTMedianMs <= 0 || d.Sessions < 1) {
					return fmt.Errorf("%s is %+v", d.Datacenter, d)
				}
			}
			if slices.Sort(rows); strings.Join(rows, ", ") != want || report.Node != "shanghai-s1" {
				return fmt.Errorf("%s, as seen from %s", strings.Join(rows, ", "), report.Node)
			}
			return nil
		})
	}
}

// answer is that to a read. One that fails may well succeed a moment later: when the machine
// stands still for longer than datacenters have to answer, all of them are too late.
func answer(t *testing.T, n *lab.Node, path string) (*lab.Answer, error) {
	a, err := n.Do(t.Context(), http.MethodGet, path, "")
	if err == nil {
		err = a.Err()
	}
	return a, err
}

func rowsOf(t *testing.T, n *lab.Node, path string, want []string, missing string) error {
	rep, err := answer(t, n, path)
	if err != nil {
		return err
	}
	var rows []struct{ Datacenter string }
	if err := json.Unmarshal(rep.Body, &rows); err != nil {
		return fmt.Errorf("%s: %w", rep.Body, err)
	}
	var from []string
	for _, row := range rows {
		from = append(from, row.Datacenter)
	}
	from = slices.Compact(from)
	if lost := rep.Header.Get("X-Hanse-Missing-Datacenters"); !slices.Equal(from, want) || lost != missing {
		return fmt.Errorf("rows of %v, missing %q (%s)", from, lost, rep.Header.Get("X-Hanse-Missing-Reasons"))
	}
	return nil
}

// byClientLibrary reads rows as programs do that have consul/api. A datacenter that takes
// its time is missing in an answer, and is there in a later one.
func byClientLibrary(t *testing.T, n *lab.Node, want ...string) {
	t.Helper()
	client, everywhere := n.API(t), &api.QueryOptions{Datacenter: "*"}
	lab.Until(t, fmt.Sprintf("the library reads rows of %v", want), func() error {
		var rows []struct {
			Datacenter string
			api.KVPair
		}
		if _, err := client.Raw().Query("/v1/kv/app/limit", &rows, everywhere); err != nil {
			return err
		}
		var from, nodes []string
		for _, row := range rows {
			from = append(from, row.Datacenter)
			if string(row.Value) != row.Datacenter {
				t.Errorf("%s has the value %q", row.Datacenter, row.Value)
			}
		}
		list, _, err := client.Catalog().Nodes(everywhere)
		if err != nil {
			return err
		}
		for _, node := range list {
			nodes = append(nodes, node.Datacenter)
		}
		if nodes = slices.Compact(nodes); !slices.Equal(from, want) || !slices.Equal(nodes, want) {
			return fmt.Errorf("keys of %v, nodes of %v", from, nodes)
		}
		return nil
	})
}
