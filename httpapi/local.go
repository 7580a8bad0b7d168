package httpapi

import (
	"net/http"

	"github.com/hanse-project/hanse/rpc"
)

// agentRoutes are about the agent itself: no datacenter is asked.
func (a *API) agentRoutes() map[string]route {
	return map[string]route{
		"/v1/agent/self":         {http.MethodGet: a.agentSelf},
		"/v1/agent/members":      {http.MethodGet: a.agentMembers},
		"/v1/agent/token/":       {http.MethodPut: a.agentToken},
		"/v1/agent/host":         {http.MethodGet: a.agentHost},
		"/v1/agent/version":      {http.MethodGet: a.agentVersion},
		"/v1/agent/monitor":      {http.MethodGet: a.agentMonitor},
		"/v1/agent/join/":        {http.MethodPut: a.agentJoin},
		"/v1/agent/leave":        {http.MethodPut: a.agentLeave},
		"/v1/agent/force-leave/": {http.MethodPut: a.agentForceLeave},
		"/v1/agent/reload":       {http.MethodPut: a.agentReload},
		"/v1/agent/metrics":      {http.MethodGet: a.agentMetrics},
	}
}

// allow asks whether the caller may do something with this agent.
func (a *API) allow(r *request, resource rpc.Resource, access rpc.Access) error {
	authz, err := a.cfg.Resolver.Resolve(r.Context(), r.token())
	if err != nil {
		return err
	}
	name := a.cfg.Node
	if resource == rpc.ResourceOperator {
		name = "" // the rule has no names
	}
	return (&rpc.Call{Authz: authz}).Allow(resource, access, name)
}

func (a *API) agentSelf(_ http.ResponseWriter, r *request) (any, error) {
	if err := a.allow(r, rpc.ResourceAgent, rpc.AccessRead); err != nil {
		return nil, err
	}
	return a.cfg.Agent.Self(), nil
}

func (a *API) agentJoin(_ http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, badRequest("Missing address to join")
	}
	if err := a.allow(r, rpc.ResourceAgent, rpc.AccessWrite); err != nil {
		return nil, err
	}
	return nil, a.cfg.Agent.Join(r.Context(), r.name, r.flag("wan"))
}

func (a *API) agentLeave(_ http.ResponseWriter, r *request) (any, error) {
	if err := a.allow(r, rpc.ResourceAgent, rpc.AccessWrite); err != nil {
		return nil, err
	}
	return nil, a.cfg.Agent.Leave(r.Context())
}

func (a *API) agentForceLeave(_ http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, badRequest("Missing node name")
	}
	if err := a.allow(r, rpc.ResourceOperator, rpc.AccessWrite); err != nil {
		return nil, err
	}
	return nil, a.cfg.Agent.ForceLeave(r.Context(), r.name, r.flag("prune"), r.flag("wan"))
}

func (a *API) agentReload(_ http.ResponseWriter, r *request) (any, error) {
	if err := a.allow(r, rpc.ResourceAgent, rpc.AccessWrite); err != nil {
		return nil, err
	}
	return nil, a.cfg.Agent.Reload(r.Context())
}

func (a *API) agentMetrics(w http.ResponseWriter, r *request) (any, error) {
	if err := a.allow(r, rpc.ResourceAgent, rpc.AccessRead); err != nil {
		return nil, err
	}
	switch format := r.query.Get("format"); format {
	case "":
		return a.cfg.Agent.MetricsJSON(), nil
	case "prometheus":
		a.cfg.Agent.Metrics().ServeHTTP(w, r.Request)
		return written{}, nil
	default:
		return nil, badRequest("Invalid format: leave it out for JSON, or use format=prometheus")
	}
}
