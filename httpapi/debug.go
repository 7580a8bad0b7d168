package httpapi

import (
	"net/http"
	"net/http/pprof"

	"github.com/hanse-project/hanse/rpc"
)

// debugRoutes are the profiles of the process, for `go tool pprof`.
func (a *API) debugRoutes() map[string]route {
	return map[string]route{
		"/debug/pprof/":        {http.MethodGet: a.profile(pprof.Index)},
		"/debug/pprof/cmdline": {http.MethodGet: a.profile(pprof.Cmdline)},
		"/debug/pprof/profile": {http.MethodGet: a.profile(pprof.Profile)},
		"/debug/pprof/symbol":  {http.MethodGet: a.profile(pprof.Symbol), http.MethodPost: a.profile(pprof.Symbol)},
		"/debug/pprof/trace":   {http.MethodGet: a.profile(pprof.Trace)},
	}
}

// profile guards one of the profiles: where they are on, they are for operators.
func (a *API) profile(serve http.HandlerFunc) handler {
	return func(w http.ResponseWriter, r *request) (any, error) {
		if !a.cfg.Profiles {
			return nil, &statusError{http.StatusNotFound, "Profiles are off: set enable_debug = true in the agent's configuration and restart it"}
		}
		if err := a.allow(r, rpc.ResourceOperator, rpc.AccessRead); err != nil {
			return nil, err
		}
		serve(w, r.Request)
		return written{}, nil
	}
}
