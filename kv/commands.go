package kv

import (
	"fmt"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// write is the log's form of a write to one key. Index is the expected ModifyIndex of
// the conditional verbs, 0 for "not there".
type write struct {
	Verb  Verb
	Key   string
	Value []byte
	Flags uint64
	Index uint64
	// Session takes or frees the lock.
	Session string
}

// tree is the log's form of a delete of everything below a prefix.
type tree struct{ Prefix string }

// reap is the log's form of the removal of tombstones from before a time in unix nanoseconds.
type reap struct{ Before int64 }

func applyWrite(tx *store.Tx, cmd *write) (bool, error) {
	_, done, err := put(tx, cmd)
	return done, err
}

// put carries out one write. It checks first and writes last: commands of a batch share
// a transaction. It returns the entry as it then is.
func put(tx *store.Tx, cmd *write) (*Entry, bool, error) {
	old, found := store.First[*Entry](&tx.View, tableEntries, "id", cmd.Key)
	switch cmd.Verb {
	case CAS, DeleteCAS:
		var index uint64
		if found {
			index = old.ModifyIndex
		}
		if index != cmd.Index {
			return old, false, nil
		}
	case Lock, Unlock:
		if can, err := lockable(tx, cmd, old); err != nil || !can {
			return old, false, err
		}
	case Set, Delete:
	default:
		return nil, false, rpc.Invalid(fmt.Sprintf("unknown KV operation: %s", cmd.Verb))
	}
	if cmd.Verb == Delete || cmd.Verb == DeleteCAS {
		if found {
			remove(tx, old)
		}
		return nil, true, nil
	}
	e := &Entry{
		Key: cmd.Key, Value: cmd.Value, Flags: cmd.Flags,
		CreateIndex: tx.Index, ModifyIndex: tx.Index, Time: tx.Time,
	}
	if found {
		e.CreateIndex, e.LockIndex, e.Session = old.CreateIndex, old.LockIndex, old.Session
	}
	e.locked(cmd, e.Session)
	if (cmd.Verb == Lock || cmd.Verb == Unlock) && found && old.holds(cmd.Flags, cmd.Value) {
		e.Origin = old.Origin // what the link wrote is still there
	}
	insert(tx, e)
	return e, true, nil
}

// insert puts a changed entry in its place.
func insert(tx *store.Tx, e *Entry) {
	tx.Insert(tableEntries, e)
	tx.Touch(tableEntries)
	tx.Changed(e.Key, e.CreateIndex != tx.Index)
}

// remove deletes one entry and leaves its tombstone.
func remove(tx *store.Tx, e *Entry) {
	tx.Delete(tableEntries, e)
	tx.Insert(tableTombstones, &Tombstone{Key: e.Key, ModifyIndex: tx.Index, Time: tx.Time})
	tx.Touch(tableEntries)
	tx.Changed(e.Key, true)
}

func applyDeleteTree(tx *store.Tx, cmd *tree) (bool, error) {
	removeTree(tx, cmd.Prefix)
	return true, nil
}

func removeTree(tx *store.Tx, prefix string) {
	var below []*Entry // collected first: the iterator must not see its own deletes
	for e := range store.Rows[*Entry](&tx.View, tableEntries, "id_prefix", prefix) {
		below = append(below, e)
	}
	for _, e := range below {
		remove(tx, e)
	}
}

func applyReap(tx *store.Tx, cmd *reap) (int, error) {
	var old []*Tombstone
	for t := range store.Rows[*Tombstone](&tx.View, tableTombstones, "id") {
		if t.Time < cmd.Before {
			old = append(old, t)
		}
	}
	forgetDelays(tx)
	floor := tx.TouchedAt(floorName)
	for _, t := range old {
		floor = max(floor, t.ModifyIndex)
		tx.Delete(tableTombstones, t)
	}
	if len(old) > 0 {
		tx.TouchAt(floorName, floor)
	}
	return len(old), nil
}
