package httpapi

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/hanse-project/hanse/rpc"
)

// enable is the switch of a maintenance, which has to be there.
func (r *request) enable() (bool, error) {
	text := r.query.Get("enable")
	if text == "" {
		return false, badRequest("Missing value for enable")
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, badRequest(fmt.Sprintf("Invalid value for enable: %q", text))
	}
	return on, nil
}

func (a *API) agentServiceMaintenance(_ http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, badRequest("Missing service ID")
	}
	on, err := r.enable()
	if err != nil {
		return nil, err
	}
	if err := a.ownService(r); err != nil {
		return nil, err
	}
	return nil, localError(a.cfg.Local.MaintainService(r.name, on, r.query.Get("reason"), r.ownToken()))
}

func (a *API) agentMaintenance(_ http.ResponseWriter, r *request) (any, error) {
	on, err := r.enable()
	if err != nil {
		return nil, err
	}
	if err := a.allow(r, rpc.ResourceNode, rpc.AccessWrite); err != nil {
		return nil, err
	}
	return nil, localError(a.cfg.Local.MaintainNode(on, r.query.Get("reason"), r.ownToken()))
}
