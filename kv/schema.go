package kv

import (
	"fmt"
	"iter"

	memdb "github.com/hashicorp/go-memdb"

	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
)

const (
	tableEntries    = "kvs"
	tableTombstones = "tombstones"
	tableDelays     = "lock-delays"
	indexSession    = "session"
	// floorName is where a reap notes the highest index of what it removed. A restore from
	// outside, which touches every table, comes without tombstones, and notes itself there.
	floorName = tableTombstones
	// originsName is where it is noted that the origin of an entry changed, and nothing else.
	originsName = tableEntries + ":origins"

	opApply      store.Op = 2
	opDeleteTree store.Op = 101
	opReap       store.Op = 102

	recordEntry     = 2
	recordTombstone = 5
	recordDelay     = 101
)

// Module is what the server takes over from this package.
func Module() store.Module {
	return store.Module{
		Name: "kv",
		Tables: []*memdb.TableSchema{
			entriesSchema(),
			keyed(tableDelays, func(row any) string { return row.(*lockDelay).Key }),
			keyed(tableTombstones, func(row any) string { return row.(*Tombstone).Key }),
		},
		Commands: []store.Command{
			store.On(opApply, applyWrite),
			store.OnMany(opDeleteTree, applyDeleteTree),
			store.OnMany(opReap, applyReap),
		},
		Records: []store.Record{
			store.Persist(recordEntry, all[Entry](tableEntries), loadEntry),
			store.Persist(recordTombstone, all[Tombstone](tableTombstones), loadTombstone),
			store.Persist(recordDelay, all[lockDelay](tableDelays), loadDelay),
		},
		Feed:     &store.FeedOf{Name: tableEntries, Latest: lastChange, All: lastChanges},
		Triggers: []store.Trigger{store.When(func(tx *store.Tx, e session.Gone) { freeLocks(tx, e.Session) })},
	}
}

func entriesSchema() *memdb.TableSchema {
	t := keyed(tableEntries, func(row any) string { return row.(*Entry).Key })
	t.Indexes[indexSession] = &memdb.IndexSchema{
		Name: indexSession, AllowMissing: true, Indexer: &sessionIndex{memdb.StringFieldIndex{Field: "Session"}},
	}
	return t
}

// sessionIndex is memdb's index of a field without its reflection, which every write of
// an entry without a lock would go through to find nothing.
type sessionIndex struct{ memdb.StringFieldIndex }

// FromObject implements memdb.SingleIndexer.
func (*sessionIndex) FromObject(row any) (bool, []byte, error) {
	session := row.(*Entry).Session
	if session == "" {
		return false, nil, nil
	}
	return true, append([]byte(session), 0), nil
}

func all[T any](table string) func(v *store.View) iter.Seq[*T] {
	return func(v *store.View) iter.Seq[*T] { return store.Rows[*T](v, table, "id") }
}

func loadEntry(tx *store.Tx, e *Entry) error {
	if tx.Import {
		e.ModifyIndex, e.Session = tx.Index, "" // no session is taken over either; links are, with their keys
		tx.Touch(tableEntries)
	}
	tx.Insert(tableEntries, e)
	return nil
}

// loadTombstone drops the tombstones of a snapshot from outside: nobody holds an index
// of the new incarnation from before the restore.
func loadTombstone(tx *store.Tx, t *Tombstone) error {
	if tx.Import {
		return store.ErrSkip
	}
	tx.Insert(tableTombstones, t)
	return nil
}

// loadDelay drops the delays of a snapshot from outside, as it comes without locks.
func loadDelay(tx *store.Tx, d *lockDelay) error {
	if tx.Import {
		return store.ErrSkip
	}
	tx.Insert(tableDelays, d)
	return nil
}

func keyed(table string, key func(row any) string) *memdb.TableSchema {
	return &memdb.TableSchema{Name: table, Indexes: map[string]*memdb.IndexSchema{
		"id": {Name: "id", Unique: true, Indexer: keyIndex{key}},
	}}
}

// keyIndex indexes rows by their key, byte for byte: memdb's own string index ends
// each key with a zero byte and refuses "", and keys here are bytes of any kind. A
// unique index needs no terminator.
type keyIndex struct{ key func(row any) string }

// FromObject implements memdb.SingleIndexer.
func (k keyIndex) FromObject(row any) (bool, []byte, error) { return true, []byte(k.key(row)), nil }

// FromArgs implements memdb.Indexer.
func (k keyIndex) FromArgs(args ...any) ([]byte, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("%d arguments, want one key", len(args))
	}
	key, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("a key is a string, not a %T", args[0])
	}
	return []byte(key), nil
}

// PrefixFromArgs implements memdb.PrefixIndexer.
func (k keyIndex) PrefixFromArgs(args ...any) ([]byte, error) { return k.FromArgs(args...) }
