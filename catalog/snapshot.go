package catalog

import (
	"iter"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// A snapshot has one record for each node, and after it one for each service and for
// each check of the node, which repeat what the node is.

// serverService is what every server registers itself as.
const serverService = "consul"

// registrations yields the records of all nodes.
func registrations(v *store.View) iter.Seq[*RegisterRequest] {
	return func(yield func(*RegisterRequest) bool) {
		for n := range store.Rows[*Node](v, tableNodes, "id") {
			if !yield(recordOf(n)) {
				return
			}
			for _, s := range servicesOn(v, n.Node) {
				r := recordOf(n)
				r.Service = s
				if !yield(r) {
					return
				}
			}
			for _, c := range checksOn(v, n.Node) {
				r := recordOf(n)
				r.Check = c
				if !yield(r) {
					return
				}
			}
		}
	}
}

func recordOf(n *Node) *RegisterRequest {
	return &RegisterRequest{
		Write: rpc.Write{Datacenter: n.Datacenter},
		ID:    n.ID, Node: n.Node, Address: n.Address, TaggedAddresses: n.TaggedAddresses,
		NodeMeta: n.Meta, Locality: n.Locality, PeerName: n.PeerName, Revision: n.Revision,
	}
}

// loader takes over the records of a snapshot.
type loader struct{ datacenter string }

// load takes over one record. From outside come neither what a peer
// exported nor what the leader keeps by itself: the servers' service and the check of
// gossip. Its nodes are in this datacenter from now on, whichever they were in before.
func (l loader) load(tx *store.Tx, r *RegisterRequest) error {
	if tx.Import {
		if r.PeerName != "" || (r.Service != nil && r.Service.Service == serverService) ||
			(r.Check != nil && r.Check.CheckID == SerfCheckID) {
			return store.ErrSkip
		}
	}
	switch {
	case r.Service != nil:
		i := &instance{node: r.Node, service: r.Service}
		if tx.Import {
			i.service.ModifyIndex = tx.Index
			tx.Touch(tableServices)
			touchInstance(tx, i)
		}
		tx.Insert(tableServices, i)
	case r.Check != nil:
		r.Check.Node = r.Node
		if tx.Import {
			r.Check.ModifyIndex = tx.Index
			tx.Touch(tableChecks, touchStatus(r.Check.Status), touchNodeChecks(r.Check.Node))
		}
		tx.Insert(tableChecks, r.Check)
	default:
		n := &Node{
			ID: r.ID, Node: r.Node, Address: r.Address, Datacenter: r.Datacenter,
			TaggedAddresses: r.TaggedAddresses, Meta: r.NodeMeta, Locality: r.Locality,
			PeerName: r.PeerName, Revision: r.Revision,
		}
		if tx.Import {
			n.ModifyIndex, n.Datacenter = tx.Index, l.datacenter
			tx.Touch(tableNodes, touchNode(n.Node))
		}
		tx.Insert(tableNodes, n)
	}
	return nil
}
