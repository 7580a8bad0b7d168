//go:build linux

package calls

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

func TestRegistrationOfAnExternalNodeIsKeptWhole(t *testing.T) {
	n := lab.Start(t, lab.Servers("shanghai", 1), lab.Clients("shanghai", 1)).Node("shanghai-c1")
	c := n.API(t)
	registration := &api.CatalogRegistration{
		ID: "40e4a748-2192-161a-0510-9bf59fe950b5", Node: "ext", Address: "10.0.0.1", Datacenter: "shanghai",
		TaggedAddresses: map[string]string{"lan": "10.0.0.1", "wan": "198.51.100.1"},
		NodeMeta:        map[string]string{"external-node": "true", "rack": "r1"},
		Service: &api.AgentService{
			ID: "web-1", Service: "web", Tags: []string{"a", "b"}, Meta: map[string]string{"v": "1"}, Port: 80, Address: "10.0.0.2",
			TaggedAddresses: map[string]api.ServiceAddress{"wan": {Address: "198.51.100.2", Port: 8080}},
			Weights:         api.AgentWeights{Passing: 10, Warning: 3}, EnableTagOverride: true,
			Connect: &api.AgentServiceConnect{Native: true}, Proxy: &api.AgentServiceConnectProxyConfig{},
			Locality: &api.Locality{Region: "cn", Zone: "cn-1"},
		},
		Checks: api.HealthChecks{
			{Node: "ext", CheckID: "alive", Name: "alive", Status: "passing", Notes: "by hand", Output: "fine"},
			{CheckID: "web", Name: "web", Status: "warning", ServiceID: "web-1", Type: "http", Definition: api.HealthCheckDefinition{
				HTTP: "http://10.0.0.2/", Header: map[string][]string{"X": {"y"}}, Method: "GET", TLSSkipVerify: true,
				IntervalDuration: 10 * time.Second, TimeoutDuration: 5 * time.Second, DeregisterCriticalServiceAfterDuration: time.Hour,
			}},
		},
	}
	if _, err := c.Catalog().Register(registration, nil); err != nil {
		t.Fatal(err)
	}
	entries, _, err := c.Health().Service("web", "", false, nil)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v %v", entries, err)
	}
	e := entries[0]
	if e.Node.ID != registration.ID || e.Node.Address != "10.0.0.1" || !reflect.DeepEqual(e.Node.TaggedAddresses, registration.TaggedAddresses) ||
		!reflect.DeepEqual(e.Node.Meta, registration.NodeMeta) || e.Node.Datacenter != "shanghai" {
		t.Errorf("node %+v", e.Node)
	}
	want := *registration.Service
	want.CreateIndex, want.ModifyIndex = e.Service.CreateIndex, e.Service.ModifyIndex
	if !reflect.DeepEqual(e.Service, &want) {
		t.Errorf("service\n got %+v\nwant %+v", e.Service, &want)
	}
	if len(e.Checks) != 2 || e.Checks[0].Notes != "by hand" || e.Checks[0].Output != "fine" || e.Checks[1].ServiceName != "web" ||
		!reflect.DeepEqual(e.Checks[1].ServiceTags, []string{"a", "b"}) {
		t.Errorf("checks %+v %+v", e.Checks[0], e.Checks[1])
	}
	if d := e.Checks[1].Definition; !reflect.DeepEqual(d, withTexts(registration.Checks[1].Definition)) {
		t.Errorf("definition\n got %+v\nwant %+v", d, withTexts(registration.Checks[1].Definition))
	}

	// A node keeps its services and checks under a new name.
	renamed := &api.CatalogRegistration{ID: registration.ID, Node: "ext-2", Address: "10.0.0.9"}
	if _, err := c.Catalog().Register(renamed, nil); err != nil {
		t.Fatal(err)
	}
	if node, _, err := c.Catalog().Node("ext", nil); err != nil || node != nil {
		t.Errorf("the old name is %+v (%v)", node, err)
	}
	node, _, err := c.Catalog().Node("ext-2", nil)
	if err != nil || node == nil || node.Node.Address != "10.0.0.9" {
		t.Fatalf("the new name is %+v (%v)", node, err)
	}
	talk(t, n,
		// A service takes another name under its ID.
		call{method: "PUT", path: "/v1/catalog/register", body: `{"Node":"ext-2","SkipNodeUpdate":true,"Service":{"ID":"web-1","Service":"site","Port":81}}`, is: "true"},
		call{path: "/v1/health/service/site", check: list(1)}, call{path: "/v1/health/service/web", is: "[]"},
		call{method: "PUT", path: "/v1/catalog/deregister", body: `{"Node":"ext-2","CheckID":"alive"}`, is: "true"},
		call{method: "PUT", path: "/v1/catalog/deregister", body: `{"Datacenter":"shanghai","Node":"ext-2","ServiceID":"web-1"}`, is: "true"},
		call{path: "/v1/health/node/ext-2", is: "[]"}, call{path: "/v1/catalog/services", is: `{"consul":[]}`},
		call{method: "PUT", path: "/v1/catalog/deregister", body: `{"Node":"ext-2"}`, is: "true"},
		call{path: "/v1/catalog/node/ext-2", is: "null"},
		// What is gone may be taken away again.
		call{method: "PUT", path: "/v1/catalog/deregister", body: `{"Node":"ext-2"}`, is: "true"},
		call{method: "PUT", path: "/v1/catalog/deregister", body: `{"Node":"ext-2","ServiceID":"x"}`, is: "true"},
	)
}

