package server_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

func removePeer(t *testing.T, n *lab.Node, query string) *lab.Answer {
	t.Helper()
	a, err := n.Do(t.Context(), http.MethodDelete, "/v1/operator/raft/peer?"+query, "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func peers(t *testing.T, n *lab.Node) map[string]string {
	t.Helper()
	config, err := n.API(t).Operator().RaftGetConfiguration(nil)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, s := range config.Servers {
		found[s.Node] = s.ID
	}
	return found
}

func TestPeersAreRemovedByIDAndByAddress(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3), lab.Servers("beijing", 1), lab.QuickGossip(), lab.Steady())
	dc, abroad := fed.DC("shanghai"), fed.Node("beijing-s1")
	for query, want := range map[string]string{
		"id=nobody": `id "nobody" was not found in the Raft configuration`,
		"address=" + url.QueryEscape("10.9.9.9:8300"): `address "10.9.9.9:8300" was not found in the Raft configuration`,
	} {
		if a := removePeer(t, dc.Nodes[0], query); a.Status != http.StatusInternalServerError || string(a.Body) != want {
			t.Errorf("%s: %d %q, want %q", query, a.Status, a.Body, want)
		}
	}
	dead := dc.Followers(t)
	ids := peers(t, dc.Nodes[0])
	dead[0].Kill(t)
	if a := removePeer(t, abroad, "dc=shanghai&id="+ids[dead[0].Name]); a.Status != http.StatusOK {
		t.Fatalf("remove by ID: %d %s", a.Status, a.Body)
	}
	leader := dc.Leader(t)
	if now := peers(t, leader); now[dead[0].Name] != "" || len(now) != 2 {
		t.Errorf("the peers are %v", now)
	}
	if a := removePeer(t, leader, "address="+dead[1].Addr(lab.ServerPort)); a.Status != http.StatusOK {
		t.Fatalf("remove by address: %d %s", a.Status, a.Body)
	}
	dc.Put(t, "a", "1")
}

// Who lost the majority has to see who votes, to repair it.
func TestPeersAreShownWithoutALeader(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3), lab.Clients("shanghai", 1), lab.QuickGossip())
	dc := fed.DC("shanghai")
	ids := peers(t, dc.Nodes[0])
	last := dc.Followers(t)[0]
	for _, n := range dc.Servers() {
		if n != last {
			n.Kill(t)
		}
	}
	for _, n := range []*lab.Node{last, fed.Node("shanghai-c1")} {
		lab.Until(t, n.Name+" shows the peers", func() error {
			config, err := n.API(t).Operator().RaftGetConfiguration(&api.QueryOptions{AllowStale: true})
			if err != nil {
				return err
			}
			for _, s := range config.Servers {
				if ids[s.Node] != s.ID || s.Leader {
					return fmt.Errorf("%+v, want %v", s, ids)
				}
			}
			if len(config.Servers) != len(ids) {
				return fmt.Errorf("%d peers, want %d", len(config.Servers), len(ids))
			}
			return nil
		})
	}
}

func TestKeysRotateInEveryDatacenter(t *testing.T) {
	const first, second = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=", "cg8StVXbQJ0gPvMd9o7yrg=="
	fed := lab.Start(t, lab.Servers("shanghai", 2), lab.Clients("shanghai", 1), lab.Servers("beijing", 1), lab.Flags("-encrypt", first))
	ask := fed.Node("shanghai-c1").API(t).Operator()
	expect := func(primary string, all ...string) {
		t.Helper()
		lab.Until(t, "all pools have the keys", func() error {
			pools, err := ask.KeyringList(nil)
			if err != nil {
				return err
			}
			var seen []string
			for _, p := range pools {
				seen = append(seen, fmt.Sprintf("%s %t %d", p.Datacenter, p.WAN, p.NumNodes))
				for _, key := range all {
					if p.Keys[key] != p.NumNodes {
						return fmt.Errorf("%d of %d have %s in %+v", p.Keys[key], p.NumNodes, key, p)
					}
				}
				if len(p.Keys) != len(all) || p.PrimaryKeys[primary] != p.NumNodes {
					return fmt.Errorf("keys are %v, primary ones %v", p.Keys, p.PrimaryKeys)
				}
			}
			slices.Sort(seen)
			if want := []string{"beijing false 1", "shanghai false 3", "shanghai true 3"}; !slices.Equal(seen, want) {
				return fmt.Errorf("answers came from %v", seen)
			}
			return nil
		})
	}
	expect(first, first)
	// Who answers late counts as one who did not do it, and may be asked again.
	lab.Until(t, "a key is installed", func() error { return ask.KeyringInstall(second, nil) })
	expect(first, first, second)
	lab.Until(t, "it is used", func() error { return ask.KeyringUse(second, nil) })
	if err := ask.KeyringRemove(second, nil); err == nil {
		t.Error("the primary key was removed")
	}
	if err := ask.KeyringUse("bXlvdGhlcmtleW15b3RoZXJrZXk=", nil); err == nil {
		t.Error("a key that is not installed is used")
	}
	lab.Until(t, "the first is removed", func() error { return ask.KeyringRemove(first, nil) })
	expect(second, second)
	for _, n := range fed.Nodes() { // the new key outlives a restart with the old one configured
		n.Restart(t)
	}
	fed.WaitWhole(t)
	expect(second, second)
	if a := fed.Node("beijing-s1").Get(t, "/v1/kv/a?dc=shanghai"); a.Status != http.StatusNotFound {
		t.Errorf("status %d", a.Status)
	}
}

