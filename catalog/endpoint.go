package catalog

import "github.com/hanse-project/hanse/rpc"

// The methods of this domain. Package server binds [ListDatacenters], because the
// datacenters are known to gossip and not to this table.
var (
	Register = rpc.Method[RegisterRequest, rpc.Nothing]{Info: rpc.Info{
		Name: "Catalog.Register", Write: true, Resource: rpc.ResourceNode}}
	Deregister = rpc.Method[DeregisterRequest, rpc.Nothing]{Info: rpc.Info{
		Name: "Catalog.Deregister", Write: true, Resource: rpc.ResourceNode}}
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
	GetNodeInfo = rpc.Method[NodeSpecificRequest, IndexedNodeDump]{Info: rpc.Info{
		Name: "Internal.NodeInfo", Blocking: true, Class: rpc.List, Resource: rpc.ResourceNode}}
	NodeDump = rpc.Method[DCSpecificRequest, IndexedNodeDump]{Info: rpc.Info{
		Name: "Internal.NodeDump", Blocking: true, Class: rpc.List, Resource: rpc.ResourceNode}}
)
