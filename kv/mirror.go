package kv

import (
	"bytes"
	"fmt"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// MirrorKind is what a [MirrorOp] does. The numbers stand in the log.
type MirrorKind uint8

// The kinds. The last two change nothing that a client sees: neither the entry's ModifyIndex
// nor the feed.
const (
	// MirrorSet gives a key its value and flags. A key that has them already is adopted.
	MirrorSet MirrorKind = iota
	// MirrorDelete deletes a key. It need not be there, nor be the link's.
	MirrorDelete
	// MirrorAdopt makes a key the link's, if it is there.
	MirrorAdopt
	// MirrorRelease makes a key nobody's, if it is there and the link's.
	MirrorRelease
)

// MirrorOp is what a replication link does with one key. It stands in the log as an array:
// fields are only ever added at the end.
type MirrorOp struct {
	Kind  MirrorKind
	Key   string
	Value []byte
	Flags uint64
	// Spare leaves a key as it is that is not the link's by now, unless it holds this value
	// and flags. One that is adopted has to hold them in any case.
	Spare bool
}

// Check refuses an operation that is wrong in itself. No value may be larger than limit, in
// bytes.
func (op *MirrorOp) Check(limit int) error {
	if op.Kind > MirrorRelease {
		return rpc.Invalid(fmt.Sprintf("there is no operation %d to mirror key %q with", op.Kind, op.Key))
	}
	return CheckWrite(Set, &Entry{Key: op.Key, Value: op.Value}, limit)
}

// Mirror carries out, inside a command, what the link whose CreateIndex is origin does with
// some keys, one after the other, and tells how many of the operations changed anything. Each
// passed [MirrorOp.Check] before it was logged. A lock on a key stays.
func Mirror(tx *store.Tx, origin uint64, ops []MirrorOp) (changed int) {
	// All is read before anything is written. memdb forgets at each read of a table that is
	// being written which nodes of its tree are new already, and copies them again: a thousand
	// keys are then too many nodes to be remembered for those who wait, and the whole table is
	// searched for them.
	present := make(map[string]*Entry, len(ops))
	for i := range ops {
		if e, found := store.First[*Entry](&tx.View, tableEntries, "id", ops[i].Key); found {
			present[ops[i].Key] = e
		}
	}
	for i := range ops {
		op := &ops[i]
		old := present[op.Key]
		now := op.apply(tx, origin, old)
		if now != old {
			changed++
		}
		present[op.Key] = now
	}
	return changed
}

// apply carries out one operation on a key that holds old, nil if it does not exist, and
// returns what it holds then. That is old itself if nothing was changed.
func (op *MirrorOp) apply(tx *store.Tx, origin uint64, old *Entry) *Entry {
	switch {
	case op.spares(origin, old):
	case op.Kind == MirrorSet && (old == nil || !old.holds(op.Flags, op.Value)):
		e := &Entry{
			Key: op.Key, Value: op.Value, Flags: op.Flags,
			CreateIndex: tx.Index, ModifyIndex: tx.Index, Time: tx.Time, Origin: origin,
		}
		if old != nil {
			e.CreateIndex, e.LockIndex, e.Session = old.CreateIndex, old.LockIndex, old.Session
		}
		insert(tx, e)
		return e
	case old == nil:
	case op.Kind == MirrorSet || op.Kind == MirrorAdopt:
		return old.belong(tx, origin)
	case op.Kind == MirrorDelete:
		remove(tx, old)
		return nil
	case op.Kind == MirrorRelease && old.Origin == origin:
		return old.belong(tx, 0)
	}
	return old
}

// spares tells whether the operation must leave what the key holds.
func (op *MirrorOp) spares(origin uint64, old *Entry) bool {
	if !op.Spare || old == nil {
		return false
	}
	switch op.Kind {
	case MirrorSet:
		return old.Origin != origin && !old.holds(op.Flags, op.Value)
	case MirrorDelete:
		return old.Origin != origin
	case MirrorAdopt:
		return !old.holds(op.Flags, op.Value)
	}
	return false
}

// holds tells whether the entry has these flags and this value.
func (e *Entry) holds(flags uint64, value []byte) bool {
	return e.Flags == flags && bytes.Equal(e.Value, value)
}

// belong changes the origin of an entry and nothing else, and returns the entry. Whoever waits
// for it looks again, finds it unchanged, and goes on waiting.
func (e *Entry) belong(tx *store.Tx, origin uint64) *Entry {
	if e.Origin == origin {
		return e
	}
	row := *e
	row.Origin = origin
	tx.Insert(tableEntries, &row)
	tx.Touch(originsName)
	return &row
}
