package catalog

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
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
	s, log := storetest.New(t, Module())
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
		"zero byte":    {RegisterRequest{Node: "n\x00", Address: "1"}, "contains a zero byte"},
		"check of nil": {RegisterRequest{Node: "n", Address: "1", Check: &HealthCheck{}}, "Must provide CheckID or Name"},
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

// reads are queries whose index and wakes the next test follows.
func (d *dc) reads() map[string]func(*rpc.Call) rpc.Reply {
	ctx := context.Background()
	health := func(name string) func(*rpc.Call) rpc.Reply {
		return func(c *rpc.Call) rpc.Reply {
			return must(d.healthServiceNodes(ctx, c, &ServiceSpecificRequest{ServiceName: name}))
		}
	}
	return map[string]func(*rpc.Call) rpc.Reply{
		"nodes":    func(c *rpc.Call) rpc.Reply { return must(d.listNodes(ctx, c, &DCSpecificRequest{})) },
		"services": func(c *rpc.Call) rpc.Reply { return must(d.listServices(ctx, c, &DCSpecificRequest{})) },
		"web":      health("web"),
		"db":       health("db"),
		"mesh": func(c *rpc.Call) rpc.Reply {
			return must(d.healthServiceNodes(ctx, c, &ServiceSpecificRequest{ServiceName: "web", Connect: true}))
		},
		"node n1":  func(c *rpc.Call) rpc.Reply { return must(d.nodeServices(ctx, c, &NodeSpecificRequest{Node: "n1"})) },
		"node n2":  func(c *rpc.Call) rpc.Reply { return must(d.nodeServices(ctx, c, &NodeSpecificRequest{Node: "n2"})) },
		"checks 1": func(c *rpc.Call) rpc.Reply { return must(d.nodeChecks(ctx, c, &NodeSpecificRequest{Node: "n1"})) },
		"passing": func(c *rpc.Call) rpc.Reply {
			return must(d.checksInState(ctx, c, &ChecksInStateRequest{State: Passing}))
		},
		"critical": func(c *rpc.Call) rpc.Reply {
			return must(d.checksInState(ctx, c, &ChecksInStateRequest{State: Critical}))
		},
		"any": func(c *rpc.Call) rpc.Reply {
			return must(d.checksInState(ctx, c, &ChecksInStateRequest{State: AnyState}))
		},
	}
}

// asked is one blocking query, at the index of its first answer.
type asked struct {
	index  uint64
	absent bool
	ws     rpc.WatchSet
}

func ask(read func(*rpc.Call) rpc.Reply) asked {
	call := anyone()
	call.Watch = make(rpc.WatchSet)
	meta := read(call).QueryMeta()
	return asked{meta.Index, meta.Absent(), call.Watch}
}

// answered tells whether the query would now return: it is woken, and looks again.
func (a asked) answered(read func(*rpc.Call) rpc.Reply) bool {
	woken := false
	for ch := range a.ws {
		select {
		case <-ch:
			woken = true
		default:
		}
	}
	next := ask(read)
	return woken && next.index > a.index && !(a.absent && next.absent)
}

