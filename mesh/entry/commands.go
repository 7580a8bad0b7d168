package entry

import (
	"reflect"

	"github.com/hanse-project/hanse/store"
)

// change is the log's form of all operations. A deletion has no Body.
type change struct {
	Op         Op
	Kind, Name string
	Body       []byte
	// ModifyIndex is what a CAS compares.
	ModifyIndex uint64
}

// applyChange is false if a comparison failed.
func applyChange(tx *store.Tx, cmd *change) (bool, error) {
	old, found := store.First[*row](&tx.View, table, "id", key(cmd.Kind, cmd.Name))
	var modified uint64
	if found {
		modified = old.Entry.ModifyIndex
	}
	switch cmd.Op {
	case DeleteCAS, Delete:
		if cmd.Op == DeleteCAS && (!found || modified != cmd.ModifyIndex) {
			return false, nil
		}
		if found {
			tx.Delete(table, old)
			tx.Touch(table, part(cmd.Kind))
		}
		return true, nil
	case UpsertCAS:
		if modified != cmd.ModifyIndex {
			return false, nil
		}
	}
	e, err := fromBody(cmd.Kind, cmd.Body)
	if err != nil {
		return false, err
	}
	created := tx.Index
	if found {
		created = old.Entry.CreateIndex
		e.setIndexes(created, modified)
		if e.Hash == old.Entry.Hash && reflect.DeepEqual(e.Body, old.Entry.Body) {
			return true, nil // who writes the same again wakes nobody
		}
	}
	e.setIndexes(created, tx.Index)
	tx.Insert(table, newRow(e))
	tx.Touch(table, part(cmd.Kind))
	return true, nil
}
