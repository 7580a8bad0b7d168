package httpapi

import (
	"net/http"
	"strconv"

	"github.com/hanse-project/hanse/catalog"
)

func (a *API) healthRoutes() map[string]route {
	return map[string]route{
		"/v1/health/node/":    {http.MethodGet: a.healthNode},
		"/v1/health/checks/":  {http.MethodGet: a.healthChecks},
		"/v1/health/state/":   {http.MethodGet: a.healthState},
		"/v1/health/service/": {http.MethodGet: a.healthService},
		"/v1/health/connect/": {http.MethodGet: a.healthService},
		"/v1/health/ingress/": {http.MethodGet: a.healthIngress},
	}
}

func (a *API) healthNode(w http.ResponseWriter, r *request) (any, error) {
	req, err := nodeRequest(r)
	if err != nil {
		return nil, err
	}
	rep, err := discover(a, w, r, &catalog.NodeChecks, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return list(rep.HealthChecks), nil
}

func (a *API) healthChecks(w http.ResponseWriter, r *request) (any, error) {
	req, err := a.serviceRequest(r)
	if err != nil {
		return nil, err
	}
	req.ServiceTags, req.TagFilter = nil, false // documented for instances only
	rep, err := discover(a, w, r, &catalog.ServiceChecks, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return list(rep.HealthChecks), nil
}

func (a *API) healthState(w http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, badRequest("Missing check state")
	}
	req := &catalog.ChecksInStateRequest{
		State: r.name, NodeMetaFilters: r.nodeMeta(), Source: a.source(r), PeerName: r.query.Get("peer"),
	}
	rep, err := discover(a, w, r, &catalog.ChecksInState, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return list(rep.HealthChecks), nil
}

func (a *API) healthService(w http.ResponseWriter, r *request) (any, error) {
	req, err := a.healthRequest(r)
	if err != nil {
		return nil, err
	}
	rep, err := discoverCached(a, w, r, &catalog.HealthServiceNodes, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return translated(a, req.Datacenter, rep.Nodes), nil
}

// healthIngress finds the ingress gateways of a service.
func (a *API) healthIngress(w http.ResponseWriter, r *request) (any, error) {
	req, err := a.healthRequest(r)
	if err != nil {
		return nil, err
	}
	req.Ingress = true
	rep, err := discover(a, w, r, &catalog.HealthServiceNodes, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return translated(a, req.Datacenter, rep.Nodes), nil
}

// healthRequest is what the endpoints about the instances of a service ask.
func (a *API) healthRequest(r *request) (*catalog.ServiceSpecificRequest, error) {
	req, err := a.serviceRequest(r)
	if err != nil || !r.has("passing") {
		return req, err
	}
	passing := true
	if value := r.query.Get("passing"); value != "" {
		if passing, err = strconv.ParseBool(value); err != nil {
			return nil, badRequest("Invalid value for ?passing")
		}
	}
	if passing {
		req.HealthFilterType = catalog.OnlyPassing
	}
	return req, nil
}
