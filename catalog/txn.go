package catalog

import (
	"fmt"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// Verb is what an operation of a transaction does with a node, a service or a check.
type Verb string

// The verbs, by their names on the wire. The expected index of cas and delete-cas is
// the ModifyIndex of the row that comes with them.
const (
	Get       Verb = "get"
	Set       Verb = "set"
	CAS       Verb = "cas"
	Delete    Verb = "delete"
	DeleteCAS Verb = "delete-cas"
)

// Valid tells whether v is one of the verbs.
func (v Verb) Valid() bool {
	switch v {
	case Get, Set, CAS, Delete, DeleteCAS:
		return true
	}
	return false
}

// errNoSuchNode is the answer to a service or a check of a node that is not there.
// Clients match its text.
var errNoSuchNode = rpc.Invalid("Missing node registration")

// FindNode finds the node that an operation names, by ID or else by name.
func FindNode(v *store.View, want *Node) (*Node, error) {
	n, found := nodeByID(v, want.ID)
	if want.ID == "" {
		n, found = LookupNode(v, want.Node)
	}
	if !found {
		return nil, fmt.Errorf("node %q doesn't exist", or(want.Node, want.ID))
	}
	return n, nil
}

// FindService finds the service that an operation names.
func FindService(v *store.View, node, id string) (*NodeService, error) {
	s, found := LookupService(v, node, id)
	if !found {
		return nil, fmt.Errorf("service %q on node %q doesn't exist", id, node)
	}
	return s, nil
}

// FindCheck finds the check that an operation names.
func FindCheck(v *store.View, want *HealthCheck) (*HealthCheck, error) {
	c, found := LookupCheck(v, want.Node, want.CheckID)
	if !found {
		return nil, fmt.Errorf("check %q on node %q doesn't exist", want.CheckID, want.Node)
	}
	return c, nil
}

// OperateNode carries out one operation of a transaction on a node. It returns the node
// as it then is, nil if it is gone.
func OperateNode(tx *store.Tx, verb Verb, want *Node) (*Node, error) {
	old, err := FindNode(&tx.View, want)
	what := fmt.Sprintf("node %q", want.Node)
	switch verb {
	case Get:
		return old, err
	case Set, CAS:
		if verb == CAS && indexOfNode(old) != want.ModifyIndex {
			return nil, staleSet(what)
		}
		if err := checkIdentity(&tx.View, want); err != nil {
			return nil, err
		}
		putNode(tx, want)
		return FindNode(&tx.View, want)
	case Delete, DeleteCAS:
		if verb == DeleteCAS && indexOfNode(old) != want.ModifyIndex {
			return nil, staleDelete(what)
		}
		if err == nil {
			dropNode(tx, old.Node)
		}
		return nil, nil
	}
	return nil, unknownVerb("Node", verb)
}

// OperateService is [OperateNode] for a service of the named node.
func OperateService(tx *store.Tx, verb Verb, node string, want *NodeService) (*NodeService, error) {
	old, err := FindService(&tx.View, node, want.ID)
	what := fmt.Sprintf("service %q on node %q", want.ID, node)
	switch verb {
	case Get:
		return old, err
	case Set, CAS:
		if verb == CAS && indexOfService(old) != want.ModifyIndex {
			return nil, staleSet(what)
		}
		n, found := LookupNode(&tx.View, node)
		if !found {
			return nil, errNoSuchNode
		}
		putService(tx, n.Node, want)
		return FindService(&tx.View, node, want.ID)
	case Delete, DeleteCAS:
		if verb == DeleteCAS && indexOfService(old) != want.ModifyIndex {
			return nil, staleDelete(what)
		}
		dropService(tx, node, want.ID)
		return nil, nil
	}
	return nil, unknownVerb("Service", verb)
}

// OperateCheck is [OperateNode] for a check.
func OperateCheck(tx *store.Tx, verb Verb, want *HealthCheck) (*HealthCheck, error) {
	old, err := FindCheck(&tx.View, want)
	what := fmt.Sprintf("check %q on node %q", want.CheckID, want.Node)
	switch verb {
	case Get:
		return old, err
	case Set, CAS:
		if verb == CAS && indexOfCheck(old) != want.ModifyIndex {
			return nil, staleSet(what)
		}
		if _, found := LookupNode(&tx.View, want.Node); !found {
			return nil, errNoSuchNode
		}
		if _, found := LookupService(&tx.View, want.Node, want.ServiceID); want.ServiceID != "" && !found {
			return nil, unknownService(want)
		}
		putCheck(tx, want)
		return FindCheck(&tx.View, want)
	case Delete, DeleteCAS:
		if verb == DeleteCAS && indexOfCheck(old) != want.ModifyIndex {
			return nil, staleDelete(what)
		}
		dropCheck(tx, want.Node, want.CheckID)
		return nil, nil
	}
	return nil, unknownVerb("Check", verb)
}

// The conditional operations compare with the ModifyIndex, 0 for what is not there.

func indexOfNode(n *Node) uint64 {
	if n == nil {
		return 0
	}
	return n.ModifyIndex
}

func indexOfService(s *NodeService) uint64 {
	if s == nil {
		return 0
	}
	return s.ModifyIndex
}

func indexOfCheck(c *HealthCheck) uint64 {
	if c == nil {
		return 0
	}
	return c.ModifyIndex
}

func staleSet(what string) error { return fmt.Errorf("failed to set %s, index is stale", what) }

func staleDelete(what string) error { return fmt.Errorf("failed to delete %s, index is stale", what) }

func unknownVerb(kind string, verb Verb) error {
	return fmt.Errorf("unknown %s operation: %s", kind, verb)
}