func TestOnlyWhatWasAskedForWakes(t *testing.T) {
	d := newDC(t)
	d.service("n1", "w1", "web", Passing)
	d.service("n2", "db", "db", Passing)
	reads := d.reads()
	for _, step := range []struct {
		name string
		do   func()
		wake string
	}{
		{"nothing new", func() { d.service("n1", "w1", "web", Passing) }, ""},
		{"a check turns", func() { d.service("n1", "w1", "web", Critical) }, "any checks 1,critical,passing,web"},
		{"and back", func() { d.service("n1", "w1", "web", Passing) }, "any checks 1,critical,passing,web"},
		{"a node check", func() {
			d.put(&RegisterRequest{Node: "n2", SkipNodeUpdate: true, Check: &HealthCheck{Name: "host", Status: Passing}})
		}, "any db passing"},
		{"a new instance", func() { d.service("n2", "w2", "web", Passing) }, "any node n2 passing services web"},
		{"a proxy", func() {
			d.put(&RegisterRequest{Node: "n1", SkipNodeUpdate: true, Service: &NodeService{Service: "px", Kind: KindConnectProxy, Proxy: Proxy{DestinationServiceName: "web"}}})
		}, "mesh node n1 services"},
		{"an address", func() { d.put(&RegisterRequest{Node: "n1", Address: "10.0.0.9"}) }, "mesh node n1 nodes web"},
		{"another node", func() { d.put(&RegisterRequest{Node: "n3", Address: "10.0.0.3"}) }, "nodes"},
		{"the proxy goes", func() { d.remove(&DeregisterRequest{Node: "n1", ServiceID: "px"}) }, "mesh node n1 services"},
		{"the last db goes", func() { d.remove(&DeregisterRequest{Node: "n2", ServiceID: "db"}) }, "any db node n2 passing services"},
		{"nothing goes", func() { d.remove(&DeregisterRequest{Node: "n2", ServiceID: "db"}) }, ""},
		{"others change", func() { d.service("n3", "other", "other", Critical) }, "any critical nodes services"},
		{"db is back", func() { d.service("n2", "db", "db", Passing) }, "any db node n2 passing services"},
		{"a check goes", func() { d.remove(&DeregisterRequest{Node: "n1", CheckID: "check:w1"}) }, "any checks 1,passing web"},
		{"a node goes", func() { d.remove(&DeregisterRequest{Node: "n1"}) }, "checks 1,node n1 nodes services web"},
	} {
		before := map[string]asked{}
		for name, read := range reads {
			before[name] = ask(read)
		}
		step.do()
		var woke []string
		for name, read := range reads {
			if before[name].answered(read) {
				woke = append(woke, name)
			}
			if now := ask(read); now.index < before[name].index {
				t.Errorf("%s: the index of %s fell from %d to %d", step.name, name, before[name].index, now.index)
			}
		}
		slices.Sort(woke)
		want := strings.Fields(strings.NewReplacer("checks 1,", "checks_1 ", "node n1", "node_n1", "node n2", "node_n2", ",", " ").Replace(step.wake))
		for i := range want {
			want[i] = strings.ReplaceAll(want[i], "_", " ")
		}
		slices.Sort(want)
		if !slices.Equal(woke, want) {
			t.Errorf("%s: woke %q, want %q", step.name, woke, want)
		}
	}
}

