//go:build linux

package coordinate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/serf/coordinate"

	"github.com/hanse-project/hanse/test/lab"
)

// nodes are the nodes of a datacenter whose coordinates n knows.
func nodes(t *testing.T, n *lab.Node, dc string) (names []string, err error) {
	t.Helper()
	all, _, err := n.API(t).Coordinate().Nodes(&api.QueryOptions{Datacenter: dc})
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if !c.Coord.IsValid() || len(c.Coord.Vec) != 8 || c.Segment != "" {
			t.Errorf("%s is at %+v", c.Node, c)
		}
		names = append(names, c.Node)
	}
	return names, nil
}

func waitFor(t *testing.T, n *lab.Node, dc string, want ...string) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("%s knows where %v are", n.Name, want), func() error {
		got, err := nodes(t, n, dc)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("it knows where %v are", got)
		}
		return err
	})
}

// Every agent tells where it is, and everybody can ask for it, here and elsewhere, after a
// restart too. One that does not take part tells nothing.
func TestEveryAgentTellsWhereItIs(t *testing.T) {
	fed := lab.New(t, lab.QuickGossip(), lab.Servers("shanghai", 1), lab.Clients("shanghai", 2), lab.Servers("beijing", 1))
	fed.Node("shanghai-c2").Flags = []string{"-hcl", "disable_coordinates = true"}
	fed.Launch(t)
	fed.WaitWhole(t)
	server, client, abroad := fed.Node("shanghai-s1"), fed.Node("shanghai-c1"), fed.Node("beijing-s1")
	waitFor(t, client, "", "shanghai-c1", "shanghai-s1")
	waitFor(t, abroad, "shanghai", "shanghai-c1", "shanghai-s1")
	waitFor(t, client, "beijing", "beijing-s1")

	lab.Until(t, "servers are known in both", func() error { // which takes a probe
		places, err := client.API(t).Coordinate().Datacenters()
		if err != nil {
			return err
		}
		var seen []string
		for _, dc := range places {
			for _, c := range dc.Coordinates {
				seen = append(seen, dc.AreaID+" "+dc.Datacenter+" "+c.Node)
			}
		}
		if want := []string{"wan shanghai shanghai-s1", "wan beijing beijing-s1"}; !slices.Equal(seen, want) {
			return fmt.Errorf("they are known in %q", seen)
		}
		return nil
	})

	server.Restart(t)
	waitFor(t, client, "", "shanghai-c1", "shanghai-s1")
	if _, err := server.API(t).Catalog().Deregister(&api.CatalogDeregistration{Node: "shanghai-c1"}, nil); err != nil {
		t.Fatal(err)
	}
	one, _, err := client.API(t).Coordinate().Node("shanghai-s1", nil)
	if err != nil || len(one) != 1 {
		t.Errorf("one node: %v, %v", one, err)
	}
}

// What is told through any agent of any datacenter sorts the answers of the datacenter it
// is told of, and is gone with its node.
func TestWhatIsToldSortsAnswers(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Clients("shanghai", 1), lab.Servers("beijing", 1),
		lab.Flags("-hcl", "disable_coordinates = true"))
	server, client, abroad := fed.Node("shanghai-s1"), fed.Node("shanghai-c1"), fed.Node("beijing-s1")
	at := func(ms float64) *coordinate.Coordinate {
		c := coordinate.NewCoordinate(coordinate.DefaultConfig())
		c.Vec[0] = ms / 1000
		return c
	}
	for node, c := range map[string]struct {
		address string
		place   *coordinate.Coordinate
	}{"far": {"10.0.0.1", at(80)}, "middle": {"10.0.0.2", at(50)}, "near": {"10.0.0.3", at(10)}, "unknown": {"10.0.0.4", nil}} {
		if _, err := server.API(t).Catalog().Register(&api.CatalogRegistration{
			Node: node, Address: c.address, Service: &api.AgentService{Service: "web"}}, nil); err != nil {
			t.Fatal(err)
		}
		if c.place == nil {
			continue
		}
		if _, err := abroad.API(t).Coordinate().Update(&api.CoordinateEntry{Node: node, Coord: c.place}, &api.WriteOptions{Datacenter: "shanghai"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.API(t).Coordinate().Update(&api.CoordinateEntry{Node: "shanghai-c1", Coord: at(0)}, nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, server, "", "far", "middle", "near", "shanghai-c1")

	order := func(n *lab.Node, path string) (names []string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.Addr(lab.HTTPPort)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", "10.0.0.1, 127.0.0.1")
		return namesIn(t, req)
	}
	web := []string{"near", "middle", "far", "unknown"}
	for _, c := range []struct {
		at   *lab.Node
		path string
		want []string
	}{
		{client, "/v1/health/service/web?near=_agent", web},
		{client, "/v1/catalog/service/web?near=_agent", web},
		{client, "/v1/catalog/nodes?near=_agent", []string{"shanghai-c1", "near", "middle", "far", "shanghai-s1", "unknown"}},
		{server, "/v1/health/service/web?near=far", []string{"far", "middle", "near", "unknown"}},
		{server, "/v1/health/service/web?near=_ip", []string{"far", "middle", "near", "unknown"}},
		{abroad, "/v1/health/service/web?near=middle&dc=shanghai", []string{"middle", "far", "near", "unknown"}},
		{abroad, "/v1/health/service/web?near=_agent&dc=shanghai", []string{"far", "middle", "near", "unknown"}}, // as they come
	} {
		if got := order(c.at, c.path); !slices.Equal(got, c.want) {
			t.Errorf("%s of %s: %v, want %v", c.path, c.at.Name, got, c.want)
		}
	}
	if _, err := server.API(t).Catalog().Deregister(&api.CatalogDeregistration{Node: "near"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.API(t).Coordinate().Node("near", nil); err == nil {
		t.Error("a node that is gone is somewhere")
	} else if status, isStatus := errors.AsType[api.StatusError](err); !isStatus || status.Code != http.StatusNotFound {
		t.Errorf("a node that is gone: %v", err)
	}
	waitFor(t, abroad, "shanghai", "far", "middle", "shanghai-c1")
}

// namesIn are the names of the nodes in the answer to a request, in order.
func namesIn(t *testing.T, req *http.Request) (names []string) {
	t.Helper()
	rep, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rep.Body.Close()
	var rows []struct{ Node any }
	if err := json.NewDecoder(rep.Body).Decode(&rows); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		switch node := row.Node.(type) {
		case string:
			names = append(names, node)
		case map[string]any:
			names = append(names, node["Node"].(string))
		}
	}
	return names
}
