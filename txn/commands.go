package txn

import (
	"fmt"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
)

const opTxn store.Op = 8

// Module is what the server takes over from this package.
func Module() store.Module {
	return store.Module{Name: "txn", Commands: []store.Command{store.OnMany(opTxn, apply)}}
}

// command is the log's form of a transaction.
type command struct{ Ops []*Op }

// rejected undoes a transaction, and says why.
type rejected struct{ errors []*OpError }

func (r *rejected) Error() string {
	return fmt.Sprintf("transaction rolled back: %d operations failed, the first is %d: %s", len(r.errors), r.errors[0].OpIndex, r.errors[0].What)
}

func apply(tx *store.Tx, cmd *command) ([]*Result, error) {
	results, errs := run(cmd.Ops, func(op *Op) ([]*Result, error) { return operate(tx, op) })
	if errs != nil {
		return nil, &rejected{errs}
	}
	return results, nil
}

// run tries every operation and gathers what they answer.
func run(ops []*Op, do func(*Op) ([]*Result, error)) (results []*Result, errs []*OpError) {
	results = []*Result{}
	for i, op := range ops {
		some, err := do(op)
		if err != nil {
			errs = append(errs, &OpError{OpIndex: i, What: err.Error()})
			continue
		}
		results = append(results, some...)
	}
	if errs != nil {
		return nil, errs
	}
	return results, nil
}

// operate carries out one operation.
func operate(tx *store.Tx, op *Op) ([]*Result, error) {
	switch {
	case op == nil:
	case op.KV != nil:
		return entries(kv.Operate(tx, op.KV.Verb, &op.KV.DirEnt))
	case op.Node != nil:
		return one(catalog.OperateNode(tx, op.Node.Verb, &op.Node.Node))
	case op.Service != nil:
		return one(catalog.OperateService(tx, op.Service.Verb, op.Service.Node, &op.Service.Service))
	case op.Check != nil:
		return one(catalog.OperateCheck(tx, op.Check.Verb, &op.Check.Check))
	case op.Session != nil:
		return nil, session.Operate(tx, op.Session.Verb, op.Session.Session.ID)
	}
	return nil, errEmpty
}

// inspect carries out one operation that reads.
func inspect(v *store.View, op *Op) ([]*Result, error) {
	switch {
	case op.KV != nil:
		return entries(kv.Inspect(v, op.KV.Verb, &op.KV.DirEnt))
	case op.Node != nil:
		return one(catalog.FindNode(v, &op.Node.Node))
	case op.Service != nil:
		return one(catalog.FindService(v, op.Service.Node, op.Service.Service.ID))
	case op.Check != nil:
		return one(catalog.FindCheck(v, &op.Check.Check))
	}
	return nil, errEmpty
}

func entries(some []*kv.Entry, err error) ([]*Result, error) {
	results := make([]*Result, len(some))
	for i, e := range some {
		results[i] = &Result{KV: e}
	}
	return results, err
}

// one makes the result of a row, none of a row that is gone.
func one[T catalog.Node | catalog.NodeService | catalog.HealthCheck](row *T, err error) ([]*Result, error) {
	if row == nil || err != nil {
		return nil, err
	}
	switch row := any(row).(type) {
	case *catalog.Node:
		return []*Result{{Node: row}}, nil
	case *catalog.NodeService:
		return []*Result{{Service: row}}, nil
	case *catalog.HealthCheck:
		return []*Result{{Check: row}}, nil
	}
	return nil, nil
}
