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
	// MirrorAdopt makes a key the link's, whatever it holds, if it is there.
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
// one key, and tells whether anything changed. The operation passed [MirrorOp.Check] before
// it was logged. A lock on the key stays.
func Mirror(tx *store.Tx, origin uint64, op MirrorOp) bool {
	old, found := store.First[*Entry](&tx.View, tableEntries, "id", op.Key)
	switch op.Kind {
	case MirrorSet:
		if found && old.holds(op.Flags, op.Value) {
			return old.belong(tx, origin)
		}
		e := &Entry{
			Key: op.Key, Value: op.Value, Flags: op.Flags,
			CreateIndex: tx.Index, ModifyIndex: tx.Index, Time: tx.Time, Origin: origin,
		}
		if found {
			e.CreateIndex, e.LockIndex, e.Session = old.CreateIndex, old.LockIndex, old.Session
		}
		insert(tx, e)
		return true
	case MirrorDelete:
		if found {
			remove(tx, old)
		}
		return found
	case MirrorAdopt:
		return found && old.belong(tx, origin)
	case MirrorRelease:
		return found && old.Origin == origin && old.belong(tx, 0)
	}
	return false
}

// holds tells whether the entry has these flags and this value.
func (e *Entry) holds(flags uint64, value []byte) bool {
	return e.Flags == flags && bytes.Equal(e.Value, value)
}

// belong changes the origin of an entry and nothing else. Whoever waits for the entry looks
// again, finds it unchanged, and goes on waiting.
func (e *Entry) belong(tx *store.Tx, origin uint64) bool {
	if e.Origin == origin {
		return false
	}
	row := *e
	row.Origin = origin
	tx.Insert(tableEntries, &row)
	tx.Touch(originsName)
	return true
}
