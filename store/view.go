package store

import (
	"iter"
	"reflect"

	memdb "github.com/hashicorp/go-memdb"

	"github.com/hanse-project/hanse/rpc"
)

// View is a snapshot of the state, with the watches of whoever reads it.
type View struct {
	txn *memdb.Txn
	ws  rpc.WatchSet
	// touched is what the commands of this transaction touched so far, nil in a
	// snapshot: a thousand writes to a table note the index of the last alone.
	touched map[string]uint64
}

// Tx is the transaction a command runs in.
type Tx struct {
	View
	// Index is the log index of the command.
	Index uint64
	// Time is when the leader logged it, in unix nanoseconds.
	Time int64
	// Import is true while rows of a snapshot from outside are loaded: they get Index
	// as their ModifyIndex, so that indexes rise over the restore.
	Import bool

	triggers map[reflect.Type][]Trigger
	feed     *feed
	// changes are the rows of the feed so far, and superseded is how many others they void.
	changes    []Change
	superseded int
}

// Unwatched is the same snapshot for reads that are not to be watched one by one, when
// [View.WatchTouch] stands for them all.
func (v *View) Unwatched() *View { return &View{txn: v.txn, touched: v.touched} }

// First returns the first row of table whose index has the given value, and watches it.
// Like the other accessors here it panics when table, index or the types of the
// arguments do not fit the schema: that is a mistake in the program.
func First[T any](v *View, table, index string, args ...any) (row T, found bool) {
	ch, raw, err := v.txn.FirstWatch(table, index, args...)
	if err != nil {
		panic("store: first of " + table + "." + index + ": " + err.Error())
	}
	v.ws.Add(ch)
	if raw == nil {
		return row, false
	}
	return raw.(T), true
}

// Rows returns the rows of table whose index has the given value (or prefix, with an
// index named …_prefix) in index order, and watches them all.
func Rows[T any](v *View, table, index string, args ...any) iter.Seq[T] {
	it, err := v.txn.Get(table, index, args...)
	if err != nil {
		panic("store: rows of " + table + "." + index + ": " + err.Error())
	}
	v.ws.Add(it.WatchCh())
	return sequence[T](it)
}

// RowsFrom returns the rows of table whose index has the given value or a higher one, in
// index order. It goes to the first of them at once, and watches nothing: which rows a bound
// lets through cannot be watched.
func RowsFrom[T any](v *View, table, index string, args ...any) iter.Seq[T] {
	it, err := v.txn.LowerBound(table, index, args...)
	if err != nil {
		panic("store: rows of " + table + "." + index + ": " + err.Error())
	}
	return sequence[T](it)
}

// WatchRows watches what [Rows] would return.
func WatchRows(v *View, table, index string, args ...any) {
	it, err := v.txn.Get(table, index, args...)
	if err != nil {
		panic("store: rows of " + table + "." + index + ": " + err.Error())
	}
	v.ws.Add(it.WatchCh())
}

func sequence[T any](it memdb.ResultIterator) iter.Seq[T] {
	return func(yield func(T) bool) {
		for raw := it.Next(); raw != nil; raw = it.Next() {
			if !yield(raw.(T)) {
				return
			}
		}
	}
}

// Insert adds row, or replaces the one with the same id.
func (tx *Tx) Insert(table string, row any) {
	if err := tx.txn.Insert(table, row); err != nil {
		panic("store: insert into " + table + ": " + err.Error())
	}
}

// Delete removes row, which must be there.
func (tx *Tx) Delete(table string, row any) {
	if err := tx.txn.Delete(table, row); err != nil {
		panic("store: delete from " + table + ": " + err.Error())
	}
}

// DeletePrefix removes every row whose index has the given prefix. The index is named
// …_prefix and takes strings.
func (tx *Tx) DeletePrefix(table, index, prefix string) {
	if _, err := tx.txn.DeletePrefix(table, index, prefix); err != nil {
		panic("store: delete from " + table + ": " + err.Error())
	}
}

// Touch notes that the things called names changed at this command's index. Names are
// those of tables, or of parts of them ("service:web").
func (tx *Tx) Touch(names ...string) {
	for _, name := range names {
		tx.TouchAt(name, tx.Index)
	}
}

// TouchAt notes that something changed at an index of its own.
func (tx *Tx) TouchAt(name string, index uint64) { tx.touched[name] = index }

// newTx begins a transaction of the commands from the one at index on.
func (s *Store) newTx(g *generation, index uint64) *Tx {
	return &Tx{View: View{txn: g.db.Txn(true), touched: map[string]uint64{}}, Index: index, triggers: s.triggers, feed: g.feed}
}

// commit makes the transaction the state.
func (tx *Tx) commit() {
	tx.feed.publish(tx)
	for name, index := range tx.touched {
		tx.Insert(tableIndex, &indexRow{Key: name, Value: index})
	}
	tx.txn.Commit()
}

// Forget drops what [Tx.Touch] noted, and notes that something was forgotten.
func (tx *Tx) Forget(name string) {
	tx.Touch(nameForgotten)
	delete(tx.touched, name)
	if row, found := First[*indexRow](&tx.View, tableIndex, "id", name); found {
		tx.Delete(tableIndex, row)
	}
}

// TouchedAt is the highest index at which one of the names was touched, 0 if none was.
// It watches nothing: watch the rows themselves, or [View.WatchTouch].
func (v *View) TouchedAt(names ...string) uint64 {
	var highest uint64
	for _, name := range names {
		if index, now := v.touched[name]; now {
			highest = max(highest, index)
			continue
		}
		raw, err := v.txn.First(tableIndex, "id", name)
		if err != nil {
			panic("store: index of " + name + ": " + err.Error())
		}
		if raw != nil {
			highest = max(highest, raw.(*indexRow).Value)
		}
	}
	return highest
}

// ForgottenAt is the highest index at which a name was forgotten, or the state restored
// from outside, 0 if neither ever happened: what is not known now was not there at any
// index from then on either.
func (v *View) ForgottenAt() uint64 { return v.TouchedAt(nameForgotten) }

// WatchTouch is [View.TouchedAt] for one name, and watches it.
func (v *View) WatchTouch(name string) uint64 {
	if index, now := v.touched[name]; now {
		return index // within a command, which watches nothing
	}
	row, found := First[*indexRow](v, tableIndex, "id", name)
	if !found {
		return 0
	}
	return row.Value
}
