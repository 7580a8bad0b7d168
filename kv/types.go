package kv

import "github.com/hanse-project/hanse/rpc"

// Entry is one key. See https://developer.hashicorp.com/consul/api-docs/kv.
type Entry struct {
	// LockIndex counts how often the key was locked.
	LockIndex uint64
	Key       string
	// Flags is an opaque number of the client's.
	Flags uint64
	Value []byte
	// Session holds the lock on the key, "" if nobody does.
	Session string `json:",omitempty"`
	// CreateIndex and ModifyIndex are the log indexes of the first and the last write.
	CreateIndex uint64
	ModifyIndex uint64
	// Time is when the last write was logged, in unix nanoseconds. It stays in this
	// datacenter and in its snapshots.
	Time int64 `json:"-" codec:"HanseTime"`
	// Origin is the CreateIndex of the replication link that wrote the entry last, 0 if it was
	// somebody else. Nobody but [Mirror] sets it.
	Origin uint64 `json:"-" codec:"HanseOrigin,omitempty"`
}

// Tombstone remembers a deleted key.
type Tombstone struct {
	Key string
	// ModifyIndex is the log index of the delete.
	ModifyIndex uint64
	// Time is when it was logged, in unix nanoseconds.
	Time int64 `codec:"HanseTime"`
}

// Verb is what a write does.
type Verb string

// The verbs, by their names on the wire.
const (
	Set        Verb = "set"
	Delete     Verb = "delete"
	DeleteCAS  Verb = "delete-cas"
	DeleteTree Verb = "delete-tree"
	CAS        Verb = "cas"
	Lock       Verb = "lock"
	Unlock     Verb = "unlock"
)

// ApplyRequest asks for one write. The expected index of cas and delete-cas stands in
// DirEnt.ModifyIndex.
type ApplyRequest struct {
	rpc.Write
	Op     Verb
	DirEnt Entry
}

// KeyRequest asks for one key, or for all below it.
type KeyRequest struct {
	rpc.Read
	Key string
}

// KeyListRequest asks for names only.
type KeyListRequest struct {
	rpc.Read
	Prefix string
	// Seperator cuts the names after its first occurrence behind the prefix. It is
	// spelled like this on the wire.
	Seperator string
}

// Entries is the answer to a [KeyRequest].
type Entries struct {
	Entries []*Entry
	rpc.Meta
}

// KeyList is the answer to a [KeyListRequest].
type KeyList struct {
	Keys []string
	rpc.Meta
}
