package catalog

import "github.com/hanse-project/hanse/rpc"

// RegisterRequest registers a node, and with it one service and any number of checks.
// It is also the record of a snapshot, where Revision is the node's.
type RegisterRequest struct {
	rpc.Write
	// ID is the node's UUID, "" if it has none.
	ID              string
	Node            string
	Address         string
	TaggedAddresses map[string]string
	NodeMeta        map[string]string
	Locality        *Locality
	Service         *NodeService
	// Check stands beside Checks, for one.
	Check  *HealthCheck
	Checks []*HealthCheck
	// SkipNodeUpdate leaves a node that exists as it is.
	SkipNodeUpdate bool
	// PeerName marks what came from a peer. Hanse has no peers.
	PeerName string
	Revision
}

// DeregisterRequest removes a service, a check, or with neither the whole node. If both
// are given the service goes.
type DeregisterRequest struct {
	rpc.Write
	Node      string
	ServiceID string
	CheckID   string
	PeerName  string
}

// QuerySource is who asks. A Node sorts answers by distance from it.
type QuerySource struct {
	Datacenter    string
	Segment       string
	Node          string
	NodePartition string
	Ip            string
	DisableNode   bool
}

// DCSpecificRequest asks for something of a whole datacenter.
type DCSpecificRequest struct {
	rpc.Read
	NodeMetaFilters map[string]string
	Source          QuerySource
	PeerName        string
}

// DatacentersRequest asks for the datacenters.
type DatacentersRequest struct{ rpc.Read }

// NodeSpecificRequest asks about one node.
type NodeSpecificRequest struct {
	rpc.Read
	Node               string
	PeerName           string
	MergeCentralConfig bool
}

// HealthFilter says which instances an answer leaves out by their health.
type HealthFilter int32

// The filters, by their numbers on the wire.
const (
	AllInstances HealthFilter = 0
	NotCritical  HealthFilter = 1
	OnlyPassing  HealthFilter = 2
)

// ServiceSpecificRequest asks about one service.
type ServiceSpecificRequest struct {
	rpc.Read
	NodeMetaFilters map[string]string
	ServiceName     string
	ServiceKind     string
	// ServiceTag is what servers before 1.3 sent in the place of ServiceTags. It wins.
	ServiceTag  string
	ServiceTags []string
	// ServiceAddress is the address of instances that are asked for, "" for all. With it
	// [ListServiceNodes] takes a request without a name, for those of all services.
	ServiceAddress string
	// TagFilter says that the tags are to be looked at.
	TagFilter bool
	// HealthFilterType is looked at by [HealthServiceNodes] only.
	HealthFilterType HealthFilter
	Source           QuerySource
	PeerName         string
	SamenessGroup    string
	// Connect asks for the instances that accept mesh connections for the service.
	Connect bool
	// Ingress asks for ingress gateways of the service. Hanse has none.
	Ingress            bool
	MergeCentralConfig bool
}

// ChecksInStateRequest asks for the checks in one state, or in [AnyState].
type ChecksInStateRequest struct {
	rpc.Read
	NodeMetaFilters map[string]string
	State           string
	Source          QuerySource
	PeerName        string
}

// IndexedNodes is the answer of [ListNodes].
type IndexedNodes struct {
	Nodes []*Node
	rpc.Meta
}

// IndexedServices is the answer of [ListServices]: tags by service.
type IndexedServices struct {
	Services map[string][]string
	rpc.Meta
}

// IndexedServiceNodes is the answer of [ListServiceNodes].
type IndexedServiceNodes struct {
	ServiceNodes []*ServiceNode
	rpc.Meta
}

// IndexedNodeServices is the answer of [GetNodeServices]. NodeServices is nil if there
// is no such node.
type IndexedNodeServices struct {
	NodeServices *NodeServices
	rpc.Meta
}

// IndexedNodeServiceList is the answer of [GetNodeServiceList].
type IndexedNodeServiceList struct {
	NodeServices NodeServiceList
	rpc.Meta
}

// IndexedHealthChecks is the answer of the methods that list checks.
type IndexedHealthChecks struct {
	HealthChecks []*HealthCheck
	rpc.Meta
}

// IndexedCheckServiceNodes is the answer of [HealthServiceNodes].
type IndexedCheckServiceNodes struct {
	Nodes []CheckServiceNode
	rpc.Meta
}

// IndexedGatewayServices is the answer of [GatewayServices].
type IndexedGatewayServices struct {
	Services []*GatewayService
	rpc.Meta
}

// IndexedNodeDump is the answer of [GetNodeInfo] and [NodeDump].
type IndexedNodeDump struct {
	Dump []*NodeInfo
	// ImportedDump is what came from peers. Hanse has none.
	ImportedDump []*NodeInfo
	rpc.Meta
}
