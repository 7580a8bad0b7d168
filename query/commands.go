package query

import (
	"fmt"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
)

// change is the log's form of all three operations. Without an Op it does nothing.
type change struct {
	Op    Op
	Query *PreparedQuery
}

func applyChange(tx *store.Tx, cmd *change) (bool, error) {
	switch {
	case cmd.Query == nil:
		return true, nil
	case cmd.Op == Delete:
		if old, found := lookupID(&tx.View, cmd.Query.ID); found {
			remove(tx, old)
		}
		return true, nil
	case cmd.Op == Create || cmd.Op == Update:
		return true, set(tx, cmd.Op, *cmd.Query)
	}
	return true, nil
}

// set checks everything before it changes a row.
func set(tx *store.Tx, op Op, q PreparedQuery) error {
	r, err := newRow(&q)
	if err != nil {
		return rpc.Failed(err.Error())
	}
	old, found := lookupID(&tx.View, q.ID)
	switch {
	case found && op == Create:
		return rpc.Failed(fmt.Sprintf("ID '%s' is taken", q.ID))
	case !found && op == Update:
		return errNoSuch(q.ID)
	}
	if q.Session != "" {
		if _, alive := session.Lookup(&tx.View, q.Session); !alive {
			return rpc.Failed(fmt.Sprintf("invalid session '%s'", q.Session))
		}
	}
	if other, taken := sameName(&tx.View, r); taken && other.ID != r.ID {
		return rpc.Failed(fmt.Sprintf("name '%s' aliases an existing query name", q.Name))
	}
	if other, taken := lookupID(&tx.View, q.Name); taken && other.ID != r.ID {
		return rpc.Failed(fmt.Sprintf("name '%s' aliases an existing query ID", q.Name))
	}
	q.CreateIndex, q.ModifyIndex = tx.Index, tx.Index
	if found {
		q.CreateIndex = old.Query.CreateIndex
	}
	tx.Insert(table, r)
	tx.Touch(table)
	return nil
}

func remove(tx *store.Tx, r *row) {
	tx.Delete(table, r)
	tx.Touch(table)
}

func endThoseOf(tx *store.Tx, sessionID string) {
	var all []*row // collected first: the iterator must not see its own deletes
	for r := range store.Rows[*row](&tx.View, table, "session", sessionID) {
		all = append(all, r)
	}
	for _, r := range all {
		remove(tx, r)
	}
}
