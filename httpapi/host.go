package httpapi

import (
	"net/http"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/version"
)

func (a *API) agentHost(_ http.ResponseWriter, r *request) (any, error) {
	if err := a.allow(r, rpc.ResourceOperator, rpc.AccessRead); err != nil {
		return nil, err
	}
	return a.cfg.Agent.Host(r.Context()), nil
}

// agentRelease is the release that an agent claims to be.
type agentRelease struct {
	SHA          string
	BuildDate    string
	HumanVersion string
	FIPS         string
}

func (a *API) agentVersion(_ http.ResponseWriter, r *request) (any, error) {
	if err := a.allow(r, rpc.ResourceAgent, rpc.AccessRead); err != nil {
		return nil, err
	}
	revision, date := version.Commit()
	return agentRelease{SHA: revision, BuildDate: date, HumanVersion: version.Consul}, nil
}
