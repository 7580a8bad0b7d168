package catalog

import (
	"context"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// The methods of this domain. Package server binds [ListDatacenters], because the
// datacenters are known to gossip and not to this table.
var (
	Register = rpc.Method[RegisterRequest, rpc.Nothing]{Info: rpc.Info{
		Name: "Catalog.Register", Write: true, Timer: []string{"catalog", "register"}, Resource: rpc.ResourceNode}}
	Deregister = rpc.Method[DeregisterRequest, rpc.Nothing]{Info: rpc.Info{
		Name: "Catalog.Deregister", Write: true, Timer: []string{"catalog", "deregister"}, Resource: rpc.ResourceNode}}
	ListDatacenters = rpc.Method[DatacentersRequest, []string]{Info: rpc.Info{
		Name: "Catalog.ListDatacenters", Route: rpc.Local}}
	ListNodes = rpc.Method[DCSpecificRequest, IndexedNodes]{Info: rpc.Info{
		Name: "Catalog.ListNodes", Blocking: true, Class: rpc.List, Resource: rpc.ResourceNode}}
	ListServices = rpc.Method[DCSpecificRequest, IndexedServices]{Info: rpc.Info{
		Name: "Catalog.ListServices", Blocking: true, Class: rpc.List, Resource: rpc.ResourceService}}
	ListServiceNodes = rpc.Method[ServiceSpecificRequest, IndexedServiceNodes]{Info: rpc.Info{
		Name: "Catalog.ServiceNodes", Blocking: true, Class: rpc.List, Resource: rpc.ResourceService}}
	GetNodeServices = rpc.Method[NodeSpecificRequest, IndexedNodeServices]{Info: rpc.Info{
		Name: "Catalog.NodeServices", Blocking: true, Class: rpc.List, Resource: rpc.ResourceNode}}
	GetNodeServiceList = rpc.Method[NodeSpecificRequest, IndexedNodeServiceList]{Info: rpc.Info{
		Name: "Catalog.NodeServiceList", Blocking: true, Class: rpc.List, Resource: rpc.ResourceNode}}
	ChecksInState = rpc.Method[ChecksInStateRequest, IndexedHealthChecks]{Info: rpc.Info{
		Name: "Health.ChecksInState", Blocking: true, Class: rpc.List, Resource: rpc.ResourceNode}}
	NodeChecks = rpc.Method[NodeSpecificRequest, IndexedHealthChecks]{Info: rpc.Info{
		Name: "Health.NodeChecks", Blocking: true, Class: rpc.List, Resource: rpc.ResourceNode}}
	ServiceChecks = rpc.Method[ServiceSpecificRequest, IndexedHealthChecks]{Info: rpc.Info{
		Name: "Health.ServiceChecks", Blocking: true, Class: rpc.List, Resource: rpc.ResourceService}}
	HealthServiceNodes = rpc.Method[ServiceSpecificRequest, IndexedCheckServiceNodes]{Info: rpc.Info{
		Name: "Health.ServiceNodes", Blocking: true, Class: rpc.List, Resource: rpc.ResourceService}}
	GatewayServices = rpc.Method[ServiceSpecificRequest, IndexedGatewayServices]{Info: rpc.Info{
		Name: "Catalog.GatewayServices", Blocking: true, Class: rpc.List}}
	GetNodeInfo = rpc.Method[NodeSpecificRequest, IndexedNodeDump]{Info: rpc.Info{
		Name: "Internal.NodeInfo", Blocking: true, Class: rpc.List, Resource: rpc.ResourceNode}}
	NodeDump = rpc.Method[DCSpecificRequest, IndexedNodeDump]{Info: rpc.Info{
		Name: "Internal.NodeDump", Blocking: true, Class: rpc.List, Resource: rpc.ResourceNode}}
)

// Endpoint answers the methods on a server.
type Endpoint struct {
	store      *store.Store
	log        store.Log
	datacenter string
	answers    answers
	ruler      Ruler // nil sorts nothing
}

// NewEndpoint makes the endpoint of the given datacenter.
func NewEndpoint(s *store.Store, log store.Log, datacenter string) *Endpoint {
	return &Endpoint{store: s, log: log, datacenter: datacenter, answers: answers{byName: map[string]*answer{}}}
}

// Methods binds the domain's methods, all but [ListDatacenters].
func (e *Endpoint) Methods() []rpc.Handler {
	return []rpc.Handler{
		Register.Handle(e.register), Deregister.Handle(e.deregister),
		ListNodes.Handle(e.listNodes), ListServices.Handle(e.listServices), ListServiceNodes.Handle(e.serviceNodes),
		GetNodeServices.Handle(e.nodeServices), GetNodeServiceList.Handle(e.nodeServiceList),
		ChecksInState.Handle(e.checksInState), NodeChecks.Handle(e.nodeChecks),
		ServiceChecks.Handle(e.serviceChecks), HealthServiceNodes.Handle(e.healthServiceNodes),
		GatewayServices.Handle(e.gatewayServices), GetNodeInfo.Handle(e.nodeInfo), GetUsage.Handle(e.usage), NodeDump.Handle(e.nodeDump),
	}
}

// ofPeer tells whether a question is about what was imported from a cluster peer. There
// are no peers, so the answer is nothing, and nothing will change that.
func ofPeer(v *store.View, peer string, meta *rpc.Meta) bool {
	if peer == "" {
		return false
	}
	meta.SetAbsent(v.TouchedAt(tableNodes, tableServices, tableChecks))
	return true
}

// indexOf is the index of an answer made of the tables with the given names.
func indexOf(v *store.View, names ...string) uint64 {
	var index uint64
	for _, name := range names {
		index = max(index, v.WatchTouch(name))
	}
	return index
}

func (e *Endpoint) listNodes(_ context.Context, call *rpc.Call, req *DCSpecificRequest) (*IndexedNodes, error) {
	filter, err := NewFilter[*Node](req.Filter)
	if err != nil {
		return nil, err
	}
	v := e.store.Read(call.Watch)
	rep := &IndexedNodes{Nodes: []*Node{}}
	if ofPeer(v, req.PeerName, &rep.Meta) {
		return rep, nil
	}
	rep.Index = indexOf(v, tableNodes)
	for n := range store.Rows[*Node](v.Unwatched(), tableNodes, "id") {
		keep, err := filter.Keep(n)
		if err != nil {
			return nil, err
		}
		if keep && hasMeta(n, req.NodeMetaFilters) && call.Keep(rpc.ResourceNode, n.Node) {
			rep.Nodes = append(rep.Nodes, n)
		}
	}
	rep.Nodes = nearest(e, &req.Source, rep.Nodes, func(n *Node) string { return n.Node })
	return rep, nil
}

func (e *Endpoint) nodeServices(_ context.Context, call *rpc.Call, req *NodeSpecificRequest) (*IndexedNodeServices, error) {
	rep := &IndexedNodeServices{}
	node, services, err := e.servicesOf(call, req, &rep.Meta)
	if err != nil || node == nil {
		return rep, err
	}
	rep.NodeServices = &NodeServices{Node: node, Services: make(map[string]*NodeService, len(services))}
	for _, s := range services {
		rep.NodeServices.Services[s.ID] = s
	}
	return rep, nil
}

func (e *Endpoint) nodeServiceList(_ context.Context, call *rpc.Call, req *NodeSpecificRequest) (*IndexedNodeServiceList, error) {
	rep := &IndexedNodeServiceList{}
	node, services, err := e.servicesOf(call, req, &rep.Meta)
	rep.NodeServices = NodeServiceList{Node: node, Services: services}
	return rep, err
}

// servicesOf returns a node, nil if there is none to be seen, with its services.
func (e *Endpoint) servicesOf(call *rpc.Call, req *NodeSpecificRequest, meta *rpc.Meta) (*Node, []*NodeService, error) {
	if req.Node == "" {
		return nil, nil, errNoNode
	}
	filter, err := NewFilter[*NodeService](req.Filter)
	if err != nil {
		return nil, nil, err
	}
	v := e.store.Read(call.Watch)
	if ofPeer(v, req.PeerName, meta) {
		return nil, nil, nil
	}
	meta.Index = indexOf(v, touchNode(req.Node))
	rows := v.Unwatched()
	node, found := LookupNode(rows, req.Node)
	if !found || !call.Keep(rpc.ResourceNode, node.Node) {
		meta.SetAbsentSince(rows.TouchedAt(tableNodes), rows.ForgottenAt())
		return nil, nil, nil
	}
	services, err := kept(servicesOn(rows, node.Node), func(s *NodeService) (bool, error) {
		if !call.Keep(rpc.ResourceService, s.Service) {
			return false, nil
		}
		return filter.Keep(s)
	})
	return node, services, err
}

func (e *Endpoint) nodeInfo(_ context.Context, call *rpc.Call, req *NodeSpecificRequest) (*IndexedNodeDump, error) {
	if req.Node == "" {
		return nil, errNoNode
	}
	v := e.store.Read(call.Watch)
	rep := &IndexedNodeDump{}
	if ofPeer(v, req.PeerName, &rep.Meta) {
		return rep, nil
	}
	rep.Index = indexOf(v, touchNode(req.Node), touchNodeChecks(req.Node))
	rows := v.Unwatched()
	node, found := LookupNode(rows, req.Node)
	if !found || !call.Keep(rpc.ResourceNode, node.Node) {
		rep.SetAbsentSince(rows.TouchedAt(tableNodes, tableServices, tableChecks), rows.ForgottenAt())
		return rep, nil
	}
	rep.Dump = []*NodeInfo{infoOf(rows, call, node)}
	return rep, nil
}

func (e *Endpoint) nodeDump(_ context.Context, call *rpc.Call, req *DCSpecificRequest) (*IndexedNodeDump, error) {
	filter, err := NewFilter[*NodeInfo](req.Filter)
	if err != nil {
		return nil, err
	}
	v := e.store.Read(call.Watch)
	rep := &IndexedNodeDump{Dump: []*NodeInfo{}}
	if ofPeer(v, req.PeerName, &rep.Meta) {
		return rep, nil
	}
	rep.Index = indexOf(v, tableNodes, tableServices, tableChecks)
	rows := v.Unwatched()
	for n := range store.Rows[*Node](rows, tableNodes, "id") {
		if !hasMeta(n, req.NodeMetaFilters) || !call.Keep(rpc.ResourceNode, n.Node) {
			continue
		}
		info := infoOf(rows, call, n)
		keep, err := filter.Keep(info)
		if err != nil {
			return nil, err
		}
		if keep {
			rep.Dump = append(rep.Dump, info)
		}
	}
	return rep, nil
}

// infoOf gathers what the caller may see of a node.
func infoOf(v *store.View, call *rpc.Call, n *Node) *NodeInfo {
	info := &NodeInfo{
		ID: n.ID, Node: n.Node, PeerName: n.PeerName, Address: n.Address,
		TaggedAddresses: n.TaggedAddresses, Meta: n.Meta,
	}
	info.Services, _ = kept(servicesOn(v, n.Node), func(s *NodeService) (bool, error) {
		return call.Keep(rpc.ResourceService, s.Service), nil
	})
	info.Checks, _ = kept(checksOn(v, n.Node), func(c *HealthCheck) (bool, error) { return mayReadCheck(call, c), nil })
	return info
}

// hasMeta tells whether a node has all of the given metadata.
func hasMeta(n *Node, want map[string]string) bool { return matchesMeta(n.Meta, want) }

func matchesMeta(meta, want map[string]string) bool {
	for key, value := range want {
		if got, found := meta[key]; !found || got != value {
			return false
		}
	}
	return true
}

// kept returns the rows that keep lets through. If that is all of them it returns rows
// itself, which is shared.
func kept[T any](rows []T, keep func(T) (bool, error)) ([]T, error) {
	for i, row := range rows {
		ok, err := keep(row)
		if err != nil {
			return nil, err
		}
		if ok {
			continue
		}
		some := append([]T{}, rows[:i]...)
		for _, row := range rows[i+1:] {
			ok, err := keep(row)
			if err != nil {
				return nil, err
			}
			if ok {
				some = append(some, row)
			}
		}
		return some, nil
	}
	return rows, nil
}
