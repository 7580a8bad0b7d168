package query

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	uuid "github.com/hashicorp/go-uuid"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// The methods of this package.
var (
	Apply = rpc.Method[ApplyRequest, string]{Info: rpc.Info{
		Name: "PreparedQuery.Apply", Write: true, Timer: []string{"prepared-query", "apply"}, Resource: rpc.ResourceQuery}}
	Get = rpc.Method[SpecificRequest, Queries]{Info: rpc.Info{
		Name: "PreparedQuery.Get", Blocking: true, Resource: rpc.ResourceQuery}}
	List = rpc.Method[catalog.DCSpecificRequest, Queries]{Info: rpc.Info{
		Name: "PreparedQuery.List", Blocking: true, Class: rpc.List, Resource: rpc.ResourceQuery}}
	Explain = rpc.Method[ExecuteRequest, ExplainReply]{Info: rpc.Info{
		Name: "PreparedQuery.Explain", Resource: rpc.ResourceQuery}}
	Execute = rpc.Method[ExecuteRequest, ExecuteReply]{Info: rpc.Info{
		Name: "PreparedQuery.Execute", Class: rpc.List, Resource: rpc.ResourceService}}
	// ExecuteRemote has the short deadline: who fails over has others to ask.
	ExecuteRemote = rpc.Method[ExecuteRemoteRequest, ExecuteReply]{Info: rpc.Info{
		Name: "PreparedQuery.ExecuteRemote", Resource: rpc.ResourceService}}
)

// NotFound is the text of the error about a query that is not there. Clients match it.
const NotFound = "Query not found"

var errNotFound = rpc.Failed(NotFound)

func errNoSuch(id string) error {
	return rpc.Failed(fmt.Sprintf("Cannot modify non-existent prepared query: '%s'", id))
}

// hidden is shown in the place of a token to those who may not see it.
const hidden = "<hidden>"

// Config is what the endpoint works with.
type Config struct {
	Store *store.Store
	Log   store.Log
	// Datacenter is our own, and Datacenters are all, the nearest first.
	Datacenter  string
	Datacenters func() []string
	// Remote is the way to a server of another datacenter.
	Remote func(datacenter string) rpc.Caller
	// Catalog knows the instances.
	Catalog *catalog.Endpoint
	// Resolver finds what the token of a query may see.
	Resolver rpc.Resolver
	Logger   hclog.Logger
}

// Endpoint answers the methods on a server.
type Endpoint struct{ cfg Config }

// NewEndpoint makes the endpoint.
func NewEndpoint(cfg Config) *Endpoint { return &Endpoint{cfg} }

// Methods binds the package's methods.
func (e *Endpoint) Methods() []rpc.Handler {
	return []rpc.Handler{
		Apply.Handle(e.apply), Get.Handle(e.get), List.Handle(e.list),
		Explain.Handle(e.explain), Execute.Handle(e.execute), ExecuteRemote.Handle(e.executeRemote),
	}
}

func (e *Endpoint) apply(ctx context.Context, call *rpc.Call, req *ApplyRequest) (*string, error) {
	if req.Query == nil {
		return nil, rpc.Invalid("Must provide a prepared query")
	}
	q := *req.Query
	if req.Op == Create {
		if q.ID != "" {
			return nil, rpc.Failed("ID must be empty when creating a new prepared query")
		}
		id, err := uuid.GenerateUUID()
		if err != nil {
			return nil, fmt.Errorf("make the ID of a prepared query: %w", err)
		}
		q.ID = id
	} else {
		old, err := e.existing(ctx, q.ID)
		if err != nil {
			return nil, err
		}
		if err := mayWrite(call, old); err != nil {
			return nil, err
		}
	}
	switch req.Op {
	case Create, Update:
		if err := q.check(); err != nil {
			return nil, rpc.Failed("Invalid prepared query: " + err.Error())
		}
		if err := mayWrite(call, &q); err != nil {
			return nil, err
		}
	case Delete:
	default:
		return nil, rpc.Invalid(fmt.Sprintf("Unknown prepared query operation: %s", req.Op))
	}
	_, _, err := store.Propose[bool](ctx, e.cfg.Log, opChange, &change{Op: req.Op, Query: &q})
	if rpc.ReasonOf(err) == rpc.ReasonFailed {
		err = rpc.Prefix("raft apply failed: ", err)
	}
	return &q.ID, err
}

// existing finds a query that is to be changed.
func (e *Endpoint) existing(ctx context.Context, id string) (*PreparedQuery, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	r, found := lookupID(e.cfg.Store.Read(nil), id)
	if !found {
		// A leader that was elected a moment ago may yet have to apply its creation. Once
		// an entry of our own is applied, all before it are.
		if _, _, err := store.Propose[bool](ctx, e.cfg.Log, opChange, &change{}); err != nil {
			return nil, err
		}
		if r, found = lookupID(e.cfg.Store.Read(nil), id); !found {
			return nil, errNoSuch(id)
		}
	}
	return r.Query, nil
}

