package kv

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// Changes is the feed: what changed below a prefix behind a cursor, in order. It costs
// what changed, not what there is.
var Changes = rpc.Method[ChangesRequest, ChangesReply]{Info: rpc.Info{
	Name: "KVS.Changes", Blocking: true, Class: rpc.List, Resource: rpc.ResourceKey}}

// ChangesRequest asks for what changed below Prefix behind the cursor of Since and After.
// With MinQueryIndex, which is then Since, it waits until there is something.
type ChangesRequest struct {
	rpc.Read
	// Prefix is what the keys begin with, "" for all.
	Prefix string
	// Since is the log index up to which the caller knows everything. 0 asks for nothing but
	// the cursor to begin with: take it, then read the list, then follow from the cursor.
	// After, if it is not "", is the last key that the caller knows of the index Since: one
	// command may change thousands.
	Since uint64
	After string
	// Limit is how many changes one answer has at most, 0 for [DefaultChanges].
	Limit int
}

const (
	// DefaultChanges is how many changes one answer has at most if the request does not
	// say, and MaxChanges how many it may ask for.
	DefaultChanges = 1000
	MaxChanges     = 10_000
	// changesBytes ends an answer once its keys and values are larger.
	changesBytes = 1 << 20
)

// Change is the last change of one key. What was overwritten or remade since is left out:
// a reader that follows sees the state at some index, not each step to it.
type Change struct {
	//lint:ignore U1000 its tag has the codec write an array: one answer has thousands of rows
	_struct bool `codec:",toarray"`

	Key string
	// ModifyIndex is the log index of the change, and Time when it was logged, in unix
	// nanoseconds of the leader's clock.
	ModifyIndex uint64
	Time        int64
	// Deleted says that the key is gone: the rest is then empty.
	Deleted     bool
	CreateIndex uint64
	Flags       uint64
	Value       []byte
}

// ChangesReply is one page of the feed. Its Index, with After, is the cursor of the next.
type ChangesReply struct {
	Changes []Change
	After   string
	// More says that the page is full: ask for the next one at once.
	More bool
	rpc.Meta
}

func (e *Endpoint) changes(_ context.Context, call *rpc.Call, req *ChangesRequest) (*ChangesReply, error) {
	limit := req.Limit
	switch {
	case limit < 0 || limit > MaxChanges:
		return nil, rpc.Invalid(fmt.Sprintf("limit is %d: use 1 to %d", limit, MaxChanges))
	case limit == 0:
		limit = DefaultChanges
	}
	v, feed := e.store.ReadFeed(call.Watch)
	floor := v.TouchedAt(floorName)
	within := req.Since == floor && req.After != "" // what is left of the index may have been deletes
	if req.Since > 0 && (req.Since < floor || within) {
		return nil, &rpc.Error{Reason: rpc.ReasonTooOld, Cause: rpc.ErrTooOld, Text: fmt.Sprintf(
			"index %d %s: what was deleted up to index %d is not known any more, compare everything and go on from there", req.Since, rpc.ErrTooOld.Text, floor)}
	}
	rep := &ChangesReply{Changes: []Change{}}
	end := max(feed.Index(), 1) // a table that was never written has a cursor, too
	if req.Since == 0 {
		rep.Index = end
		return rep, nil
	}
	store.WatchRows(v, tableEntries, "id_prefix", req.Prefix) // with every delete goes an entry, too
	rows, size := v.Unwatched(), 0
	for at := range feed.After(store.Change{Index: req.Since, Key: req.After}) {
		if !strings.HasPrefix(at.Key, req.Prefix) {
			continue
		}
		c, current := changeAt(rows, at)
		if !current || !call.Keep(rpc.ResourceKey, at.Key) {
			continue
		}
		if len(rep.Changes) == limit || size >= changesBytes {
			last := rep.Changes[len(rep.Changes)-1]
			rep.Index, rep.After, rep.More = last.ModifyIndex, last.Key, true
			return rep, nil
		}
		rep.Changes = append(rep.Changes, c)
		size += len(c.Key) + len(c.Value)
	}
	if len(rep.Changes) == 0 {
		rep.SetAbsentSince(end, 0) // whatever the caller holds, there is nothing behind it
	}
	rep.Index = end
	return rep, nil
}

// changeAt is the change of a row of the feed, unless another one superseded it.
func changeAt(v *store.View, at store.Change) (Change, bool) {
	if e, found := Lookup(v, at.Key); found {
		return Change{
			Key: e.Key, ModifyIndex: e.ModifyIndex, Time: e.Time, CreateIndex: e.CreateIndex, Flags: e.Flags, Value: e.Value,
		}, e.ModifyIndex == at.Index
	}
	t, found := store.First[*Tombstone](v, tableTombstones, "id", at.Key)
	if !found || t.ModifyIndex != at.Index {
		return Change{}, false
	}
	return Change{Key: t.Key, ModifyIndex: t.ModifyIndex, Time: t.Time, Deleted: true}, true
}

// lastChange is the index of the last change of a key, 0 if nothing is known of it.
func lastChange(v *store.View, key string) uint64 {
	if e, found := Lookup(v, key); found {
		return e.ModifyIndex
	}
	return deletedAt(v, key)
}

// lastChanges are the last changes of all keys that anything is known of.
func lastChanges(v *store.View) iter.Seq[store.Change] {
	return func(yield func(store.Change) bool) {
		for e := range store.Rows[*Entry](v, tableEntries, "id") {
			if !yield(store.Change{Index: e.ModifyIndex, Key: e.Key}) {
				return
			}
		}
		for t := range store.Rows[*Tombstone](v, tableTombstones, "id") {
			if _, remade := Lookup(v, t.Key); !remade && !yield(store.Change{Index: t.ModifyIndex, Key: t.Key}) {
				return
			}
		}
	}
}
