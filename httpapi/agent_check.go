package httpapi

import (
	"net/http"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/local"
	"github.com/hanse-project/hanse/rpc"
)

func (a *API) agentChecks(w http.ResponseWriter, r *request) (any, error) {
	call, err := a.caller(r)
	if err != nil {
		return nil, err
	}
	filter, err := catalog.NewFilter[*catalog.HealthCheck](r.query.Get("filter"))
	if err != nil {
		return nil, badRequest(err.Error())
	}
	all := a.cfg.Local.Checks()
	for id, c := range all {
		keep, err := filter.Keep(c)
		if err != nil {
			return nil, badRequest(err.Error())
		}
		if keep && c.ServiceName != "" {
			keep = call.Keep(rpc.ResourceService, c.ServiceName)
		} else if keep {
			keep = call.Keep(rpc.ResourceNode, a.cfg.Node)
		}
		if !keep {
			delete(all, id)
		}
	}
	tellFiltered(w, call)
	return all, nil
}

func (a *API) agentCheckRegister(_ http.ResponseWriter, r *request) (any, error) {
	body, err := r.body(maxBody)
	if err != nil {
		return nil, err
	}
	def, err := local.ParseCheck(body)
	if err != nil {
		return nil, localError(err)
	}
	if def.Name == "" {
		return nil, badRequest("Missing check name")
	}
	service := ""
	if s, _, _, found := a.cfg.Local.Service(def.ServiceID); found {
		service = s.Service
	}
	if err := a.mayCheck(r, service); err != nil {
		return nil, err
	}
	if def.Token == "" {
		def.Token = r.ownToken()
	}
	return nil, localError(a.cfg.Local.RegisterCheck(def))
}

// ownCheck asks whether the caller may write the check that the path names.
func (a *API) ownCheck(r *request) error {
	if r.name == "" {
		return badRequest("Missing check ID")
	}
	c, found := a.cfg.Local.Check(r.name)
	if !found {
		return nil // who changes it says so
	}
	return a.mayCheck(r, c.ServiceName)
}

func (a *API) agentCheckDeregister(_ http.ResponseWriter, r *request) (any, error) {
	if err := a.ownCheck(r); err != nil {
		return nil, err
	}
	return nil, localError(a.cfg.Local.DeregisterCheck(r.name))
}

// agentCheckSet is for those whose path says the status.
func (a *API) agentCheckSet(status string) handler {
	return func(_ http.ResponseWriter, r *request) (any, error) {
		if err := a.ownCheck(r); err != nil {
			return nil, err
		}
		return nil, localError(a.cfg.Local.SetTTL(r.name, status, r.query.Get("note")))
	}
}

func (a *API) agentCheckUpdate(_ http.ResponseWriter, r *request) (any, error) {
	update := struct{ Status, Output string }{}
	if err := r.decode(&update); err != nil {
		return nil, err
	}
	if err := a.ownCheck(r); err != nil {
		return nil, err
	}
	return nil, localError(a.cfg.Local.SetTTL(r.name, update.Status, update.Output))
}