// checkID refuses what cannot be the ID of a query.
func checkID(id string) error {
	const where = "failed prepared query lookup: index error: "
	if len(id) != 36 {
		return rpc.Failed(where + "UUID must be 36 characters")
	}
	if _, err := uuid.ParseUUID(id); err != nil {
		return rpc.Failed(where + err.Error())
	}
	return nil
}

// check says what is wrong with a query in itself.
func (q *PreparedQuery) check() error {
	s := &q.Service
	switch {
	case s.Service == "":
		return fmt.Errorf("Must provide a Service name to query")
	case q.Token == hidden:
		return fmt.Errorf("Token is %q: give the token itself, or none", hidden)
	case s.Failover.NearestN < 0:
		return fmt.Errorf("Bad NearestN '%d', must be >= 0", s.Failover.NearestN)
	case len(s.Failover.Targets) > 0 && (s.Failover.NearestN > 0 || len(s.Failover.Datacenters) > 0):
		return fmt.Errorf("Targets cannot be populated with NearestN or Datacenters")
	case s.Peer != "":
		return fmt.Errorf("Peer is %q, and there are no cluster peers: use Failover.Datacenters", s.Peer)
	case s.SamenessGroup != "":
		return fmt.Errorf("SamenessGroup is %q, and there are no sameness groups: use Failover.Datacenters", s.SamenessGroup)
	}
	for _, t := range s.Failover.Targets {
		if t.Peer != "" || t.Datacenter == "" {
			return fmt.Errorf("a failover target needs a Datacenter, and there are no cluster peers")
		}
	}
	if ttl := q.DNS.TTL; ttl != "" {
		if d, err := time.ParseDuration(ttl); err != nil {
			return fmt.Errorf("Bad DNS TTL '%s': %w", ttl, err)
		} else if d < 0 {
			return fmt.Errorf("DNS TTL '%s', must be >=0", ttl)
		}
	}
	_, err := q.compile()
	return err
}

// named tells whether access to the query goes by its name.
func (q *PreparedQuery) named() bool { return q.Name != "" || q.Template.Type != "" }

// mayWrite asks for query:write on the name. Who knows the ID of a query without a name
// may change it.
func mayWrite(call *rpc.Call, q *PreparedQuery) error {
	if !q.named() {
		return nil
	}
	return call.Allow(rpc.ResourceQuery, rpc.AccessWrite, q.Name)
}

// manages tells whether the caller may see everything about queries.
func manages(call *rpc.Call) bool { return call.Authz.Allow(rpc.ResourceACL, rpc.AccessWrite, "") }

// shown is q as the caller may see it.
func shown(call *rpc.Call, q *PreparedQuery) *PreparedQuery {
	if q.Token == "" || manages(call) {
		return q
	}
	some := *q
	some.Token = hidden
	return &some
}

func (e *Endpoint) get(_ context.Context, call *rpc.Call, req *SpecificRequest) (*Queries, error) {
	if err := checkID(req.QueryID); err != nil {
		return nil, err
	}
	r, found := lookupID(e.cfg.Store.Read(call.Watch), req.QueryID)
	if !found {
		return nil, errNotFound
	}
	if r.Query.named() {
		if err := call.Allow(rpc.ResourceQuery, rpc.AccessRead, r.Query.Name); err != nil {
			return nil, err
		}
	}
	rep := &Queries{Queries: []*PreparedQuery{shown(call, r.Query)}}
	rep.Index = r.Query.ModifyIndex
	return rep, nil
}

// list shows queries without a name to managers alone: to know their ID is to have
// access.
func (e *Endpoint) list(_ context.Context, call *rpc.Call, _ *catalog.DCSpecificRequest) (*Queries, error) {
	v := e.cfg.Store.Read(call.Watch)
	rep := &Queries{Queries: []*PreparedQuery{}}
	rep.Index = v.WatchTouch(table)
	all := manages(call)
	for q := range stored(v.Unwatched()) {
		if (all && !q.named()) || (q.named() && call.Keep(rpc.ResourceQuery, q.Name)) {
			rep.Queries = append(rep.Queries, shown(call, q))
		}
	}
	return rep, nil
}

func (e *Endpoint) explain(_ context.Context, call *rpc.Call, req *ExecuteRequest) (*ExplainReply, error) {
	q, err := find(e.cfg.Store.Read(nil), req.QueryIDOrName)
	if err != nil {
		return nil, err
	}
	if q.named() {
		if err := call.Allow(rpc.ResourceQuery, rpc.AccessRead, q.Name); err != nil {
			return nil, err
		}
	}
	return &ExplainReply{Query: *shown(call, q)}, nil
}
