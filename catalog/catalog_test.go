package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// dc is the catalog of one datacenter with its log.
type dc struct {
	testing.TB
	*Endpoint
	log *storetest.Log
}

func newDC(t testing.TB) *dc {
	s, log := storetest.New(t, Module("dc1"))
	return &dc{t, NewEndpoint(s, log, "dc1"), log}
}

func anyone() *rpc.Call { return &rpc.Call{Authz: rpc.AllowAll{}} }

// must unwraps what cannot fail.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func (d *dc) put(req *RegisterRequest) {
	d.Helper()
	if _, err := d.register(context.Background(), anyone(), req); err != nil {
		d.Fatalf("register %s: %v", req.Node, err)
	}
}

// service registers an instance with a check of its own.
func (d *dc) service(node, id, name, status string, tags ...string) {
	d.Helper()
	d.put(&RegisterRequest{
		Node: node, Address: "10.0.0.1",
		Service: &NodeService{ID: id, Service: name, Tags: tags, Port: 80},
		Check:   &HealthCheck{CheckID: "check:" + id, ServiceID: id, Status: status},
	})
}

func (d *dc) remove(req *DeregisterRequest) {
	d.Helper()
	if _, err := d.deregister(context.Background(), anyone(), req); err != nil {
		d.Fatal(err)
	}
}

// at is the index of the last command.
func (d *dc) at() uint64 { return d.store.AppliedIndex() }

// health lists instances as node/service with the statuses of their checks.
func (d *dc) health(req *ServiceSpecificRequest) (rows []string, index uint64) {
	d.Helper()
	rep, err := d.healthServiceNodes(context.Background(), anyone(), req)
	if err != nil {
		d.Fatal(err)
	}
	for _, row := range rep.Nodes {
		text := row.Node.Node + "/" + row.Service.ID
		for _, c := range row.Checks {
			text += " " + c.Status
		}
		rows = append(rows, text)
	}
	return rows, rep.Index
}

func (d *dc) expectHealth(req *ServiceSpecificRequest, want ...string) {
	d.Helper()
	if got, _ := d.health(req); !slices.Equal(got, want) {
		d.Errorf("%+v gives %q, want %q", *req, got, want)
	}
}

func web() *ServiceSpecificRequest { return &ServiceSpecificRequest{ServiceName: "web"} }

func TestRegistrationFillsInDefaults(t *testing.T) {
	d := newDC(t)
	req := &RegisterRequest{
		Node: "n1", Address: "10.0.0.1",
		Service: &NodeService{Service: "web"},
		Check:   &HealthCheck{Name: "alive", ServiceID: "web"},
		Checks:  []*HealthCheck{nil, {Name: "host", Status: Passing}},
	}
	before := must(json.Marshal(req))
	d.put(req)
	if after := must(json.Marshal(req)); !bytes.Equal(before, after) {
		t.Errorf("the request was changed: %s", after)
	}
	rep := must(d.nodeInfo(t.Context(), anyone(), &NodeSpecificRequest{Node: "N1"}))
	if len(rep.Dump) != 1 || rep.Index != 1 {
		t.Fatalf("%+v", rep)
	}
	n := rep.Dump[0]
	s := n.Services[0]
	if s.ID != "web" || *s.Weights != (Weights{1, 1}) || s.Revision != (Revision{1, 1}) {
		t.Errorf("the service is %+v", s)
	}
	if c := n.Checks[0]; c.CheckID != "alive" || c.Node != "n1" || c.Status != Critical || c.ServiceName != "web" || c.Revision != (Revision{1, 1}) {
		t.Errorf("the check is %+v", c)
	}
	if c := n.Checks[1]; c.CheckID != "host" || c.ServiceID != "" {
		t.Errorf("the node's check is %+v", c)
	}
	nodes := must(d.listNodes(t.Context(), anyone(), &DCSpecificRequest{}))
	if len(nodes.Nodes) != 1 || nodes.Nodes[0].Datacenter != "dc1" {
		t.Errorf("the nodes are %+v", nodes.Nodes)
	}
}

