package txn

import (
	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
)

// Op is one operation. Exactly one of its fields is set.
type Op struct {
	KV      *KVOp
	Node    *NodeOp
	Service *ServiceOp
	Check   *CheckOp
	Session *SessionOp
	// Intention is known on the wire; each operation on one is refused.
	Intention any
}

// KVOp is an operation on a key, or on all below one.
type KVOp struct {
	Verb   kv.Verb
	DirEnt kv.Entry
}

// NodeOp is an operation on a node.
type NodeOp struct {
	Verb catalog.Verb
	Node catalog.Node
}

// ServiceOp is an operation on a service of the node named Node.
type ServiceOp struct {
	Verb    catalog.Verb
	Node    string
	Service catalog.NodeService
}

// CheckOp is an operation on a check.
type CheckOp struct {
	Verb  catalog.Verb
	Check catalog.HealthCheck
}

// SessionOp is an operation on a session. The only verb is delete.
type SessionOp struct {
	Verb    session.Verb
	Session session.Session
}

// Request asks for operations of all kinds.
type Request struct {
	rpc.Write
	Ops []*Op
}

// ReadRequest asks for operations that change nothing.
type ReadRequest struct {
	rpc.Read
	Ops []*Op
}

// Result is what one operation answered. Exactly one of its fields is set.
type Result struct {
	KV      *kv.Entry            `json:",omitempty"`
	Node    *catalog.Node        `json:",omitempty"`
	Service *catalog.NodeService `json:",omitempty"`
	Check   *catalog.HealthCheck `json:",omitempty"`
}

// OpError says why one operation failed.
type OpError struct {
	// OpIndex is the operation's place in the request, from 0.
	OpIndex int
	What    string
}

// Response is the outcome of a [Request]: Results, of which one operation may give
// none or many, or Errors.
type Response struct {
	Results []*Result
	Errors  []*OpError
}

// ReadResponse is the outcome of a [ReadRequest].
type ReadResponse struct {
	Response
	rpc.Meta
}