func TestAQueryWatchesAFewChannelsHoweverManyInstances(t *testing.T) {
	d := newDC(t)
	for i := range 200 {
		d.service(fmt.Sprintf("n%d", i), "w", "web", Passing)
	}
	for name, read := range d.reads() {
		if n := len(ask(read).ws); n > 4 {
			t.Errorf("%s watches %d channels", name, n)
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

// only grants write access to one kind of thing, and read access to all but one.
type only struct {
	rpc.AllowAll
	resource rpc.Resource
	name     string
	hidden   string
}

func (o only) Allow(r rpc.Resource, a rpc.Access, name string) bool {
	if a == rpc.AccessRead {
		return name != o.hidden
	}
	return r == o.resource && name == o.name
}

func TestWhoMayWriteWhat(t *testing.T) {
	d := newDC(t)
	d.service("n1", "w1", "web", Passing)
	node := only{resource: rpc.ResourceNode, name: "n1"}
	service := only{resource: rpc.ResourceService, name: "web"}
	skip := func(req RegisterRequest) *RegisterRequest {
		req.Node, req.SkipNodeUpdate = "n1", true
		return &req
	}
	for name, c := range map[string]struct {
		who  only
		do   any
		want bool
	}{
		"a node by its owner":             {node, &RegisterRequest{Node: "n1", Address: "2"}, true},
		"a node by a service's":           {service, &RegisterRequest{Node: "n1", Address: "2"}, false},
		"a new node by a service's":       {service, &RegisterRequest{Node: "n9", Address: "2"}, false},
		"a service by its owner":          {service, skip(RegisterRequest{Service: &NodeService{ID: "w1", Service: "web", Port: 1}}), true},
		"a service by a node's":           {node, skip(RegisterRequest{Service: &NodeService{Service: "web"}}), false},
		"another service":                 {service, skip(RegisterRequest{Service: &NodeService{Service: "db"}}), false},
		"a foreign service under its ID":  {only{resource: rpc.ResourceService, name: "db"}, skip(RegisterRequest{Service: &NodeService{ID: "w1", Service: "db"}}), false},
		"a service's check by its owner":  {service, skip(RegisterRequest{Check: &HealthCheck{Name: "c", ServiceID: "w1"}}), true},
		"a service's check by a node's":   {node, skip(RegisterRequest{Check: &HealthCheck{Name: "c", ServiceID: "w1"}}), false},
		"a node's check by a service's":   {service, skip(RegisterRequest{Check: &HealthCheck{Name: "c"}}), false},
		"a service's check made a node's": {node, skip(RegisterRequest{Check: &HealthCheck{CheckID: "check:w1"}}), false},
		"the end of a service":            {service, &DeregisterRequest{Node: "n1", ServiceID: "w1"}, true},
		"the end of a service, by node":   {node, &DeregisterRequest{Node: "n1", ServiceID: "w1"}, true},
		"the end of a service's check":    {service, &DeregisterRequest{Node: "n1", CheckID: "check:w1"}, true},
		"the end of a node":               {service, &DeregisterRequest{Node: "n1"}, false},
		"the end of an unknown check":     {service, &DeregisterRequest{Node: "n1", CheckID: "nosuch"}, false},
		"the end of an unknown service":   {service, &DeregisterRequest{Node: "n1", ServiceID: "nosuch"}, false},
	} {
		d.service("n1", "w1", "web", Passing)
		call := &rpc.Call{Authz: c.who}
		var err error
		switch req := c.do.(type) {
		case *RegisterRequest:
			_, err = d.register(t.Context(), call, req)
		case *DeregisterRequest:
			_, err = d.deregister(t.Context(), call, req)
		}
		if (err == nil) != c.want || (err != nil && !errors.Is(err, rpc.ErrPermissionDenied)) {
			t.Errorf("%s: %v, want it allowed: %v", name, err, c.want)
		}
	}
}

func TestListsLeaveOutWhatMayNotBeRead(t *testing.T) {
	d := newDC(t)
	d.service("n1", "w1", "web", Passing)
	d.service("n2", "w2", "web", Passing)
	d.service("n2", "db", "db", Passing)
	ctx := t.Context()
	for hidden, want := range map[string]string{
		"":    "2 2 2 2 2 3 2 2 2 5",
		"n2":  "1 2 1 1 0 1 1 0 1 2",
		"web": "2 1 0 0 1 1 0 1 2 3",
	} {
		call := &rpc.Call{Authz: only{hidden: hidden}}
		dump := must(d.nodeDump(ctx, call, &DCSpecificRequest{})).Dump
		parts := 0
		for _, n := range dump {
			parts += len(n.Services)
		}
		got := fmt.Sprint(
			len(must(d.listNodes(ctx, call, &DCSpecificRequest{})).Nodes),
			len(must(d.listServices(ctx, call, &DCSpecificRequest{})).Services),
			len(must(d.serviceNodes(ctx, call, web())).ServiceNodes),
			len(must(d.healthServiceNodes(ctx, call, web())).Nodes),
			len(must(d.nodeServiceList(ctx, call, &NodeSpecificRequest{Node: "n2"})).NodeServices.Services),
			len(must(d.checksInState(ctx, call, &ChecksInStateRequest{State: AnyState})).HealthChecks),
			len(must(d.serviceChecks(ctx, call, web())).HealthChecks),
			len(must(d.nodeChecks(ctx, call, &NodeSpecificRequest{Node: "n2"})).HealthChecks),
			len(dump), parts+len(dump))
		if got != want {
			t.Errorf("without %q: %s, want %s", hidden, got, want)
		}
		if call.Filtered() != (hidden != "") {
			t.Errorf("without %q: filtered is %v", hidden, call.Filtered())
		}
	}
}

func TestAnUnknownNodeIsNil(t *testing.T) {
	d := newDC(t)
	d.service("n1", "w1", "web", Passing)
	req := &NodeSpecificRequest{Node: "nosuch"}
	services := must(d.nodeServices(t.Context(), anyone(), req))
	list := must(d.nodeServiceList(t.Context(), anyone(), req))
	info := must(d.nodeInfo(t.Context(), anyone(), req))
	if services.NodeServices != nil || list.NodeServices.Node != nil || list.NodeServices.Services != nil || info.Dump != nil {
		t.Fatalf("%+v %+v %+v", services, list, info)
	}
	if !services.Absent() || !list.Absent() || !info.Absent() {
		t.Fatal("the answers do not say that there is nothing")
	}
}

// Answers are shared between callers, and kept: who filters and sorts must not disturb
// the next.
func TestAnswersCanBeFilteredAndSortedConcurrently(t *testing.T) {
	d := newDC(t)
	for i := range 50 {
		d.service(fmt.Sprintf("n%02d", i), "w", "web", []string{Passing, Critical}[i%2], fmt.Sprint("t", i%5))
	}
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			for range 30 {
				req := &ServiceSpecificRequest{ServiceName: "web"}
				want := 50
				if worker%2 == 0 {
					req.HealthFilterType, want = OnlyPassing, 25
				}
				if worker%3 == 0 {
					req.Filter, want = `Service.Tags contains "t0"`, want/5
				}
				rep, err := d.healthServiceNodes(context.Background(), anyone(), req)
				if err != nil || len(rep.Nodes) != want {
					t.Errorf("%d instances, want %d (%v)", len(rep.Nodes), want, err)
					return
				}
				slices.SortFunc(slices.Clone(rep.Nodes), func(a, b CheckServiceNode) int { return strings.Compare(b.Node.Node, a.Node.Node) })
				flat := must(d.serviceNodes(context.Background(), anyone(), web())).ServiceNodes
				if _, err := json.Marshal(flat); err != nil || len(flat) != 50 {
					t.Errorf("%d rows, %v", len(flat), err)
				}
				must(json.Marshal(must(d.listServices(context.Background(), anyone(), &DCSpecificRequest{})).Services))
			}
		})
	}
	wg.Go(func() {
		for i := range 100 {
			d.put(&RegisterRequest{Node: "n00", Address: fmt.Sprint("10.0.1.", i)})
			d.service("other", "o", "other", Passing, fmt.Sprint(i))
		}
	})
	wg.Wait()
}