func TestBadRegistrationsAreRefusedWhole(t *testing.T) {
	const id1, id2 = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
	d := newDC(t)
	d.put(&RegisterRequest{ID: id1, Node: "alpha", Address: "10.0.0.1", Check: &HealthCheck{CheckID: SerfCheckID, Status: Passing}})
	d.put(&RegisterRequest{ID: id2, Node: "ext1", Address: "10.0.0.2"})
	for name, c := range map[string]struct {
		req  RegisterRequest
		want string
	}{
		"no node":         {RegisterRequest{Address: "1"}, "Must provide node"},
		"no address":      {RegisterRequest{Node: "n"}, "Must provide address if SkipNodeUpdate is not set"},
		"bad ID":          {RegisterRequest{Node: "n", Address: "1", ID: "nope"}, "Bad node ID: uuid string is wrong length"},
		"no service name": {RegisterRequest{Node: "n", Address: "1", Service: &NodeService{}}, "Must provide service name (Service.Service)"},
		"proxy of nothing": {RegisterRequest{Node: "n", Address: "1", Service: &NodeService{Service: "p", Kind: KindConnectProxy}},
			"Proxy.DestinationServiceName must be non-empty"},
		"a port that is none":   {RegisterRequest{Node: "n", Address: "1", Service: &NodeService{Service: "web", Port: 65536}}, "Invalid service port 65536 (Service.Port)"},
		"a port below all":      {RegisterRequest{Node: "n", Address: "1", Service: &NodeService{Service: "web", Port: -1}}, "Invalid service port -1 (Service.Port)"},
		"a status that is none": {RegisterRequest{Node: "n", Address: "1", Check: &HealthCheck{Name: "c", Status: "good"}}, `Invalid check status "good" (Check.Status)`},
		"zero byte":             {RegisterRequest{Node: "n\x00", Address: "1"}, "contains a zero byte"},
		"check of nil":          {RegisterRequest{Node: "n", Address: "1", Check: &HealthCheck{}}, "Must provide CheckID or Name"},
		"check of another node": {RegisterRequest{Node: "n", Address: "1", Check: &HealthCheck{Node: "m", Name: "c"}},
			`check node "m" does not match node "n"`},
		"check of an unknown service": {RegisterRequest{Node: "n", Address: "1", Service: &NodeService{Service: "web"},
			Check: &HealthCheck{CheckID: "x", ServiceID: "nosuch"}}, "Unknown service ID 'nosuch' for check ID 'x'"},
		"name of a living node": {RegisterRequest{ID: id2, Node: "alpha", Address: "10.0.0.9"},
			`failed inserting node: Error while renaming Node ID: "` + id2 + `" (10.0.0.9): Node name alpha is reserved by node ` + id1 + ` with name alpha (10.0.0.1)`},
	} {
		if _, err := d.register(t.Context(), anyone(), &c.req); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	nodes := must(d.listNodes(t.Context(), anyone(), &DCSpecificRequest{}))
	if len(nodes.Nodes) != 2 || nodes.Index != 2 {
		t.Fatalf("something was half-applied: %d nodes at %d", len(nodes.Nodes), nodes.Index)
	}
}

func TestWhoIsWho(t *testing.T) {
	const id1, id2 = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
	d := newDC(t)
	names := func() (all []string) {
		for _, n := range must(d.listNodes(t.Context(), anyone(), &DCSpecificRequest{})).Nodes {
			all = append(all, n.Node+" "+strings.TrimRight(n.ID, "0123456789-")+n.ID[:min(1, len(n.ID))])
		}
		return all
	}
	expect := func(want ...string) {
		t.Helper()
		if got := names(); !slices.Equal(got, want) {
			t.Fatalf("the nodes are %q, want %q", got, want)
		}
	}
	d.put(&RegisterRequest{Node: "a", Address: "10.0.0.1"})
	d.put(&RegisterRequest{ID: id1, Node: "a", Address: "10.0.0.1"})
	expect("a 1") // a node without an ID gains one
	d.put(&RegisterRequest{Node: "a", Address: "10.0.0.2"})
	expect("a 1") // and keeps it when a request has none
	d.service("a", "web", "web", Passing)
	d.put(&RegisterRequest{ID: id1, Node: "b", Address: "10.0.0.2"})
	expect("b 1") // its ID under another name is the node renamed
	d.expectHealth(web())
	d.put(&RegisterRequest{ID: id2, Node: "c", Address: "10.0.0.3", Check: &HealthCheck{CheckID: SerfCheckID, Status: Passing}})
	d.put(&RegisterRequest{ID: id2, Node: "c", Address: "10.0.0.3", Check: &HealthCheck{CheckID: SerfCheckID, Status: Critical}})
	d.put(&RegisterRequest{ID: id1, Node: "c", Address: "10.0.0.4"})
	expect("c 1") // the name of a dead node is free
	d.put(&RegisterRequest{Node: "C", Address: "10.0.0.4"})
	expect("C 1") // case makes no other node
}

func TestWhatIsThereAlreadyChangesNoIndex(t *testing.T) {
	d := newDC(t)
	config := map[string]any{"n": 5, "big": uint64(1) << 63, "neg": -70000, "f": 2.5, "list": []any{nil, "x", map[string]any{"deep": true}}}
	req := &RegisterRequest{
		Node: "n1", Address: "10.0.0.1", NodeMeta: map[string]string{"a": "b"},
		Service: &NodeService{Service: "px", Kind: KindConnectProxy, Tags: Tags{}, Proxy: Proxy{DestinationServiceName: "web", Config: config}},
		Check:   &HealthCheck{Name: "c", ServiceID: "px", Definition: HealthCheckDefinition{Header: map[string][]string{"X": {"1"}}}},
	}
	d.put(req)
	indexes := func(d *dc) []uint64 {
		_, index := d.health(&ServiceSpecificRequest{ServiceName: "web", Connect: true})
		return []uint64{
			must(d.listNodes(t.Context(), anyone(), &DCSpecificRequest{})).Index,
			must(d.listServices(t.Context(), anyone(), &DCSpecificRequest{})).Index,
			must(d.checksInState(t.Context(), anyone(), &ChecksInStateRequest{State: AnyState})).Index, index,
		}
	}
	d.put(req)
	if got := indexes(d); !slices.Equal(got, []uint64{1, 1, 1, 1}) {
		t.Fatalf("registering the same again moved the indexes to %v", got)
	}
	// A server whose rows came from a snapshot must agree with one whose rows came from the log.
	restored := newDC(t)
	if err := restored.store.Restore(storetest.Snapshot(t, d.store)); err != nil {
		t.Fatal(err)
	}
	restored.log.SkipTo(d.at())
	restored.put(req)
	if got := indexes(restored); !slices.Equal(got, []uint64{1, 1, 1, 1}) {
		t.Fatalf("after a restore it moved the indexes to %v", got)
	}
	got := must(json.Marshal(must(d.nodeServiceList(t.Context(), anyone(), &NodeSpecificRequest{Node: "n1"})).NodeServices))
	if want := `"Config":{"big":9223372036854775808,"f":2.5,"list":[null,"x",{"deep":true}],"n":5,"neg":-70000}`; !strings.Contains(string(got), want) {
		t.Errorf("the opaque config came back as %s", got)
	}
}

func TestSkipNodeUpdateLeavesTheNodeAlone(t *testing.T) {
	d := newDC(t)
	d.put(&RegisterRequest{Node: "n1", Address: "10.0.0.1", NodeMeta: map[string]string{"a": "b"}})
	d.put(&RegisterRequest{Node: "n1", Address: "10.0.0.2", SkipNodeUpdate: true, Service: &NodeService{Service: "web"}})
	n, _ := LookupNode(d.store.Read(nil), "n1")
	if n.Address != "10.0.0.1" || n.ModifyIndex != 1 {
		t.Fatalf("the node is %+v", n)
	}
	d.put(&RegisterRequest{Node: "n2", Address: "10.0.0.3", SkipNodeUpdate: true})
	if _, found := LookupNode(d.store.Read(nil), "n2"); !found {
		t.Fatal("a node that was not there was skipped")
	}
}

func TestHealthAnswersWhatWasAsked(t *testing.T) {
	d := newDC(t)
	d.put(&RegisterRequest{Node: "n1", Address: "10.0.0.1", NodeMeta: map[string]string{"rack": "r1"}, Check: &HealthCheck{Name: "host", Status: Passing}})
	d.put(&RegisterRequest{Node: "n1", SkipNodeUpdate: true, Service: &NodeService{ID: "w1", Service: "Web", Tags: Tags{"V1", "primary"}, Address: "10.9.9.9"}})
	d.service("n2", "w2", "web", Warning, "v1")
	d.service("n3", "w3", "web", Critical, "v2")
	d.put(&RegisterRequest{Node: "n4", Address: "10.0.0.4", Service: &NodeService{ID: "px", Service: "web-proxy", Kind: KindConnectProxy, Proxy: Proxy{DestinationServiceName: "web"}}})
	d.put(&RegisterRequest{Node: "n5", Address: "10.0.0.5", Service: &NodeService{ID: "nat", Service: "web", Connect: Connect{Native: true}}})

	d.expectHealth(web(), "n1/w1 passing", "n2/w2 warning", "n3/w3 critical", "n5/nat")
	d.expectHealth(&ServiceSpecificRequest{ServiceName: "WEB", HealthFilterType: NotCritical}, "n1/w1 passing", "n2/w2 warning", "n5/nat")
	d.expectHealth(&ServiceSpecificRequest{ServiceName: "web", HealthFilterType: OnlyPassing}, "n1/w1 passing", "n5/nat")
	d.expectHealth(&ServiceSpecificRequest{ServiceName: "web", TagFilter: true, ServiceTags: []string{"v1"}}, "n1/w1 passing", "n2/w2 warning")
	d.expectHealth(&ServiceSpecificRequest{ServiceName: "web", TagFilter: true, ServiceTags: []string{"v1", "PRIMARY"}}, "n1/w1 passing")
	d.expectHealth(&ServiceSpecificRequest{ServiceName: "web", TagFilter: true, ServiceTags: []string{"v1"}, ServiceTag: "v2"}, "n3/w3 critical")
	d.expectHealth(&ServiceSpecificRequest{ServiceName: "web", ServiceTags: []string{"v1"}}, "n1/w1 passing", "n2/w2 warning", "n3/w3 critical", "n5/nat")
	d.expectHealth(&ServiceSpecificRequest{ServiceName: "web", NodeMetaFilters: map[string]string{"rack": "r1"}}, "n1/w1 passing")
	d.expectHealth(&ServiceSpecificRequest{ServiceName: "web", Connect: true}, "n4/px", "n5/nat")
	d.expectHealth(&ServiceSpecificRequest{ServiceName: "web", Ingress: true})
	filtered := web()
	filtered.Filter = `Checks.Status == "warning"`
	d.expectHealth(filtered, "n2/w2 warning")

	var ids []string
	at := &ServiceSpecificRequest{ServiceName: "web", ServiceAddress: "10.0.0.1"}
	for _, row := range must(d.serviceNodes(t.Context(), anyone(), at)).ServiceNodes {
		ids = append(ids, row.ServiceID)
		if row.ServiceMeta == nil {
			t.Errorf("%s has no ServiceMeta: clients expect an empty one", row.ServiceID)
		}
	}
	if !slices.Equal(ids, []string{"w2", "w3"}) {
		t.Errorf("at 10.0.0.1 are %q", ids)
	}
	for address, want := range map[string]string{"10.0.0.4": "px", "10.9.9.9": "w1"} { // of all services
		rows := must(d.serviceNodes(t.Context(), anyone(), &ServiceSpecificRequest{ServiceAddress: address})).ServiceNodes
		if len(rows) != 1 || rows[0].ServiceID != want {
			t.Errorf("at %s are %v", address, rows)
		}
	}
	services := must(d.listServices(t.Context(), anyone(), &DCSpecificRequest{})).Services
	if want := map[string][]string{"Web": {"V1", "primary"}, "web": {"v1", "v2"}, "web-proxy": {}}; !reflect.DeepEqual(services, want) {
		t.Errorf("the services are %v", services)
	}
	some := &DCSpecificRequest{NodeMetaFilters: map[string]string{"rack": "r1"}}
	if services := must(d.listServices(t.Context(), anyone(), some)).Services; len(services) != 1 || services["Web"] == nil {
		t.Errorf("the services of the rack are %v", services)
	}
	some = &DCSpecificRequest{}
	some.Filter = `ServiceTags contains "v2"`
	if services := must(d.listServices(t.Context(), anyone(), some)).Services; !reflect.DeepEqual(services, map[string][]string{"web": {"v2"}}) {
		t.Errorf("the filtered services are %v", services)
	}
	for _, req := range []func() error{
		func() error { _, err := d.serviceNodes(t.Context(), anyone(), &ServiceSpecificRequest{}); return err },
		func() error {
			_, err := d.healthServiceNodes(t.Context(), anyone(), &ServiceSpecificRequest{})
			return err
		},
		func() error { _, err := d.nodeServices(t.Context(), anyone(), &NodeSpecificRequest{}); return err },
		func() error {
			_, err := d.serviceChecks(t.Context(), anyone(), &ServiceSpecificRequest{ServiceName: "web", TagFilter: true})
			return err
		},
	} {
		if err := req(); rpc.ReasonOf(err) != rpc.ReasonInvalid {
			t.Errorf("a bad request gave %v", err)
		}
	}
}

func TestARenamedServiceTakesItsChecksAlong(t *testing.T) {
	d := newDC(t)
	d.service("n1", "id", "web", Passing, "v1")
	d.put(&RegisterRequest{Node: "n1", SkipNodeUpdate: true, Service: &NodeService{ID: "id", Service: "shop", Tags: Tags{"v2"}}})
	d.expectHealth(web())
	d.expectHealth(&ServiceSpecificRequest{ServiceName: "shop"}, "n1/id passing")
	c, _ := LookupCheck(d.store.Read(nil), "n1", "check:id")
	if c.ServiceName != "shop" || !slices.Equal(c.ServiceTags, Tags{"v2"}) || c.ModifyIndex != 2 {
		t.Errorf("the check is %+v", c)
	}
}

func FuzzCommands(f *testing.F) {
	f.Add(storetest.Encode(f, opRegister, &register{Node: &Node{Node: "n1", Address: "1"}, Service: &NodeService{ID: "w", Service: "web"}})[9:])
	f.Add(storetest.Encode(f, opDeregister, &deregister{Node: "n1"})[9:])
	f.Fuzz(func(t *testing.T, body []byte) {
		d := newDC(t)
		d.service("n1", "w1", "web", Passing)
		for _, op := range []store.Op{opRegister, opDeregister} {
			d.log.Batch(append(storetest.Encode(t, op, nil)[:9], body...))
		}
		for _, read := range d.reads() {
			read(anyone())
		}
	})
}
