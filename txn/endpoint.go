package txn

import (
	"context"
	"errors"
	"fmt"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
)

// MaxOps is how many operations one transaction may have.
const MaxOps = 128

// The methods of this package.
var (
	Apply = rpc.Method[Request, Response]{Info: rpc.Info{
		Name: "Txn.Apply", Write: true, Timer: []string{"txn", "apply"}, Resource: rpc.ResourceKey}}
	Read = rpc.Method[ReadRequest, ReadResponse]{Info: rpc.Info{
		Name: "Txn.Read", Class: rpc.List, Resource: rpc.ResourceKey}}
)

// Errors of single operations.
var (
	errEmpty     = errors.New("the operation is empty: give one of KV, Node, Service, Check and Session")
	errIntention = errors.New("operations on intentions are not supported")
	errWrites    = errors.New("the operation writes, and this is a read-only transaction")
)

// Endpoint answers the methods on a server.
type Endpoint struct {
	store      *store.Store
	log        store.Log
	datacenter string
	limit      int
}

// NewEndpoint makes the endpoint of the given datacenter. No value of a key may be
// larger than limit, in bytes.
func NewEndpoint(s *store.Store, log store.Log, datacenter string, limit int) *Endpoint {
	return &Endpoint{store: s, log: log, datacenter: datacenter, limit: limit}
}

// Methods binds the package's methods.
func (e *Endpoint) Methods() []rpc.Handler {
	return []rpc.Handler{Apply.Handle(e.apply), Read.Handle(e.read)}
}

func (e *Endpoint) apply(ctx context.Context, call *rpc.Call, req *Request) (*Response, error) {
	ops, errs, err := e.prepare(call, e.store.Read(nil), req.Ops)
	if err != nil || errs != nil {
		return &Response{Errors: errs}, err
	}
	results, _, err := store.Propose[[]*Result](ctx, e.log, opTxn, &command{Ops: ops})
	if r, failed := errors.AsType[*rejected](err); failed {
		return &Response{Errors: r.errors}, nil
	}
	if err != nil {
		return nil, err
	}
	return &Response{Results: visible(call, results)}, nil
}

func (e *Endpoint) read(_ context.Context, call *rpc.Call, req *ReadRequest) (*ReadResponse, error) {
	v := e.store.Read(nil)
	ops, errs, err := e.prepare(call, v, req.Ops)
	if err != nil {
		return nil, err
	}
	rep := &ReadResponse{Response: Response{Errors: errs}}
	if errs != nil {
		return rep, nil
	}
	rep.Results, rep.Errors = run(ops, func(op *Op) ([]*Result, error) {
		if !op.reads() {
			return nil, errWrites
		}
		return inspect(v, op)
	})
	rep.Results = visible(call, rep.Results)
	return rep, nil
}

// prepare completes the operations as the log keeps them, and asks for each whether the
// caller may.
func (e *Endpoint) prepare(call *rpc.Call, v *store.View, ops []*Op) (ready []*Op, errs []*OpError, err error) {
	if len(ops) > MaxOps {
		return nil, nil, &rpc.Error{
			Reason: rpc.ReasonTooLarge,
			Text:   fmt.Sprintf("Transaction contains too many operations (%d > %d)", len(ops), MaxOps),
		}
	}
	ready = make([]*Op, len(ops))
	for i, op := range ops {
		complete, err := e.complete(op)
		if err == nil {
			err = allow(call, v, complete)
		}
		if errors.Is(err, rpc.ErrTooLarge) {
			return nil, nil, err
		}
		if err != nil {
			errs = append(errs, &OpError{OpIndex: i, What: err.Error()})
		}
		ready[i] = complete
	}
	return ready, errs, nil
}

// complete returns a copy of op with what its domain adds, or says what is wrong with it.
func (e *Endpoint) complete(op *Op) (*Op, error) {
	switch {
	case op == nil:
		return nil, errEmpty
	case op.KV != nil:
		return op, kv.CheckOperation(op.KV.Verb, &op.KV.DirEnt, e.limit)
	case op.Node != nil:
		return completeNode(*op.Node, e.datacenter)
	case op.Service != nil:
		return completeService(*op.Service)
	case op.Check != nil:
		return completeCheck(*op.Check)
	case op.Session != nil:
		return op, session.CheckOperation(op.Session.Verb, op.Session.Session.ID)
	case op.Intention != nil:
		return nil, errIntention
	}
	return nil, errEmpty
}

