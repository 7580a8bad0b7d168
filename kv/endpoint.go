package kv

import (
	"context"
	"fmt"
	"time"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// The methods of this domain.
var (
	Apply = rpc.Method[ApplyRequest, bool]{Info: rpc.Info{
		Name: "KVS.Apply", Write: true, Timer: []string{"kvs", "apply"}, Resource: rpc.ResourceKey}}
	Get = rpc.Method[KeyRequest, Entries]{Info: rpc.Info{
		Name: "KVS.Get", Blocking: true, Resource: rpc.ResourceKey}}
	List = rpc.Method[KeyRequest, Entries]{Info: rpc.Info{
		Name: "KVS.List", Blocking: true, Class: rpc.List, Resource: rpc.ResourceKey}}
	ListKeys = rpc.Method[KeyListRequest, KeyList]{Info: rpc.Info{
		Name: "KVS.ListKeys", Blocking: true, Class: rpc.List, Resource: rpc.ResourceKey}}
)

// Endpoint answers the methods on a server.
type Endpoint struct {
	store *store.Store
	log   store.Log
	limit int
	trees *trees
}

// NewEndpoint makes the endpoint. No value may be larger than limit, in bytes.
func NewEndpoint(s *store.Store, log store.Log, limit int) *Endpoint {
	return &Endpoint{store: s, log: log, limit: limit, trees: newTrees()}
}

// Methods binds the domain's methods.
func (e *Endpoint) Methods() []rpc.Handler {
	return []rpc.Handler{
		Apply.Handle(e.apply), Get.Handle(e.get), List.Handle(e.list), ListKeys.Handle(e.listKeys),
		Changes.Handle(e.changes), EntriesPage.Handle(e.entriesPage), Digests.Handle(e.digests),
	}
}

func (e *Endpoint) apply(ctx context.Context, call *rpc.Call, req *ApplyRequest) (*bool, error) {
	entry := &req.DirEnt
	if req.Op == DeleteTree {
		if err := call.AllowPrefix(rpc.ResourceKey, rpc.AccessWrite, entry.Key); err != nil {
			return nil, err
		}
		_, _, err := store.Propose[bool](ctx, e.log, opDeleteTree, &tree{Prefix: entry.Key})
		return new(bool), err
	}
	if err := CheckWrite(req.Op, entry, e.limit); err != nil {
		return nil, err
	}
	if err := call.Allow(rpc.ResourceKey, rpc.AccessWrite, entry.Key); err != nil {
		return nil, err
	}
	done, _, err := store.Propose[bool](ctx, e.log, opApply, &write{
		Verb: req.Op, Key: entry.Key, Value: entry.Value, Flags: entry.Flags, Index: entry.ModifyIndex,
		Session: entry.Session,
	})
	if err != nil {
		return nil, err
	}
	// Only a condition has an outcome: peers expect false for the others.
	done = done && req.Op != Set && req.Op != Delete
	return &done, nil
}

var errNoKey = rpc.Invalid("Must provide key")

// CheckWrite refuses a write to one key that is wrong in itself.
func CheckWrite(verb Verb, entry *Entry, limit int) error {
	switch verb {
	case Lock, Unlock:
		if entry.Session == "" {
			return invalidSession("")
		}
	case Set, Delete, CAS, DeleteCAS:
	default:
		return rpc.Invalid(fmt.Sprintf("unknown KV operation: %s", verb))
	}
	if entry.Key == "" {
		return errNoKey
	}
	if len(entry.Value) > limit {
		return rpc.TooLarge(fmt.Sprintf("the value of key %q", entry.Key), len(entry.Value), limit)
	}
	return nil
}

func (e *Endpoint) get(_ context.Context, call *rpc.Call, req *KeyRequest) (*Entries, error) {
	if err := call.Allow(rpc.ResourceKey, rpc.AccessRead, req.Key); err != nil {
		return nil, err
	}
	v := e.store.Read(call.Watch)
	entry, found := Lookup(v, req.Key)
	rep := &Entries{}
	if !found {
		rep.SetAbsentSince(tableIndex(v), absentSince(v, deletedAt(v, req.Key)))
		return rep, nil
	}
	rep.Entries, rep.Index = []*Entry{entry}, entry.ModifyIndex
	return rep, nil
}

func (e *Endpoint) list(_ context.Context, call *rpc.Call, req *KeyRequest) (*Entries, error) {
	v := e.store.Read(call.Watch)
	rep := &Entries{}
	rep.Entries, rep.Index = list(v, req.Key, func(key string) bool { return call.Keep(rpc.ResourceKey, key) })
	if rep.Index == 0 {
		rep.SetAbsentSince(tableIndex(v), absentSince(v, 0))
	}
	return rep, nil
}

func (e *Endpoint) listKeys(_ context.Context, call *rpc.Call, req *KeyListRequest) (*KeyList, error) {
	v := e.store.Read(call.Watch)
	rep := &KeyList{}
	rep.Keys, rep.Index = listKeys(v, req.Prefix, req.Seperator, func(key string) bool { return call.Keep(rpc.ResourceKey, key) })
	if rep.Index == 0 {
		rep.SetAbsentSince(tableIndex(v), absentSince(v, 0))
	}
	return rep, nil
}

// Reap removes tombstones that are older than ttl. The leader calls it now and then.
func (e *Endpoint) Reap(ctx context.Context, ttl time.Duration) (int, error) {
	n, _, err := store.Propose[int](ctx, e.log, opReap, &reap{Before: time.Now().Add(-ttl).UnixNano()})
	return n, err
}
