package catalog

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// recorded is what the HTTP API of the snapshot's datacenter answered.
type recorded struct {
	Nodes        struct{ Body []*Node }
	Checks       struct{ Body []*HealthCheck }
	NodeServices struct{ Body []NodeServiceList } `json:"node_services"`
}

func TestAConsulSnapshotIsTakenOver(t *testing.T) {
	const at = 5000
	d := newDC(t)
	imported, err := d.store.Import(storetest.Archive(t, "testdata/consul-1.21.4.snap"), at, store.Identity{ID: "dc", Incarnation: "next"})
	if err != nil {
		t.Fatal(err)
	}
	// Skipped: what a peer exported, and of a server its service and its gossip check.
	if imported.Records[recordRegister] != 14 || imported.Skipped[recordRegister] != 5 {
		t.Errorf("of the catalog %d records were taken over and %d skipped", imported.Records[recordRegister], imported.Skipped[recordRegister])
	}
	var stream bytes.Buffer
	if err := imported.Write(&stream); err != nil {
		t.Fatal(err)
	}
	if err := d.store.Restore(io.NopCloser(&stream)); err != nil {
		t.Fatal(err)
	}
	var want recorded
	if err := json.Unmarshal(must(os.ReadFile("testdata/consul-1.21.4.json")), &want); err != nil {
		t.Fatal(err)
	}
	for _, n := range want.Nodes.Body {
		n.ModifyIndex = at
	}
	want.Checks.Body = slices.DeleteFunc(want.Checks.Body, func(c *HealthCheck) bool { return c.CheckID == SerfCheckID })
	for _, c := range want.Checks.Body {
		c.ModifyIndex = at
	}
	ctx := t.Context()
	nodes := must(d.listNodes(ctx, anyone(), &DCSpecificRequest{}))
	sameJSON(t, "nodes", nodes.Nodes, want.Nodes.Body)
	checks := must(d.checksInState(ctx, anyone(), &ChecksInStateRequest{State: AnyState}))
	sameJSON(t, "checks", checks.HealthChecks, want.Checks.Body)
	for _, list := range want.NodeServices.Body {
		list.Node.ModifyIndex = at
		list.Services = slices.DeleteFunc(list.Services, func(s *NodeService) bool { return s.Service == serverService })
		for _, s := range list.Services {
			s.ModifyIndex = at
		}
		if list.Services == nil {
			list.Services = []*NodeService{}
		}
		got := must(d.nodeServiceList(ctx, anyone(), &NodeSpecificRequest{Node: list.Node.Node}))
		sameJSON(t, "services of "+list.Node.Node, got.NodeServices, list)
	}
	for name, index := range map[string]uint64{"nodes": nodes.Index, "checks": checks.Index} {
		if index != at {
			t.Errorf("the index of %s is %d, want that of the restore", name, index)
		}
	}
	d.expectHealth(web(), "ext1/web-1 passing passing", "ext2/web-2 warning", "ext3/web-3 critical")
	d.expectHealth(&ServiceSpecificRequest{ServiceName: "web", Connect: true}, "ext1/web-1-proxy passing")
	if _, index := d.health(web()); index != at {
		t.Errorf("the index of web is %d", index)
	}
}

func sameJSON(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := must(json.Marshal(got)), must(json.Marshal(want)); !bytes.Equal(g, w) {
		t.Errorf("%s:\n%s, want\n%s", what, g, w)
	}
}

func TestSnapshotKeepsTheCatalog(t *testing.T) {
	d := newDC(t)
	d.service("n1", "w1", "web", Passing, "v1")
	d.service("n2", "w2", "web", Critical)
	d.put(&RegisterRequest{Node: "n2", SkipNodeUpdate: true, Check: &HealthCheck{Name: "host", Status: Warning}})
	d.put(&RegisterRequest{ID: "11111111-0000-4000-8000-000000000001", Node: "n3", Address: "10.0.0.3", NodeMeta: map[string]string{"a": "b"}})
	d.remove(&DeregisterRequest{Node: "n1", ServiceID: "w1"})
	to := newDC(t)
	if err := to.store.Restore(storetest.Snapshot(t, d.store)); err != nil {
		t.Fatal(err)
	}
	theirs := to.reads()
	for name, read := range d.reads() {
		sameJSON(t, name, theirs[name](anyone()), read(anyone()))
	}
}

func TestImportedNodesAreInTheDatacenterThatTookThemOver(t *testing.T) {
	s := must(store.New(Module("beijing")))
	imported := must(s.Import(storetest.Archive(t, "testdata/consul-1.21.4.snap"), 5000, store.Identity{ID: "dc", Incarnation: "next"}))
	var stream bytes.Buffer
	if err := imported.Write(&stream); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(io.NopCloser(&stream)); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for n := range store.Rows[*Node](s.Read(nil), tableNodes, "id") {
		if seen++; n.Datacenter != "beijing" {
			t.Errorf("node %s is in %q", n.Node, n.Datacenter)
		}
	}
	if seen == 0 {
		t.Error("no node was taken over")
	}
}