// archive returns the state in an archive of a snapshot.
func archive(t *testing.T, path string) io.Reader {
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for members := tar.NewReader(must(gzip.NewReader(file))); ; {
		if must(members.Next()).Name == "state.bin" {
			return bytes.NewReader(must(io.ReadAll(members)))
		}
	}
}

// recorded is what the HTTP API of the snapshot's datacenter answered.
type recorded struct {
	Nodes        struct{ Body []*Node }
	Checks       struct{ Body []*HealthCheck }
	NodeServices struct{ Body []NodeServiceList } `json:"node_services"`
}

func TestAConsulSnapshotIsTakenOver(t *testing.T) {
	const at = 5000
	d := newDC(t)
	imported, err := d.store.Import(archive(t, "testdata/consul-1.21.4.snap"), at, store.Identity{ID: "dc", Incarnation: "next"})
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

func benchmarkHealth(b *testing.B, instances int) {
	d := newDC(b)
	for i := range instances {
		d.service(fmt.Sprintf("n%04d", i), "w", "web", Passing, "v1")
	}
	b.ReportAllocs()
	for b.Loop() {
		rep, err := d.healthServiceNodes(context.Background(), anyone(), &ServiceSpecificRequest{ServiceName: "web", HealthFilterType: OnlyPassing})
		if err != nil || len(rep.Nodes) != instances {
			b.Fatalf("%d instances, %v", len(rep.Nodes), err)
		}
	}
}

func BenchmarkHealthOf10(b *testing.B)   { benchmarkHealth(b, 10) }
func BenchmarkHealthOf1000(b *testing.B) { benchmarkHealth(b, 1000) }

func BenchmarkRegisterIntoAServiceOf1000(b *testing.B) {
	d := newDC(b)
	for i := range 1000 {
		d.service(fmt.Sprintf("n%04d", i), "w", "web", Passing)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		d.service("n0500", "w", "web", []string{Passing, Critical}[n%2])
	}
}