// withTexts is a definition as it is read back: the older fields stand beside the newer.
func withTexts(d api.HealthCheckDefinition) api.HealthCheckDefinition {
	d.Interval, d.Timeout = api.ReadableDuration(d.IntervalDuration), api.ReadableDuration(d.TimeoutDuration)
	d.DeregisterCriticalServiceAfter = api.ReadableDuration(d.DeregisterCriticalServiceAfterDuration)
	return d
}

func TestParametersOfCatalogAndHealth(t *testing.T) {
	n := lab.Start(t, lab.Servers("shanghai", 1), lab.Clients("shanghai", 1)).Node("shanghai-c1")
	var rows []call
	for i, c := range []struct{ rack, os, status string }{{"r1", "linux", "passing"}, {"r1", "bsd", "warning"}, {"r2", "linux", "critical"}} {
		rows = append(rows, call{method: "PUT", path: "/v1/catalog/register", is: "true", body: fmt.Sprintf(
			`{"Node":"n%d","Address":"10.0.0.%d","NodeMeta":{"rack":%q,"os":%q},"Service":{"Service":"web","ID":"web-%d","Tags":["v%d","All"],"Port":%d,"Connect":{"Native":true}},"Check":{"CheckID":"c","Name":"web","ServiceID":"web-%d","Status":%q}}`,
			i, i+1, c.rack, c.os, i, i, 80+i, i, c.status)})
	}
	talk(t, n, rows...)
	meta := "node-meta=rack:r1&node-meta=os:linux"
	for _, c := range []struct {
		path string
		rows int
	}{
		{"/v1/catalog/nodes?" + meta, 1}, {"/v1/catalog/nodes?node-meta=rack:r1", 2}, {"/v1/catalog/nodes?filter=Meta.rack==r2", 1},
		{"/v1/catalog/nodes?filter=Node+matches+%22n%5B01%5D%22", 2}, {"/v1/catalog/nodes?peer=x", 0},
		{"/v1/catalog/service/web?" + meta, 1}, {"/v1/catalog/service/web?tag=v1", 1}, {"/v1/catalog/service/web?tag=all&tag=V2", 1},
		{"/v1/catalog/service/web?tag=v1&tag=v2", 0}, {"/v1/catalog/service/web?filter=ServicePort==81", 1},
		{"/v1/catalog/service/web?merge-central-config", 3}, {"/v1/catalog/service/web?peer=x", 0}, {"/v1/catalog/service/WEB", 3},
		{"/v1/catalog/connect/web?" + meta, 1}, {"/v1/catalog/connect/web?filter=%22v1%22+in+ServiceTags", 1}, {"/v1/catalog/connect/web?tag=v1", 1},
		{"/v1/health/service/web?" + meta, 1}, {"/v1/health/service/web?passing", 1}, {"/v1/health/service/web?passing=false", 3},
		{"/v1/health/service/web?passing=1&tag=v1", 0}, {"/v1/health/service/web?tag=ALL&tag=v0", 1},
		{"/v1/health/service/web?filter=Checks.Status==critical", 1}, {"/v1/health/service/web?filter=Node.Meta.os==bsd", 1},
		{"/v1/health/service/web?merge-central-config", 3}, {"/v1/health/service/web?peer=x", 0},
		{"/v1/health/connect/web?passing", 1}, {"/v1/health/connect/web?filter=Service.Port==82", 1},
		{"/v1/health/ingress/web?passing", 0}, {"/v1/catalog/gateway-services/web", 0},
		{"/v1/health/checks/web?" + meta, 1}, {"/v1/health/checks/web?filter=Status==warning", 1}, {"/v1/health/checks/web?peer=x", 0},
		{"/v1/health/checks/none", 0}, {"/v1/health/checks/web?near=_agent", 3},
		{"/v1/health/node/n1", 1}, {"/v1/health/node/N1?filter=Status==passing", 0}, {"/v1/health/node/n1?peer=x", 0}, {"/v1/health/node/none", 0},
		{"/v1/health/state/warning", 1}, {"/v1/health/state/critical?" + meta, 0}, {"/v1/health/state/any?node-meta=rack:r1", 2},
		{"/v1/health/state/any?filter=ServiceName==web", 3}, {"/v1/health/state/any?peer=x", 0}, {"/v1/health/state/nosuch", 0},
	} {
		talk(t, n, call{path: c.path, check: list(c.rows)})
	}
	talk(t, n,
		call{path: "/v1/catalog/services?" + meta, is: `{"web":["v0","All"]}`},
		call{path: "/v1/catalog/services?filter=ServicePort==82", is: `{"web":["v2","All"]}`},
		call{path: "/v1/catalog/services?peer=x", is: `{}`},
		call{path: "/v1/catalog/node/n1?filter=Port==81", has: []string{"Services.web-1"}},
		call{path: "/v1/catalog/node/n1?filter=Port==1", holds: `"Services":{}`},
		call{path: "/v1/catalog/node/n1?peer=x", is: "null"},
		call{path: "/v1/catalog/node-services/n1?filter=Port==81&merge-central-config", has: []string{"Services.0.ID"}},
		call{path: "/v1/catalog/node-services/n1?filter=Port==1", holds: `"Services":[]`},
		call{path: "/v1/catalog/node-services/nobody", is: `{"Node":null,"Services":null}`},
		call{path: "/v1/catalog/node/", status: 400, is: "Missing node name"},
		call{path: "/v1/catalog/service/", status: 400, is: "Missing service name"},
		call{path: "/v1/health/service/", status: 400, is: "Missing service name"},
		call{path: "/v1/health/state/", status: 400, is: "Missing check state"},
		call{method: "HEAD", path: "/v1/catalog/nodes", status: 405, check: allows("OPTIONS,GET")},
		call{method: "OPTIONS", path: "/v1/catalog/service/web", check: allows("OPTIONS,GET")},
		call{method: "OPTIONS", path: "/v1/catalog/register", check: allows("OPTIONS,PUT")},
		call{method: "POST", path: "/v1/health/service/web", status: 405, is: "method POST not allowed"},
		call{path: "/v1/catalog/nodes?ns=team", status: 400, begins: `Invalid query parameter: "ns" - Namespaces are`},
		call{path: "/v1/catalog/nodes", header: map[string]string{"X-Consul-Namespace": "team"}, status: 400, begins: `Invalid header: "X-Consul-Namespace"`},
		call{path: "/v1/catalog/nodes", header: map[string]string{"X-Consul-Namespace": "default"}},
		call{path: "/v1/health/service/web?stale", check: level("stale")},
		call{path: "/v1/health/service/web?max_stale=10s", check: level("stale")},
		call{path: "/v1/health/service/web?consistent", check: level("consistent")},
		call{path: "/v1/health/service/web", check: level("leader")},
		call{path: "/v1/health/service/web?stale&consistent", status: 400, begins: "Cannot specify ?stale with ?consistent"},
		call{path: "/v1/health/service/web?max_stale=soon", status: 400, begins: "Invalid max_stale"},
	)
	for _, path := range []string{
		"/v1/catalog/nodes", "/v1/catalog/services", "/v1/catalog/service/web", "/v1/catalog/connect/web", "/v1/catalog/node/n1", "/v1/catalog/node-services/n1",
		"/v1/health/node/n1", "/v1/health/checks/web", "/v1/health/service/web", "/v1/health/connect/web", "/v1/health/state/any",
	} {
		talk(t, n,
			call{path: path + "?filter=Nope==1", status: 500, begins: `Failed to create boolean expression evaluator: Selector "Nope" is not valid`},
			call{path: path + "?filter=((", status: 500, begins: "Failed to create boolean expression evaluator: "})
	}
}

func allows(methods string) func(answer) error {
	return func(a answer) error {
		if got := a.Header.Get("Allow"); got != methods {
			return fmt.Errorf("it allows %q, want %q", got, methods)
		}
		return nil
	}
}

func level(want string) func(answer) error {
	return func(a answer) error {
		if got := a.Header.Get("X-Consul-Effective-Consistency"); got != want {
			return fmt.Errorf("the consistency is %q, want %q", got, want)
		}
		return steady(a)
	}
}
