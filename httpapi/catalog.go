package httpapi

import (
	"net/http"
	"strings"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
)

func (a *API) catalogRoutes() map[string]route {
	return map[string]route{
		"/v1/catalog/datacenters":       {http.MethodGet: a.catalogDatacenters},
		"/v1/catalog/nodes":             {http.MethodGet: a.catalogNodes},
		"/v1/catalog/services":          {http.MethodGet: a.catalogServices},
		"/v1/catalog/service/":          {http.MethodGet: a.catalogService},
		"/v1/catalog/connect/":          {http.MethodGet: a.catalogService},
		"/v1/catalog/node/":             {http.MethodGet: a.catalogNode},
		"/v1/catalog/node-services/":    {http.MethodGet: a.catalogNodeServices},
		"/v1/catalog/gateway-services/": {http.MethodGet: a.catalogGatewayServices},
		"/v1/catalog/register":          {http.MethodPut: a.catalogRegister},
		"/v1/catalog/deregister":        {http.MethodPut: a.catalogDeregister},
	}
}

// discover is [ask] for the endpoints that find services, which also say how the answer
// was made.
func discover[Req, Rep any, PRep reply[Rep]](a *API, w http.ResponseWriter, r *request, m *rpc.Method[Req, Rep], req *Req, env *rpc.Read) (*Rep, error) {
	rep, err := ask[Req, Rep, PRep](a, w, r, m, req, env)
	if err == nil {
		setLevel(w, env)
	}
	return rep, err
}

// discoverCached is [discover] with [askCached].
func discoverCached[Req, Rep any, PRep reply[Rep]](a *API, w http.ResponseWriter, r *request, m *rpc.Method[Req, Rep], req *Req, env *rpc.Read) (*Rep, error) {
	rep, err := askCached[Req, Rep, PRep](a, w, r, m, req, env)
	if err == nil {
		setLevel(w, env)
	}
	return rep, err
}

func setLevel(w http.ResponseWriter, env *rpc.Read) {
	level := levelLeader
	if env.AllowStale {
		level = levelStale
	} else if env.RequireConsistent {
		level = levelConsistent
	}
	w.Header()["X-Consul-Effective-Consistency"] = level
}

var (
	levelLeader     = []string{"leader"}
	levelStale      = []string{"stale"}
	levelConsistent = []string{"consistent"}
)

// nodeMeta are the pairs of ?node-meta=key:value, which may be given several times.
func (r *request) nodeMeta() map[string]string {
	pairs := r.query["node-meta"]
	if len(pairs) == 0 {
		return nil
	}
	meta := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, ":")
		meta[key] = value
	}
	return meta
}

func (a *API) catalogDatacenters(_ http.ResponseWriter, r *request) (any, error) {
	req := &catalog.DatacentersRequest{}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	names, err := catalog.ListDatacenters.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	return list(*names), nil
}

// list is the list as JSON shows it: none is [], not null.
func list[T any](rows []T) []T {
	if rows == nil {
		return []T{}
	}
	return rows
}

// datacenterRequest is what the endpoints about everything in a datacenter ask.
func (a *API) datacenterRequest(r *request) *catalog.DCSpecificRequest {
	return &catalog.DCSpecificRequest{NodeMetaFilters: r.nodeMeta(), Source: a.source(r), PeerName: r.query.Get("peer")}
}

func (a *API) catalogNodes(w http.ResponseWriter, r *request) (any, error) {
	req := a.datacenterRequest(r)
	rep, err := discover(a, w, r, &catalog.ListNodes, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return translated(a, req.Datacenter, rep.Nodes), nil
}

func (a *API) catalogServices(w http.ResponseWriter, r *request) (any, error) {
	req := a.datacenterRequest(r)
	rep, err := discoverCached(a, w, r, &catalog.ListServices, req, &req.Read)
	if err != nil {
		return nil, err
	}
	services := make(map[string]catalog.Tags, len(rep.Services))
	for name, tags := range rep.Services {
		services[name] = tags
	}
	return services, nil
}

// serviceRequest is what the endpoints about one service ask. Those whose path says
// "connect" are about the instances that accept mesh connections for it.
func (a *API) serviceRequest(r *request) (*catalog.ServiceSpecificRequest, error) {
	if r.name == "" {
		return nil, badRequest("Missing service name")
	}
	tags := r.query["tag"]
	return &catalog.ServiceSpecificRequest{
		ServiceName: r.name, ServiceTags: tags, TagFilter: len(tags) > 0,
		NodeMetaFilters: r.nodeMeta(), Source: a.source(r), PeerName: r.query.Get("peer"),
		MergeCentralConfig: r.flag("merge-central-config"), Connect: strings.Contains(r.URL.Path[:len(r.URL.Path)-len(r.name)], "/connect/"),
	}, nil
}

func (a *API) catalogService(w http.ResponseWriter, r *request) (any, error) {
	req, err := a.serviceRequest(r)
	if err != nil {
		return nil, err
	}
	rep, err := discoverCached(a, w, r, &catalog.ListServiceNodes, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return translated(a, req.Datacenter, rep.ServiceNodes), nil
}

func (a *API) catalogGatewayServices(w http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, badRequest("Missing gateway name")
	}
	req := &catalog.ServiceSpecificRequest{ServiceName: r.name}
	rep, err := discover(a, w, r, &catalog.GatewayServices, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return list(rep.Services), nil
}

// nodeRequest is what the endpoints about one node ask.
func nodeRequest(r *request) (*catalog.NodeSpecificRequest, error) {
	if r.name == "" {
		return nil, badRequest("Missing node name")
	}
	return &catalog.NodeSpecificRequest{
		Node: r.name, PeerName: r.query.Get("peer"), MergeCentralConfig: r.flag("merge-central-config"),
	}, nil
}

func (a *API) catalogNode(w http.ResponseWriter, r *request) (any, error) {
	req, err := nodeRequest(r)
	if err != nil {
		return nil, err
	}
	rep, err := discover(a, w, r, &catalog.GetNodeServices, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return a.translatedNode(req.Datacenter, rep.NodeServices), nil
}

func (a *API) catalogNodeServices(w http.ResponseWriter, r *request) (any, error) {
	req, err := nodeRequest(r)
	if err != nil {
		return nil, err
	}
	rep, err := discover(a, w, r, &catalog.GetNodeServiceList, req, &req.Read)
	if err != nil {
		return nil, err
	}
	if !a.farFrom(req.Datacenter) {
		return rep.NodeServices, nil
	}
	return catalog.NodeServiceList{
		Node: rep.NodeServices.Node.Translated(), Services: translated(a, req.Datacenter, rep.NodeServices.Services),
	}, nil
}

func (a *API) catalogRegister(_ http.ResponseWriter, r *request) (any, error) {
	req := &catalog.RegisterRequest{}
	if err := r.decode(req); err != nil {
		return nil, err
	}
	req.Revision = catalog.Revision{} // the servers' own
	a.write(r, &req.Write)
	if _, err := catalog.Register.Call(r.Context(), a.cfg.Caller, req); err != nil {
		return nil, err
	}
	return true, nil
}

func (a *API) catalogDeregister(_ http.ResponseWriter, r *request) (any, error) {
	req := &catalog.DeregisterRequest{}
	if err := r.decode(req); err != nil {
		return nil, err
	}
	a.write(r, &req.Write)
	if _, err := catalog.Deregister.Call(r.Context(), a.cfg.Caller, req); err != nil {
		return nil, err
	}
	return true, nil
}
