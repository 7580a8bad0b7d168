package catalog

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hanse-project/hanse/rpc"
)

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