func TestConflictingExpectationsElectNobody(t *testing.T) {
	fed := lab.New(t, lab.Servers("shanghai", 3))
	dc := fed.DC("shanghai")
	for i, expect := range []string{"2", "3", "3"} {
		dc.Nodes[i].Flags = []string{"-bootstrap-expect", expect}
	}
	fed.Launch(t)
	for i, n := range dc.Nodes {
		want := "conflicting bootstrap_expect"
		lab.Until(t, n.Name+" says why there is no leader", func() error {
			text, err := os.ReadFile(n.LogFile())
			if err == nil && !strings.Contains(string(text), want) {
				err = errors.New("not yet")
			}
			return err
		})
		if leader := n.Get(t, "/v1/status/leader"); string(leader.Body) != `""` {
			t.Errorf("server %d says that %s leads", i, leader.Body)
		}
	}
	a, err := dc.Nodes[0].Do(t.Context(), http.MethodGet, "/v1/kv/a?stale", "")
	if err != nil || a.Status != http.StatusInternalServerError || !strings.Contains(string(a.Body), "No cluster leader") {
		t.Errorf("a stale read of a server that never had a leader: %v %v", a, err)
	}
	dc.Nodes[0].Stop(t)
	dc.Nodes[0].Flags = nil
	dc.Nodes[0].Start(t)
	dc.WaitWhole(t)
	text, err := os.ReadFile(dc.Nodes[1].LogFile())
	if n := strings.Count(string(text), "conflicting bootstrap_expect"); n != 1 || err != nil {
		t.Errorf("it was said %d times (%v)", n, err)
	}
}

func TestCatalogFollowsGossip(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3), lab.Clients("shanghai", 2), lab.QuickGossip(), lab.Steady())
	dc, c1, c2 := fed.DC("shanghai"), fed.Node("shanghai-c1"), fed.Node("shanghai-c2")
	service := func(n *lab.Node) {
		t.Helper()
		lab.Until(t, "a service of "+n.Name+" is registered", func() error {
			_, err := n.API(t).Catalog().Register(&api.CatalogRegistration{
				Node: n.Name, Address: n.IP, SkipNodeUpdate: true, Service: &api.AgentService{Service: "web"}}, nil)
			return err
		})
	}
	service(c1)
	service(c2)
	id := func(node string) (found string, err error) { // "" if there is no such node
		n, _, err := dc.Nodes[0].API(t).Catalog().Node(node, nil)
		if err == nil && n != nil {
			found = n.Node.ID
		}
		return found, err
	}
	known := func(node string) (found string) {
		t.Helper()
		lab.Until(t, node+" is known", func() (err error) {
			if found, err = id(node); err == nil && found == "" {
				err = errors.New("not yet")
			}
			return err
		})
		return found
	}
	forgotten := func(node string) {
		t.Helper()
		lab.Until(t, node+" is forgotten", func() error {
			found, err := id(node)
			if err == nil && found != "" {
				err = fmt.Errorf("its ID is %s", found)
			}
			return err
		})
	}
	old := known(c1.Name)

	// Another node comes under the name of one that was never missed.
	c1.Kill(t)
	if err := os.RemoveAll(c1.DataDir()); err != nil {
		t.Fatal(err)
	}
	c1.Start(t)
	lab.Until(t, "the new node is there", func() error {
		now, err := id(c1.Name)
		if err == nil && (now == old || now == "") {
			err = fmt.Errorf("the ID is %q", now)
		}
		return err
	})
	dc.Nodes[0].WaitHealth(t, c1.Name, "passing")

	// A node takes another name.
	same := known(c2.Name)
	if err := c2.API(t).Agent().Leave(); err != nil {
		t.Fatal(err)
	}
	c2.WaitEnd(t)
	forgotten(c2.Name)
	c2.Flags = []string{"-node", "renamed"}
	c2.Start(t)
	lab.Until(t, "the node has its new name", func() error {
		now, err := id("renamed")
		if err == nil && now != same {
			err = fmt.Errorf("the ID is %q, want %q", now, same)
		}
		return err
	})

	// A node fails and is forgotten while nobody leads.
	for _, n := range dc.Servers()[1:] {
		n.Kill(t)
	}
	c2.Kill(t)
	dc.Nodes[0].WaitMembers(t, dc.Nodes[0].Name, c1.Name)
	if err := dc.Nodes[0].API(t).Agent().ForceLeavePrune("renamed"); err != nil {
		t.Fatal(err)
	}
	for _, n := range dc.Servers()[1:] {
		n.Start(t)
	}
	forgotten("renamed")
	if entries, _, err := dc.Nodes[0].API(t).Health().Service("web", "", false, nil); err != nil || len(entries) != 0 {
		t.Errorf("services of nodes that are gone: %v (%v)", entries, err)
	}
}

