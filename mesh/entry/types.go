package entry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"reflect"
	"strconv"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/rpc"
)

// Entry is one config entry. It is never changed: a new one takes its place.
type Entry struct {
	Kind, Name               string
	CreateIndex, ModifyIndex uint64
	// Hash is the same for the same content, whatever the indexes.
	Hash uint64
	// Body is the content, with the indexes.
	Body api.ConfigEntry
}

// New makes an entry of what was written, without indexes. Body is its own from then on.
func New(kindName string, body api.ConfigEntry) (*Entry, error) {
	k, err := kindOf(kindName)
	if err != nil {
		return nil, err
	}
	name, err := k.named(nameOf(body))
	if err != nil {
		return nil, err
	}
	e := &Entry{Kind: kindName, Name: name, Body: body}
	e.complete()
	e.setIndexes(0, 0)
	text, err := json.Marshal(body)
	if err != nil {
		return nil, rpc.Invalid(fmt.Sprintf("config entry %s/%s cannot be shown as JSON: %s", kindName, name, err))
	}
	sum := fnv.New64a()
	sum.Write(text) // a hash takes everything
	e.Hash = sum.Sum64()
	return e, nil
}

// Named is an entry without content, for its deletion.
func Named(kindName, name string) (*Entry, error) {
	k, err := kindOf(kindName)
	if err != nil {
		return nil, err
	}
	if name, err = k.named(name); err != nil {
		return nil, err
	}
	body := k.make()
	if f := field(body, "Name"); f.IsValid() {
		f.SetString(name)
	}
	return New(kindName, body)
}

// nameOf is the name that stands in the entry itself.
func nameOf(body api.ConfigEntry) string {
	if name := field(body, "Name"); name.IsValid() {
		return name.String()
	}
	return "" // of the kind mesh, which needs none
}

// complete puts kind and name where they belong, and the objects that clients are used
// to find even when they are empty.
func (e *Entry) complete() {
	for fieldName, value := range map[string]string{"Kind": e.Kind, "Name": e.Name} {
		if f := field(e.Body, fieldName); f.IsValid() {
			f.SetString(value)
		}
	}
	switch body := e.Body.(type) {
	case *api.ServiceConfigEntry:
		if body.TransparentProxy == nil {
			body.TransparentProxy = &api.TransparentProxyConfig{}
		}
	case *api.ProxyConfigEntry:
		if body.TransparentProxy == nil {
			body.TransparentProxy = &api.TransparentProxyConfig{}
		}
		if body.AccessLogs == nil {
			body.AccessLogs = &api.AccessLogsConfig{}
		}
	}
}

func (e *Entry) setIndexes(created, modified uint64) {
	e.CreateIndex, e.ModifyIndex = created, modified
	field(e.Body, "CreateIndex").SetUint(created)
	field(e.Body, "ModifyIndex").SetUint(modified)
}

func field(body api.ConfigEntry, name string) reflect.Value {
	return reflect.ValueOf(body).Elem().FieldByName(name)
}

// MarshalJSON shows the content, with the hash before the indexes.
func (e *Entry) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(e.Body)
	if err != nil {
		return nil, err
	}
	at := bytes.LastIndex(text, []byte(`"CreateIndex":`))
	if at < 0 {
		return text, nil
	}
	out := append(make([]byte, 0, len(text)+32), text[:at]...)
	out = append(append(out, `"Hash":`...), strconv.FormatUint(e.Hash, 10)...)
	return append(append(out, ','), text[at:]...), nil
}

// Op is what a request does with an entry.
type Op string

// The operations on entries. Those with CAS compare the ModifyIndex of the entry, 0 for
// one that must not exist, and are true if they did something.
const (
	Upsert    Op = "upsert"
	UpsertCAS Op = "upsert-cas"
	Delete    Op = "delete"
	DeleteCAS Op = "delete-cas"
)

// ApplyRequest writes an entry or deletes it. It is also the record of a snapshot.
type ApplyRequest struct {
	rpc.Write
	Op    Op
	Entry *Entry
	// ModifyIndex is what the operations with CAS compare. It travels in the entry.
	ModifyIndex uint64

	// refused says why an entry that came over the wire has no content.
	refused error
}

// DeleteReply says whether something was deleted, or whether it was not there anyway.
type DeleteReply struct{ Deleted bool }

// Query asks for entries of a kind: for one of a name, or for all.
type Query struct {
	rpc.Read
	Kind string
	Name string
}

// Reply is one entry, or none.
type Reply struct {
	Entry *Entry
	rpc.Meta
}

// Listing is all entries of a kind.
type Listing struct {
	Kind    string
	Entries []*Entry
	rpc.Meta
}

// ListAllRequest asks for the entries of several kinds, of all if there are none.
type ListAllRequest struct {
	rpc.Read
	Kinds []string
}

// Everything is entries of several kinds.
type Everything struct {
	Entries []*Entry
	rpc.Meta
}
