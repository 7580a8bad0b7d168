package kv

import (
	"fmt"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// The verbs that only a transaction has.
const (
	ReadKey        Verb = "get"
	ReadOrEmpty    Verb = "get-or-empty"
	ReadTree       Verb = "get-tree"
	CheckIndex     Verb = "check-index"
	CheckNotExists Verb = "check-not-exists"
	CheckSession   Verb = "check-session"
)

// Reads tells whether the verb leaves everything as it is.
func (v Verb) Reads() bool {
	switch v {
	case ReadKey, ReadOrEmpty, ReadTree, CheckIndex, CheckNotExists, CheckSession:
		return true
	}
	return false
}

// CheckOperation refuses an operation of a transaction that is wrong in itself.
func CheckOperation(verb Verb, entry *Entry, limit int) error {
	switch verb {
	case DeleteTree, ReadTree: // their key is a prefix, which may be ""
		return nil
	case ReadKey, ReadOrEmpty, CheckIndex, CheckNotExists, CheckSession:
		if entry.Key == "" {
			return errNoKey
		}
		return nil
	}
	return CheckWrite(verb, entry, limit)
}

// Allow asks for what an operation of a transaction needs.
func Allow(call *rpc.Call, verb Verb, key string) error {
	switch {
	case verb == DeleteTree:
		return call.AllowPrefix(rpc.ResourceKey, rpc.AccessWrite, key)
	case verb == ReadTree:
		return nil // its entries are kept or left out one by one
	case verb.Reads():
		return call.Allow(rpc.ResourceKey, rpc.AccessRead, key)
	}
	return call.Allow(rpc.ResourceKey, rpc.AccessWrite, key)
}

// Operate carries out one operation of a transaction and returns the entries that it
// answers with: those written come without their value. The expected index of the
// conditional verbs stands in want.ModifyIndex.
func Operate(tx *store.Tx, verb Verb, want *Entry) ([]*Entry, error) {
	switch verb {
	case DeleteTree:
		removeTree(tx, want.Key)
		return nil, nil
	case Set, Delete, CAS, DeleteCAS, Lock, Unlock:
	default:
		return Inspect(&tx.View, verb, want)
	}
	cmd := &write{Verb: verb, Key: want.Key, Value: want.Value, Flags: want.Flags, Index: want.ModifyIndex, Session: want.Session}
	e, done, err := put(tx, cmd)
	switch {
	case err != nil:
		return nil, err
	case !done && (verb == Lock || verb == Unlock):
		return nil, lockFailure(tx, cmd)
	case !done && verb == CAS:
		return nil, fmt.Errorf("failed to set key %q, index is stale", want.Key)
	case !done:
		return nil, fmt.Errorf("failed to delete key %q, index is stale", want.Key)
	case e == nil:
		return nil, nil
	}
	return []*Entry{e.withoutValue()}, nil
}

// Inspect is [Operate] for the verbs that read.
func Inspect(v *store.View, verb Verb, want *Entry) ([]*Entry, error) {
	if verb == ReadTree {
		entries, _ := list(v, want.Key, func(string) bool { return true })
		return entries, nil
	}
	if verb == CheckSession {
		e, err := checkSession(v, want)
		if err != nil {
			return nil, err
		}
		return []*Entry{e.withoutValue()}, nil
	}
	e, found := Lookup(v, want.Key)
	switch verb {
	case CheckNotExists:
		if found {
			return nil, fmt.Errorf("key %q exists", want.Key)
		}
		return nil, nil
	case ReadOrEmpty:
		if !found {
			e = &Entry{Key: want.Key}
		}
		return []*Entry{e}, nil
	case ReadKey, CheckIndex:
		if !found {
			return nil, fmt.Errorf("key %q doesn't exist", want.Key)
		}
		if verb == ReadKey {
			return []*Entry{e}, nil
		}
		if e.ModifyIndex != want.ModifyIndex {
			return nil, fmt.Errorf("failed index check for key %q, current modify index %d != %d", want.Key, e.ModifyIndex, want.ModifyIndex)
		}
		return []*Entry{e.withoutValue()}, nil
	}
	return nil, fmt.Errorf("the KV operation %q is not one that reads", verb)
}

func (e *Entry) withoutValue() *Entry {
	row := *e
	row.Value = nil
	return &row
}