func TestTheLeadIsHandedOver(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3), lab.Clients("shanghai", 1), lab.Servers("beijing", 1), lab.QuickGossip(), lab.Steady())
	dc, client := fed.DC("shanghai"), fed.Node("shanghai-c1").API(t).Operator()
	ids := peers(t, fed.Node("shanghai-c1"))
	to := dc.Followers(t)[0]
	// A new server votes once it is stable, and only who votes can lead.
	lab.Until(t, "the lead is handed over by name", func() error {
		_, err := client.RaftLeaderTransfer(ids[to.Name], nil)
		return err
	})
	if leader := dc.Leader(t); leader != to {
		t.Errorf("%s leads, want %s", leader.Name, to.Name)
	}
	if rep, err := client.RaftLeaderTransfer("", nil); err != nil || !rep.Success {
		t.Errorf("to any: %+v %v", rep, err)
	}
	if leader := dc.Leader(t); leader == to {
		t.Errorf("%s leads still", to.Name)
	}
	if _, err := fed.Node("beijing-s1").API(t).Operator().RaftLeaderTransfer("", nil); err == nil || !strings.Contains(err.Error(), "cannot find peer") {
		t.Errorf("where there is nobody else: %v", err)
	}
}

func TestAutopilotIsSetForAllServers(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3), lab.Clients("shanghai", 1), lab.Servers("beijing", 1), lab.QuickGossip(), lab.Steady())
	dc, client := fed.DC("shanghai"), fed.Node("shanghai-c1").API(t).Operator()
	conf, err := client.AutopilotGetConfiguration(nil)
	if err != nil || conf.MaxTrailingLogs != 250 || !conf.CleanupDeadServers || conf.ModifyIndex != 0 {
		t.Fatalf("%+v %v", conf, err)
	}
	conf.MaxTrailingLogs = 999
	if done, err := client.AutopilotCASConfiguration(conf, nil); err != nil || !done {
		t.Fatalf("set: %v %v", done, err)
	}
	if done, err := client.AutopilotCASConfiguration(conf, nil); err != nil || done {
		t.Errorf("set with an old index: %v %v", done, err)
	}
	dc.KillLeader(t)
	lab.Until(t, "the next leader goes by it", func() error {
		conf, err := fed.Node("beijing-s1").API(t).Operator().AutopilotGetConfiguration(&api.QueryOptions{Datacenter: "shanghai"})
		if err == nil && (conf.MaxTrailingLogs != 999 || conf.ModifyIndex == 0) {
			err = fmt.Errorf("%+v", conf)
		}
		return err
	})
	lab.Until(t, "the dead server shows", func() error {
		health, err := client.AutopilotServerHealth(nil)
		if err == nil && health.Healthy {
			err = fmt.Errorf("%+v", health)
		}
		return err
	})
	lab.Until(t, "the state names a leader with two healthy servers", func() error {
		state, err := client.AutopilotState(nil)
		if err != nil {
			return err
		}
		healthy := 0
		for _, s := range state.Servers {
			if s.Healthy {
				healthy++
			}
		}
		if healthy != 2 || state.Servers[state.Leader].Status != api.AutopilotServerLeader {
			return fmt.Errorf("%d healthy: %+v", healthy, state)
		}
		return nil
	})
	usage, _, err := client.Usage(&api.QueryOptions{Global: true})
	if err != nil || len(usage.Usage) != 2 || usage.Usage["beijing"].Nodes != 1 || usage.Usage["shanghai"].ServiceInstances < 2 {
		t.Errorf("usage %+v %v", usage, err)
	}
}
