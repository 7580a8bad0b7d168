//go:build linux

package fault

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

func TestServersStartedInAnyOrderFormOneCluster(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 0, 1}, {1, 2, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			fed := lab.New(t, lab.Steady(), lab.Servers("shanghai", 3))
			dc := fed.DC("shanghai")
			first, second, last := dc.Nodes[order[0]], dc.Nodes[order[1]], dc.Nodes[order[2]]
			first.Start(t)
			second.Start(t)
			first.WaitMembers(t, first.Name, second.Name)
			second.WaitMembers(t, first.Name, second.Name)
			for _, n := range []*lab.Node{first, second} {
				if a, err := n.Do(t.Context(), http.MethodGet, "/v1/kv/lab?stale", ""); err != nil || a.Reason() != "no_leader" {
					t.Errorf("%s answers %+v (%v), and two of three servers may not begin", n.Name, a, err)
				}
			}
			last.Start(t)
			dc.WaitWhole(t)
			oneCluster(t, dc)
		})
	}
}

// oneCluster checks that all servers of a datacenter speak of the same log.
func oneCluster(t *testing.T, dc *lab.DC) {
	t.Helper()
	var want []string
	for _, n := range dc.Servers() {
		want = append(want, n.Addr(lab.ServerPort))
	}
	slices.Sort(want)
	identity := dc.Nodes[0].Get(t, "/v1/kv/lab").Header.Get("X-Hanse-Datacenter-Id")
	if identity == "" {
		t.Error("the datacenter has no identity")
	}
	for _, n := range dc.Servers() {
		lab.Until(t, n.Name+" knows all peers", func() error {
			peers, err := n.API(t).Status().Peers()
			if err != nil {
				return err
			}
			if slices.Sort(peers); !slices.Equal(peers, want) {
				return fmt.Errorf("it knows %v", peers)
			}
			return nil
		})
		if got := n.Get(t, "/v1/kv/lab").Header.Get("X-Hanse-Datacenter-Id"); got != identity {
			t.Errorf("%s is in datacenter %q, the first server in %q", n.Name, got, identity)
		}
	}
}

func TestServersThatAllStartAtOnceFormOneCluster(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 5))
	oneCluster(t, fed.DC("shanghai"))
}

// An intruder differs from the agents of a datacenter in one thing, and is told so.
func TestAgentThatDoesNotBelongIsRefusedWithTheReason(t *testing.T) {
	const (
		id       = "11111111-2222-3333-4444-555555555555"
		oneKey   = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
		otherKey = "aUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
	)
	for name, c := range map[string]struct {
		pool  []string // flags of those who are there first
		flags []string // of the intruder
		// wants must all be in the intruder's log.
		wants []string
	}{
		"the same node name": {
			flags: []string{"-node", "shanghai-s2"}, wants: []string{"shanghai-s2", "name"}},
		"the same node ID": {
			flags: []string{"-node-id", id}, wants: []string{id}},
		"another datacenter": {
			flags: []string{"-datacenter", "beijing"}, wants: []string{"beijing", "shanghai"}},
		"a gossip key where others have none": {
			flags: []string{"-encrypt", oneKey}, wants: []string{"encrypt"}},
		"no gossip key where others have one": {
			pool: []string{"-encrypt", oneKey}, wants: []string{"encrypt"}},
		"another gossip key": {
			pool: []string{"-encrypt", oneKey}, flags: []string{"-encrypt", otherKey}, wants: []string{"encrypt"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fed := lab.New(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Clients("shanghai", 1))
			dc, intruder := fed.DC("shanghai"), fed.Node("shanghai-c1")
			for i, n := range dc.Servers() {
				if n.Flags = c.pool; i == 0 {
					n.Flags = append([]string{"-node-id", id}, c.pool...)
				}
				n.Start(t)
			}
			dc.WaitWhole(t)
			intruder.Flags = append(c.flags, "-retry-max", "2")
			intruder.Start(t)
			log := intruder.WaitEnd(t)
			for _, want := range c.wants {
				if !strings.Contains(log, want) {
					t.Errorf("its log does not mention %q:\n%s", want, log)
				}
			}
			t.Logf("it was told: %s", lastLine(log))
			dc.WaitWhole(t)
			for _, n := range dc.Servers() {
				if members, err := n.API(t).Agent().Members(false); err != nil || len(members) != 3 {
					t.Errorf("%s has %d members (%v), want 3", n.Name, len(members), err)
				}
			}
		})
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func TestJoiningTwoDatacentersOverTheLANIsRefused(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 1))
	shanghai, beijing := fed.Node("shanghai-s1"), fed.Node("beijing-s1")
	err := shanghai.API(t).Agent().Join(beijing.Addr(lab.LANPort), false)
	if err == nil {
		t.Fatal("the LAN pools of two datacenters were joined")
	}
	for _, want := range []string{"shanghai", "beijing"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not mention %s: %v", want, err)
		}
	}
	shanghai.WaitMembers(t, "shanghai-s1")
	beijing.WaitMembers(t, "beijing-s1")
	fed.WaitWhole(t)
}

func TestJoiningOneServerOverTheWANIsEnoughForAll(t *testing.T) {
	fed := lab.Start(t, lab.Apart(), lab.Steady(), lab.Servers("shanghai", 3), lab.Servers("beijing", 3), lab.Clients("beijing", 1))
	if err := fed.Node("shanghai-s2").API(t).Agent().Join(fed.Node("beijing-s3").Addr(lab.WANPort), true); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range fed.Nodes() {
		if n.Server {
			names = append(names, n.Name+"."+n.DC.Name)
		}
	}
	for _, n := range fed.Nodes() {
		if n.Server {
			n.WaitWANMembers(t, names...)
		}
		n.WaitReaches(t, "shanghai")
		n.WaitReaches(t, "beijing")
		dcs, err := n.API(t).Catalog().Datacenters()
		if slices.Sort(dcs); err != nil || !slices.Equal(dcs, []string{"beijing", "shanghai"}) {
			t.Errorf("%s knows the datacenters %v (%v)", n.Name, dcs, err)
		}
	}
	fed.Node("beijing-c1").Put(t, "shanghai", "k", "from beijing")
	fed.DC("shanghai").WaitFor(t, "k", "from beijing")
	if _, _, err := fed.Node("beijing-c1").API(t).KV().Get("k", &api.QueryOptions{Datacenter: "osaka"}); err == nil ||
		!strings.Contains(err.Error(), "No path to datacenter") {
		t.Errorf("a datacenter that does not exist: %v", err)
	}
}
