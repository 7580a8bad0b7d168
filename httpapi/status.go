package httpapi

import (
	"net/http"

	"github.com/hanse-project/hanse/federation"
	"github.com/hanse-project/hanse/operator"
)

func (a *API) statusRoutes() map[string]route {
	return map[string]route{
		"/v1/status/leader":     {http.MethodGet: a.statusLeader},
		"/v1/status/peers":      {http.MethodGet: a.statusPeers},
		"/v1/federation/status": {http.MethodGet: a.federationStatus},
	}
}

func (a *API) statusLeader(_ http.ResponseWriter, r *request) (any, error) {
	req := &operator.DCRequest{}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	leader, err := operator.Leader.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	return *leader, nil
}

func (a *API) statusPeers(_ http.ResponseWriter, r *request) (any, error) {
	req := &operator.DCRequest{}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	peers, err := operator.Peers.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	return list(*peers), nil
}

// federationStatus is how all datacenters look from a server of this one, or of ?dc.
func (a *API) federationStatus(_ http.ResponseWriter, r *request) (any, error) {
	req := &federation.StatusRequest{}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	return federation.GetStatus.Call(r.Context(), a.cfg.Caller, req)
}
