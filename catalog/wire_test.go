package catalog

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/rpc/rpctest"
)

// What peers send decodes without a field left over, and encodes to as many bytes: the
// fields are the same, only maps come in any order.
func TestTypesAreThoseOfPeers(t *testing.T) {
	rpctest.Compare(t, "testdata/rpc.jsonl", rpctest.Types{
		"Catalog.Register":        {rpctest.Made[RegisterRequest], rpctest.Made[rpc.Nothing]},
		"Catalog.Deregister":      {rpctest.Made[DeregisterRequest], rpctest.Made[rpc.Nothing]},
		"Catalog.ListNodes":       {rpctest.Made[DCSpecificRequest], rpctest.Made[IndexedNodes]},
		"Catalog.ListServices":    {rpctest.Made[DCSpecificRequest], rpctest.Made[IndexedServices]},
		"Catalog.ServiceNodes":    {rpctest.Made[ServiceSpecificRequest], rpctest.Made[IndexedServiceNodes]},
		"Catalog.NodeServices":    {rpctest.Made[NodeSpecificRequest], rpctest.Made[IndexedNodeServices]},
		"Catalog.NodeServiceList": {rpctest.Made[NodeSpecificRequest], rpctest.Made[IndexedNodeServiceList]},
		"Health.ChecksInState":    {rpctest.Made[ChecksInStateRequest], rpctest.Made[IndexedHealthChecks]},
		"Health.NodeChecks":       {rpctest.Made[NodeSpecificRequest], rpctest.Made[IndexedHealthChecks]},
		"Health.ServiceChecks":    {rpctest.Made[ServiceSpecificRequest], rpctest.Made[IndexedHealthChecks]},
		"Health.ServiceNodes":     {rpctest.Made[ServiceSpecificRequest], rpctest.Made[IndexedCheckServiceNodes]},
		"Catalog.GatewayServices": {rpctest.Made[ServiceSpecificRequest], rpctest.Made[IndexedGatewayServices]},
		"Operator.Usage":          {rpctest.Made[recordedUsageRequest], rpctest.Made[Usage]},
		"Internal.NodeInfo":       {rpctest.Made[NodeSpecificRequest], rpctest.Made[IndexedNodeDump]},
		"Internal.NodeDump":       {rpctest.Made[DCSpecificRequest], rpctest.Made[IndexedNodeDump]},
	})
}

// recordedUsageRequest has the fields of other questions that peers send along.
type recordedUsageRequest struct {
	DCSpecificRequest
	Global bool
}

