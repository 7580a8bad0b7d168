package entry

import (
	"context"

	bexpr "github.com/hashicorp/go-bexpr"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// The methods of this package.
var (
	// Apply writes an entry.
	Apply = rpc.Method[ApplyRequest, bool]{Info: rpc.Info{
		Name: "ConfigEntry.Apply", Write: true, Timer: []string{"config_entry", "apply"}, Resource: rpc.ResourceService}}
	// Remove deletes one.
	Remove = rpc.Method[ApplyRequest, DeleteReply]{Info: rpc.Info{
		Name: "ConfigEntry.Delete", Write: true, Timer: []string{"config_entry", "delete"}, Resource: rpc.ResourceService}}
	// Get and List read what there is of a kind.
	Get = rpc.Method[Query, Reply]{Info: rpc.Info{
		Name: "ConfigEntry.Get", Blocking: true, Timer: []string{"config_entry", "get"}, Resource: rpc.ResourceService}}
	List = rpc.Method[Query, Listing]{Info: rpc.Info{
		Name: "ConfigEntry.List", Blocking: true, Class: rpc.List, Timer: []string{"config_entry", "list"}, Resource: rpc.ResourceService}}
	// ListAll is what servers of other datacenters follow.
	ListAll = rpc.Method[ListAllRequest, Everything]{Info: rpc.Info{
		Name: "ConfigEntry.ListAll", Blocking: true, Class: rpc.List, Timer: []string{"config_entry", "listAll"}, Resource: rpc.ResourceService}}
)

// Endpoint answers the methods on a server.
type Endpoint struct {
	store *store.Store
	log   store.Log
}

// NewEndpoint makes the endpoint.
func NewEndpoint(s *store.Store, log store.Log) *Endpoint { return &Endpoint{s, log} }

// Methods binds the package's methods.
func (e *Endpoint) Methods() []rpc.Handler {
	return []rpc.Handler{
		Apply.Handle(e.apply), Remove.Handle(e.remove), Get.Handle(e.get), List.Handle(e.list), ListAll.Handle(e.listAll),
	}
}

func (e *Endpoint) apply(ctx context.Context, call *rpc.Call, req *ApplyRequest) (*bool, error) {
	entry, err := writable(call, req)
	if err != nil {
		return nil, err
	}
	op, err := req.Op.among(Upsert, UpsertCAS)
	if err != nil {
		return nil, err
	}
	cmd, err := writeOf(op, entry)
	if err != nil {
		return nil, err
	}
	cmd.ModifyIndex = req.ModifyIndex
	done, _, err := store.Propose[bool](ctx, e.log, opChange, cmd)
	return &done, err
}

// writeOf is the command that writes an entry. What a server could not read back is found
// now and not when it is applied.
func writeOf(op Op, entry *Entry) (*change, error) {
	body, err := entry.body()
	if err == nil {
		_, err = fromBody(entry.Kind, body)
	}
	if err != nil {
		return nil, rpc.Invalid("the config entry cannot be kept: " + err.Error())
	}
	return &change{Op: op, Kind: entry.Kind, Name: entry.Name, Body: body}, nil
}

// Bootstrap writes those of the entries that are not there yet.
func Bootstrap(ctx context.Context, s *store.Store, log store.Log, entries []*Entry) error {
	for _, entry := range entries {
		if _, there := Lookup(s.Read(nil), entry.Kind, entry.Name); there {
			continue
		}
		cmd, err := writeOf(UpsertCAS, entry)
		if err != nil {
			return err
		}
		if _, _, err := store.Propose[bool](ctx, log, opChange, cmd); err != nil {
			return err
		}
	}
	return nil
}

// among is the operation if it is one of two, of which the first needs not be named.
func (o Op) among(plain, cas Op) (Op, error) {
	switch o {
	case "", plain:
		return plain, nil
	case cas:
		return cas, nil
	}
	return "", rpc.Invalid("unknown operation on a config entry: " + string(o))
}

// writable finds the entry of a request and asks whether the caller may write it.
func writable(call *rpc.Call, req *ApplyRequest) (*Entry, error) {
	if req.Entry == nil {
		return nil, rpc.Invalid("there is no config entry in the request")
	}
	if _, err := kindOf(req.Entry.Kind); err != nil {
		return nil, err
	}
	if req.refused != nil {
		return nil, req.refused
	}
	if req.Entry.Body == nil {
		return nil, rpc.Invalid("the config entry is empty")
	}
	return req.Entry, mayWrite(call, req.Entry.Kind, req.Entry.Name)
}

func (e *Endpoint) remove(ctx context.Context, call *rpc.Call, req *ApplyRequest) (*DeleteReply, error) {
	entry, err := writable(call, req)
	if err != nil {
		return nil, err
	}
	op, err := req.Op.among(Delete, DeleteCAS)
	if err != nil {
		return nil, err
	}
	done, _, err := store.Propose[bool](ctx, e.log, opChange,
		&change{Op: op, Kind: entry.Kind, Name: entry.Name, ModifyIndex: req.ModifyIndex})
	return &DeleteReply{Deleted: done}, err
}

func (e *Endpoint) get(_ context.Context, call *rpc.Call, req *Query) (*Reply, error) {
	if err := CheckKind(req.Kind); err != nil {
		return nil, err
	}
	if err := mayRead(call, req.Kind, req.Name); err != nil {
		return nil, err
	}
	v := e.store.Read(call.Watch)
	rep := &Reply{}
	entry, found := Lookup(v, req.Kind, req.Name)
	if found {
		rep.Entry, rep.Index = entry, entry.ModifyIndex
	} else {
		rep.SetAbsent(v.TouchedAt(part(req.Kind)))
	}
	return rep, nil
}

func (e *Endpoint) list(_ context.Context, call *rpc.Call, req *Query) (*Listing, error) {
	if err := CheckKind(req.Kind); err != nil {
		return nil, err
	}
	filter, err := newFilter(req.Filter)
	if err != nil {
		return nil, err
	}
	v := e.store.Read(call.Watch)
	rep := &Listing{Kind: req.Kind}
	rep.Index = v.TouchedAt(part(req.Kind))
	for entry := range ofKind(v, req.Kind) {
		wanted, err := filter.keep(entry)
		if err != nil {
			return nil, err
		}
		if wanted && keep(call, entry) {
			rep.Entries = append(rep.Entries, entry)
		}
	}
	return rep, nil
}

func (e *Endpoint) listAll(_ context.Context, call *rpc.Call, req *ListAllRequest) (*Everything, error) {
	wanted := map[string]bool{}
	for _, name := range req.Kinds {
		wanted[name] = true
	}
	v := e.store.Read(call.Watch)
	rep := &Everything{}
	rep.Index = v.WatchTouch(table)
	for r := range store.Rows[*row](v.Unwatched(), table, "id") {
		if (len(wanted) == 0 || wanted[r.Entry.Kind]) && keep(call, r.Entry) {
			rep.Entries = append(rep.Entries, r.Entry)
		}
	}
	return rep, nil
}

// maxExpressions bounds the work of parsing: no filter a person writes comes near.
const maxExpressions = 500_000

// filter keeps the entries that the expression of a request is true for; nil keeps all.
type filter struct{ evaluator *bexpr.Evaluator }

func newFilter(expression string) (*filter, error) {
	if expression == "" {
		return nil, nil
	}
	evaluator, err := bexpr.CreateEvaluator(expression, bexpr.WithMaxExpressions(maxExpressions))
	if err != nil {
		return nil, rpc.Invalid("Failed to create boolean expression evaluator: " + err.Error())
	}
	return &filter{evaluator}, nil
}

func (f *filter) keep(e *Entry) (bool, error) {
	if f == nil {
		return true, nil
	}
	kept, err := f.evaluator.Evaluate(e.Body)
	if err != nil {
		return false, rpc.Invalid("Failed to filter: " + err.Error())
	}
	return kept, nil
}
