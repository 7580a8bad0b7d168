package catalog

import (
	"context"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// GetUsage counts what is in the catalog. It is a question of operators, and stands here
// because the rows do.
var GetUsage = rpc.Method[UsageRequest, Usage]{Info: rpc.Info{
	Name: "Operator.Usage", Blocking: true, Class: rpc.List, Resource: rpc.ResourceOperator}}

// UsageRequest asks for the usage of one datacenter.
type UsageRequest struct {
	rpc.Read
	// Global asks for that of all datacenters. Who wants it asks each one.
	Global bool
}

// Usage is what is in use, by datacenter.
type Usage struct {
	Usage map[string]ServiceUsage
	rpc.Meta
}

// ServiceUsage counts the services of a datacenter.
type ServiceUsage struct {
	Services         int
	ServiceInstances int
	// ConnectServiceInstances are the instances that have to do with the mesh, by kind.
	ConnectServiceInstances map[string]int
	// BillableServiceInstances are those of users: neither servers nor parts of the mesh.
	BillableServiceInstances int
	Nodes                    int
}

// kindNative counts instances that accept mesh connections by themselves.
const kindNative = "connect-native"

func (e *Endpoint) usage(_ context.Context, call *rpc.Call, _ *UsageRequest) (*Usage, error) {
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessRead, ""); err != nil {
		return nil, err
	}
	v := e.store.Read(call.Watch)
	rep := &Usage{}
	rep.Index = indexOf(v, tableNodes, tableServices)
	u := ServiceUsage{ConnectServiceInstances: map[string]int{
		"api-gateway": 0, kindNative: 0, KindConnectProxy: 0, "ingress-gateway": 0, "mesh-gateway": 0, "terminating-gateway": 0,
	}}
	names := map[string]bool{}
	for i := range store.Rows[*instance](v.Unwatched(), tableServices, "id") {
		s := i.service
		names[fold(s.Service)] = true
		u.ServiceInstances++
		if s.Kind != "" {
			u.ConnectServiceInstances[s.Kind]++
		} else if s.Service != serverService {
			u.BillableServiceInstances++
		}
		if s.Connect.Native {
			u.ConnectServiceInstances[kindNative]++
		}
	}
	for range store.Rows[*Node](v.Unwatched(), tableNodes, "id") {
		u.Nodes++
	}
	u.Services = len(names)
	rep.Usage = map[string]ServiceUsage{e.datacenter: u}
	return rep, nil
}