func completeNode(op NodeOp, datacenter string) (*Op, error) {
	if !op.Verb.Valid() {
		return nil, fmt.Errorf("unknown Node operation: %s", op.Verb)
	}
	op.Node.Datacenter = datacenter
	if sets(op.Verb) {
		if err := catalog.CheckNode(&op.Node, false); err != nil {
			return nil, err
		}
	}
	return &Op{Node: &op}, nil
}

func completeService(op ServiceOp) (*Op, error) {
	if !op.Verb.Valid() {
		return nil, fmt.Errorf("unknown Service operation: %s", op.Verb)
	}
	if sets(op.Verb) {
		s, err := catalog.CompleteService(&op.Service)
		if err != nil {
			return nil, err
		}
		op.Service = *s
	}
	return &Op{Service: &op}, nil
}

func completeCheck(op CheckOp) (*Op, error) {
	if !op.Verb.Valid() {
		return nil, fmt.Errorf("unknown Check operation: %s", op.Verb)
	}
	if sets(op.Verb) {
		c, err := catalog.CompleteCheck(&op.Check, op.Check.Node)
		if err != nil {
			return nil, err
		}
		op.Check = *c
	}
	return &Op{Check: &op}, nil
}

func sets(verb catalog.Verb) bool { return verb == catalog.Set || verb == catalog.CAS }

// reads tells whether op leaves everything as it is.
func (op *Op) reads() bool {
	switch {
	case op.KV != nil:
		return op.KV.Verb.Reads()
	case op.Node != nil:
		return op.Node.Verb == catalog.Get
	case op.Service != nil:
		return op.Service.Verb == catalog.Get
	case op.Check != nil:
		return op.Check.Verb == catalog.Get
	}
	return false
}

// allow asks for what one operation needs. What is read of the catalog is kept or left
// out afterwards, as everywhere.
func allow(call *rpc.Call, v *store.View, op *Op) error {
	switch {
	case op.KV != nil:
		return kv.Allow(call, op.KV.Verb, op.KV.DirEnt.Key)
	case op.reads():
		return nil
	case op.Session != nil:
		return session.Allow(call, v, op.Session.Session.ID)
	case op.Node != nil:
		return allowNode(call, v, &op.Node.Node)
	case op.Service != nil:
		return catalog.AllowService(call, v, op.Service.Node, &op.Service.Service)
	}
	c := &op.Check.Check
	serviceID := c.ServiceID
	if old, found := catalog.LookupCheck(v, c.Node, c.CheckID); found && !sets(op.Check.Verb) {
		serviceID = old.ServiceID // a delete names the check alone
	}
	return catalog.AllowCheck(call, v, c.Node, c.CheckID, serviceID)
}

// allowNode asks for node:write on a node, and on the one that has its ID.
func allowNode(call *rpc.Call, v *store.View, n *catalog.Node) error {
	old, err := catalog.FindNode(v, n)
	if err != nil || (n.Node != "" && n.Node != old.Node) {
		if err := call.Allow(rpc.ResourceNode, rpc.AccessWrite, n.Node); err != nil {
			return err
		}
	}
	if err != nil {
		return nil
	}
	return call.Allow(rpc.ResourceNode, rpc.AccessWrite, old.Node)
}

// visible leaves out the results that the caller may not read.
func visible(call *rpc.Call, results []*Result) []*Result {
	if results == nil {
		return nil
	}
	some := make([]*Result, 0, len(results))
	for _, r := range results {
		if r.mayRead(call) {
			some = append(some, r)
		}
	}
	return some
}

func (r *Result) mayRead(call *rpc.Call) bool {
	switch {
	case r.KV != nil:
		return call.Keep(rpc.ResourceKey, r.KV.Key)
	case r.Node != nil:
		return call.Keep(rpc.ResourceNode, r.Node.Node)
	case r.Service != nil:
		return call.Keep(rpc.ResourceService, r.Service.Service)
	}
	return call.Keep(rpc.ResourceNode, r.Check.Node) &&
		(r.Check.ServiceName == "" || call.Keep(rpc.ResourceService, r.Check.ServiceName))
}
