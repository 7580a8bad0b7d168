package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/txn"
)

func (a *API) txnRoutes() map[string]route {
	return map[string]route{"/v1/txn": {http.MethodPut: a.txn}}
}

// txnOp is one operation as a client writes it.
type txnOp struct {
	KV      *txnKV
	Node    *txn.NodeOp
	Service *txn.ServiceOp
	Check   *txn.CheckOp
	Session *txnSession
}

type txnSession struct {
	Verb    session.Verb
	Session struct{ ID string }
}

type txnKV struct {
	Verb    kv.Verb
	Key     string
	Value   []byte
	Flags   uint64
	Index   uint64
	Session string
}

// op is the operation as servers send it.
func (o *txnOp) op() *txn.Op {
	op := &txn.Op{Node: o.Node, Service: o.Service, Check: o.Check}
	if o.KV != nil {
		op.KV = &txn.KVOp{Verb: o.KV.Verb, DirEnt: kv.Entry{
			Key: o.KV.Key, Value: o.KV.Value, Flags: o.KV.Flags, Session: o.KV.Session, ModifyIndex: o.KV.Index,
		}}
	}
	if o.Session != nil {
		op.Session = &txn.SessionOp{Verb: o.Session.Verb, Session: session.Session{ID: o.Session.Session.ID}}
	}
	return op
}

// writes tells whether the operation goes through the log. A verb that nobody knows
// does not: a read says as well that it is unknown.
func (o *txnOp) writes() bool {
	switch {
	case o.KV != nil:
		switch o.KV.Verb {
		case kv.Set, kv.CAS, kv.Delete, kv.DeleteCAS, kv.DeleteTree, kv.Lock, kv.Unlock:
			return true
		}
		return false
	case o.Node != nil:
		return o.Node.Verb != catalog.Get
	case o.Service != nil:
		return o.Service.Verb != catalog.Get
	case o.Check != nil:
		return o.Check.Verb != catalog.Get
	}
	return o.Session != nil
}

// parseTxn reads the body of a transaction.
func parseTxn(body []byte) (ops []*txn.Op, writes bool, err error) {
	var written []txnOp
	if err := decodeAll(json.NewDecoder(bytes.NewReader(body)), &written); err != nil {
		return nil, false, badRequest("Failed to parse body: " + err.Error())
	}
	if len(written) > txn.MaxOps {
		return nil, false, &statusError{http.StatusRequestEntityTooLarge,
			fmt.Sprintf("Transaction contains too many operations (%d > %d): it is too large", len(written), txn.MaxOps)}
	}
	ops = make([]*txn.Op, len(written))
	for i := range written {
		ops[i] = written[i].op()
		writes = writes || written[i].writes()
	}
	return ops, writes, nil
}

func (a *API) txn(w http.ResponseWriter, r *request) (any, error) {
	body, err := r.body(a.cfg.MaxTxn)
	if err != nil {
		return nil, err
	}
	ops, writes, err := parseTxn(body)
	if err != nil {
		return nil, err
	}
	if writes {
		req := &txn.Request{Ops: ops}
		a.write(r, &req.Write)
		rep, err := txn.Apply.Call(r.Context(), a.cfg.Caller, req)
		if err != nil {
			return nil, err
		}
		if len(rep.Errors) > 0 {
			r.status = http.StatusConflict
		}
		return rep, nil
	}
	req := &txn.ReadRequest{Ops: ops}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	rep, err := txn.Read.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	if len(rep.Errors) > 0 {
		r.status = http.StatusConflict
	}
	setContact(w.Header(), &rep.Meta)
	return txnRead{rep.Response, shownMeta(&rep.Meta)}, nil
}

// txnRead is the outcome of a transaction that only reads. It repeats in its body where
// the answer stands.
type txnRead struct {
	txn.Response
	bodyMeta
}

type bodyMeta struct {
	Index                 uint64
	LastContact           time.Duration
	KnownLeader           bool
	ConsistencyLevel      string
	NotModified           bool
	Backend               int
	ResultsFilteredByACLs bool
}

func shownMeta(m *rpc.Meta) bodyMeta {
	return bodyMeta{
		Index: m.Index, LastContact: m.LastContact, KnownLeader: m.KnownLeader, ConsistencyLevel: m.ConsistencyLevel,
		NotModified: m.NotModified, Backend: m.Backend, ResultsFilteredByACLs: m.ResultsFilteredByACLs,
	}
}