func TestJSONIsWhatClientsRead(t *testing.T) {
	const (
		service  = `{"ID":"web-1","Service":"web","Tags":["v1","primary"],"Address":"10.1.0.111","TaggedAddresses":{"lan":{"Address":"10.1.0.111","Port":80},"wan":{"Address":"198.51.100.111","Port":8080}},"Meta":{"version":"1"},"Port":80,"Weights":{"Passing":10,"Warning":2},"EnableTagOverride":false,"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":"","CreateIndex":22,"ModifyIndex":22}`
		node     = `{"ID":"","Node":"ext3","Address":"10.1.0.13","Datacenter":"dc1","TaggedAddresses":null,"Meta":null,"CreateIndex":24,"ModifyIndex":24}`
		check    = `{"Node":"ext1","CheckID":"host","Name":"host","Status":"passing","Notes":"","Output":"","ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":22,"ModifyIndex":22}`
		flat     = `{"ID":"","Node":"ext2","Address":"10.1.0.12","Datacenter":"dc1","TaggedAddresses":null,"NodeMeta":{"rack":"r2"},"ServiceKind":"","ServiceID":"web-2","ServiceName":"web","ServiceTags":["v2"],"ServiceAddress":"","ServiceWeights":{"Passing":5,"Warning":3},"ServiceMeta":{},"ServicePort":80,"ServiceSocketPath":"","ServiceEnableTagOverride":false,"ServiceProxy":{"Mode":"","MeshGateway":{},"Expose":{}},"ServiceConnect":{},"ServiceLocality":null,"CreateIndex":23,"ModifyIndex":23}`
		sidecar  = `{"Kind":"connect-proxy","ID":"web-1-proxy","Service":"web-sidecar-proxy","Tags":[],"Address":"","Meta":null,"Port":21000,"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,"Proxy":{"DestinationServiceName":"web","DestinationServiceID":"web-1","LocalServicePort":80,"Mode":"","Config":{"protocol":"http"},"Upstreams":[{"DestinationType":"","DestinationName":"db","Datacenter":"","LocalBindPort":9191,"MeshGateway":{}}],"MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":"","CreateIndex":31,"ModifyIndex":31}`
		native   = `{"Native":true}`
		probing  = `{"Interval":"10s","Timeout":"1.5s","HTTP":"http://10.1.0.111:80/health","Header":{"X-Probe":["1"]}}`
		instance = `{"Node":` + node + `,"Service":` + service + `,"Checks":[` + check + `]}`
	)
	for name, c := range map[string]struct {
		into any
		text string
	}{
		"service": {new(NodeService), service}, "node": {new(Node), node}, "check": {new(HealthCheck), check},
		"flat": {new(ServiceNode), flat}, "sidecar": {new(NodeService), sidecar}, "native": {new(Connect), native},
		"definition": {new(HealthCheckDefinition), probing}, "instance": {new(CheckServiceNode), instance},
	} {
		if err := json.Unmarshal([]byte(c.text), c.into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if out, err := json.Marshal(c.into); err != nil || string(out) != c.text {
			t.Errorf("%s (%v):\n%s, want\n%s", name, err, out, c.text)
		}
	}
}

func TestDurationsAreTextsOrNanoseconds(t *testing.T) {
	for text, want := range map[string]string{
		`{"Interval":"90s"}`: `{"Interval":"1m30s"}`, `{"Interval":1500000000}`: `{"Interval":"1.5s"}`, `{"Interval":""}`: `{}`,
		`{"Interval":"0s"}`: `{}`, `{"Interval":null}`: `{}`, `{"Interval":"soon"}`: "error", `{"Interval":[1]}`: "error",
	} {
		var d HealthCheckDefinition
		out := []byte("error")
		if json.Unmarshal([]byte(text), &d) == nil {
			out, _ = json.Marshal(d)
		}
		if string(out) != want {
			t.Errorf("%s is %s, want %s", text, out, want)
		}
	}
}

func TestFilters(t *testing.T) {
	row := CheckServiceNode{
		Node: &Node{Node: "n1", Meta: map[string]string{"rack": "r1", "a b": "x", "path": "/srv", "quote": `a"b` + "`c"}},
		Service: &NodeService{
			Service: "web", Port: 80, Tags: Tags{"v1", "primary"}, Weights: &Weights{Passing: 1},
			Proxy: Proxy{Upstreams: []Upstream{{DestinationName: "db"}, {DestinationName: "cache"}}},
		},
		Checks: []*HealthCheck{{Status: Passing, CheckID: "a"}, {Status: Warning, CheckID: "b"}},
	}
	for expression, want := range map[string]bool{
		`Node.Node == "n1"`: true, `Node.Node == n1`: true, `Node.Node != n1`: false,
		`Node.Meta.rack == r1`: true, `Node.Meta.none == r1`: false, `Node.Meta.none != r1`: true, `Node.Meta["a b"] == x`: true,
		`rack in Node.Meta`: true, `none not in Node.Meta`: true, `Node.Meta is empty`: false,
		`Node.Meta.path == "/srv"`: true, `Node.Meta.path == "srv"`: false, "Node.Meta.path == `/srv`": true,
		`Node.Meta.path matches "^/s"`: true, `Node.TaggedAddresses is empty`: true, `Node.TaggedAddresses.lan == "1"`: false,
		`Service.Port == 80`: true, `Service.Port != 80`: false, `Service.Weights.Passing == 1`: true,
		`v1 in Service.Tags`: true, `Service.Tags contains v2`: false, `"v2" not in Service.Tags and Service.Service == "web"`: true,
		`Service.Connect.Native == true`: false, `not Service.Connect.Native == true`: true,
		`Checks.Status == "warning"`: true, `Checks.Status == "critical"`: false, `Checks.Status != "passing"`: true,
		`Checks.Status == passing and Checks.CheckID == "b"`: true, `Checks is not empty`: true,
		`Service.Proxy.Upstreams.DestinationName == cache`:                                          true,
		`all Checks as c { c.Status != critical }`:                                                  true,
		`any Checks as i, c { c.Status == warning and c.CheckID==a }`:                               false,
		`any Node.Meta as k, v { k == "rack" and v == "r1" }`:                                       true,
		`any Node.Meta as k { k == "rack" }`:                                                        true,
		`(Node.Node == x or Service.Port == 80) and (Checks.Status == "passing" or Node.Node == y)`: true,
	} {
		f, err := NewFilter[CheckServiceNode](expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got, err := f.Keep(row); got != want || err != nil {
			t.Errorf("%s is %v (%v), want %v", expression, got, err, want)
		}
	}
	quoted := "Node.Meta.quote == " + quote(row.Node.Meta["quote"])
	if f, err := NewFilter[CheckServiceNode](quoted); err != nil {
		t.Errorf("%s: %v", quoted, err)
	} else if got, err := f.Keep(row); !got || err != nil {
		t.Errorf("%s is %v, %v", quoted, got, err)
	}
}

func TestBadFiltersAreRefused(t *testing.T) {
	for expression, want := range map[string]string{
		`Nope == 1`:              `Failed to create boolean expression evaluator: Selector "Nope" is not valid`,
		`Service.Nope == 1`:      `Failed to create boolean expression evaluator: Selector "Service.Nope" is not valid`,
		`Node.CreateIndex == 1`:  `Selector "Node.CreateIndex" is not valid`,
		`Checks.Nope == 1`:       `is not valid`,
		`Service.Port.X == 1`:    `Selector "Service.Port.X" is not valid`,
		`Service.Revision == 1`:  `is not valid`,
		`Node.Node =`:            `Failed to create boolean expression evaluator: 1:11 (10): no match found, expected: "!=", "=="`,
		`Node.Node == "open`:     `Failed to create`,
		`any Nope as x { x==1 }`: `Selector "Nope" is not valid`,
		`(((`:                    `Failed to create`,
	} {
		_, err := NewFilter[CheckServiceNode](expression)
		if err == nil || !strings.Contains(err.Error(), want) || rpc.ReasonOf(err) != rpc.ReasonInvalid {
			t.Errorf("%s: %v, want %s", expression, err, want)
		}
	}
	f, err := NewFilter[*NodeService](`Port == web`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Keep(&NodeService{}); rpc.ReasonOf(err) != rpc.ReasonInvalid {
		t.Errorf("a port compared with a word: %v", err)
	}
}

func FuzzFilter(f *testing.F) {
	for _, expression := range []string{`Node.Meta.a == "/x"`, `any Checks as i, c { c.Status == warning }`, "not `a\\` in Service.Tags", `Node.Meta["\x22"] matches "("`} {
		f.Add(expression)
	}
	row := CheckServiceNode{Node: &Node{Meta: map[string]string{"a": "/x"}}, Service: &NodeService{Weights: &Weights{}}, Checks: []*HealthCheck{{}}}
	f.Fuzz(func(t *testing.T, expression string) {
		if len(expression) > 200 {
			return
		}
		filter, err := NewFilter[CheckServiceNode](expression)
		if err == nil {
			_, err = filter.Keep(row)
		}
		if err != nil && rpc.ReasonOf(err) != rpc.ReasonInvalid {
			t.Fatalf("%s: %v", expression, err)
		}
	})
}
