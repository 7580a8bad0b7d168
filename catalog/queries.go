package catalog

import (
	"slices"

	"github.com/hanse-project/hanse/store"
)

// LookupNode finds a node by its name.
func LookupNode(v *store.View, name string) (*Node, bool) {
	return store.First[*Node](v, tableNodes, "id", fold(name))
}

// LookupService finds a service of a node by its ID.
func LookupService(v *store.View, node, id string) (*NodeService, bool) {
	i, found := lookupInstance(v, node, id)
	if !found {
		return nil, false
	}
	return i.service, true
}

// LookupCheck finds a check of a node by its ID.
func LookupCheck(v *store.View, node, id string) (*HealthCheck, bool) {
	return store.First[*HealthCheck](v, tableChecks, "id", fold(node), id)
}

// Instances are all instances of a service, or with mesh those that accept mesh
// connections for it, each with the checks that count for it. They are read-only, and
// not filtered by what a caller may see.
func (e *Endpoint) Instances(service string, mesh bool) []CheckServiceNode {
	index, name := indexName, touchService(service)
	if mesh {
		index, name = indexMesh, touchMesh(service)
	}
	if found := e.answers.of(e.store.Read(nil), index, service, name); found != nil {
		return found.instances
	}
	return nil
}

func lookupInstance(v *store.View, node, id string) (*instance, bool) {
	return store.First[*instance](v, tableServices, "id", fold(node), id)
}

func nodeByID(v *store.View, id string) (*Node, bool) {
	if id == "" {
		return nil, false
	}
	return store.First[*Node](v, tableNodes, indexUUID, fold(id))
}

// The functions below read without watching. A query watches what its answer's index
// is made of, by [store.View.WatchTouch], before it reads: one channel, however many
// rows there are.

// instancesOf returns the instances in an index of the services' table, in order of
// their node and ID, each with the checks that count for it.
func instancesOf(v *store.View, index, name string) []CheckServiceNode {
	var all []CheckServiceNode
	for i := range store.Rows[*instance](v, tableServices, index, fold(name)) {
		node, found := LookupNode(v, i.node)
		if !found {
			continue
		}
		all = append(all, CheckServiceNode{Node: node, Service: i.service, Checks: checksFor(v, i)})
	}
	return all
}

// checksFor returns the checks of i's node, and then its own.
func checksFor(v *store.View, i *instance) []*HealthCheck {
	checks := []*HealthCheck{}
	checks = slices.AppendSeq(checks, store.Rows[*HealthCheck](v, tableChecks, indexService, fold(i.node), ""))
	return slices.AppendSeq(checks, store.Rows[*HealthCheck](v, tableChecks, indexService, fold(i.node), i.service.ID))
}

// servicesOn returns the services of a node in order of their ID.
func servicesOn(v *store.View, node string) []*NodeService {
	services := []*NodeService{}
	for i := range store.Rows[*instance](v, tableServices, "id_prefix", fold(node)) {
		services = append(services, i.service)
	}
	return services
}

// checksOn returns the checks of a node and of its services in order of their ID.
func checksOn(v *store.View, node string) []*HealthCheck {
	checks := []*HealthCheck{}
	return slices.AppendSeq(checks, store.Rows[*HealthCheck](v, tableChecks, "id_prefix", fold(node)))
}

// everyInstance returns all instances, flat, in order of their node and ID.
func everyInstance(v *store.View) []*ServiceNode {
	var all []*ServiceNode
	for i := range store.Rows[*instance](v, tableServices, "id") {
		if node, found := LookupNode(v, i.node); found {
			all = append(all, flatten(node, i.service))
		}
	}
	return all
}

// flatten makes one row of an instance and its node.
func flatten(n *Node, s *NodeService) *ServiceNode {
	row := &ServiceNode{
		ID: n.ID, Node: n.Node, Address: n.Address, Datacenter: n.Datacenter,
		TaggedAddresses: n.TaggedAddresses, NodeMeta: n.Meta,
		ServiceKind: s.Kind, ServiceID: s.ID, ServiceName: s.Service, ServiceTags: s.Tags,
		ServiceAddress: s.Address, ServiceTaggedAddresses: s.TaggedAddresses,
		ServiceMeta: s.Meta, ServicePort: s.Port, ServiceSocketPath: s.SocketPath,
		ServiceEnableTagOverride: s.EnableTagOverride,
		ServiceProxy:             s.Proxy, ServiceConnect: s.Connect, ServiceLocality: s.Locality,
		PeerName: s.PeerName, Revision: s.Revision,
	}
	if s.Weights != nil {
		row.ServiceWeights = *s.Weights
	}
	if row.ServiceMeta == nil {
		row.ServiceMeta = map[string]string{}
	}
	return row
}
