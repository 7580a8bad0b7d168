package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/local"
	"github.com/hanse-project/hanse/rpc"
)

// localRoutes are about the services and checks of the agent itself.
func (a *API) localRoutes() map[string]route {
	if a.cfg.Local == nil {
		return nil
	}
	return map[string]route{
		"/v1/agent/services":             {http.MethodGet: a.agentServices},
		"/v1/agent/service/":             {http.MethodGet: a.agentService},
		"/v1/agent/service/register":     {http.MethodPut: a.agentServiceRegister},
		"/v1/agent/service/deregister/":  {http.MethodPut: a.agentServiceDeregister},
		"/v1/agent/service/maintenance/": {http.MethodPut: a.agentServiceMaintenance},
		"/v1/agent/maintenance":          {http.MethodPut: a.agentMaintenance},
		"/v1/agent/health/service/id/":   {http.MethodGet: a.agentHealthByID},
		"/v1/agent/health/service/name/": {http.MethodGet: a.agentHealthByName},
		"/v1/agent/checks":               {http.MethodGet: a.agentChecks},
		"/v1/agent/check/register":       {http.MethodPut: a.agentCheckRegister},
		"/v1/agent/check/deregister/":    {http.MethodPut: a.agentCheckDeregister},
		"/v1/agent/check/pass/":          {http.MethodPut: a.agentCheckSet(catalog.Passing)},
		"/v1/agent/check/warn/":          {http.MethodPut: a.agentCheckSet(catalog.Warning)},
		"/v1/agent/check/fail/":          {http.MethodPut: a.agentCheckSet(catalog.Critical)},
		"/v1/agent/check/update/":        {http.MethodPut: a.agentCheckUpdate},
	}
}

// localService is a service as its agent shows it.
type localService struct {
	Kind              string `json:",omitempty"`
	ID                string
	Service           string
	Tags              catalog.Tags
	Meta              map[string]string
	Port              int
	Address           string
	SocketPath        string                            `json:",omitempty"`
	TaggedAddresses   map[string]catalog.ServiceAddress `json:",omitempty"`
	Weights           *catalog.Weights
	EnableTagOverride bool
	ContentHash       string            `json:",omitempty" bexpr:"-"`
	Proxy             *catalog.Proxy    `json:",omitempty"`
	Connect           *catalog.Connect  `json:",omitempty"`
	Locality          *catalog.Locality `json:",omitempty" bexpr:"-"`
	Datacenter        string            `json:",omitempty" bexpr:"-"`
}

func (a *API) shown(s *catalog.NodeService) *localService {
	row := &localService{
		Kind: s.Kind, ID: s.ID, Service: s.Service, Tags: s.Tags, Meta: s.Meta, Port: s.Port, Address: s.Address,
		SocketPath: s.SocketPath, TaggedAddresses: s.TaggedAddresses, Weights: s.Weights,
		EnableTagOverride: s.EnableTagOverride, Locality: s.Locality, Datacenter: a.cfg.Datacenter,
	}
	if s.Kind != "" {
		row.Proxy = &s.Proxy
	}
	if s.Connect.Native {
		row.Connect = &s.Connect
	}
	return row
}

// caller is what the holder of the request's token may do.
func (a *API) caller(r *request) (*rpc.Call, error) {
	authz, err := a.cfg.Resolver.Resolve(r.Context(), r.token())
	if err != nil {
		return nil, err
	}
	return &rpc.Call{Authz: authz}, nil
}

// mayService asks whether the caller may do something with services of these names.
func (a *API) mayService(r *request, access rpc.Access, names ...string) error {
	call, err := a.caller(r)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := call.Allow(rpc.ResourceService, access, name); err != nil {
			return err
		}
	}
	return nil
}

// mayCheck asks whether the caller may write a check of the named service, or of the
// node if there is none.
func (a *API) mayCheck(r *request, service string) error {
	if service != "" {
		return a.mayService(r, rpc.AccessWrite, service)
	}
	return a.allow(r, rpc.ResourceNode, rpc.AccessWrite)
}

// localError gives the errors of the agent's own list their statuses.
func localError(err error) error {
	switch e := err.(type) {
	case *local.InvalidError:
		return badRequest(e.Error())
	case *local.NotFoundError:
		return &statusError{http.StatusNotFound, e.Error()}
	}
	return err
}

// tellFiltered says in a header whether a list is shorter than it would be for others.
func tellFiltered(w http.ResponseWriter, call *rpc.Call) {
	if call.Filtered() {
		w.Header()["X-Consul-Results-Filtered-By-Acls"] = yes
	}
}

func (a *API) agentServices(w http.ResponseWriter, r *request) (any, error) {
	call, err := a.caller(r)
	if err != nil {
		return nil, err
	}
	filter, err := catalog.NewFilter[*localService](r.query.Get("filter"))
	if err != nil {
		return nil, badRequest(err.Error())
	}
	all := map[string]*localService{}
	for id, s := range a.cfg.Local.Services() {
		row := a.shown(s)
		keep, err := filter.Keep(row)
		if err != nil {
			return nil, badRequest(err.Error())
		}
		if keep && call.Keep(rpc.ResourceService, s.Service) {
			all[id] = row
		}
	}
	tellFiltered(w, call)
	return all, nil
}

// agentService shows one service. With the hash of a content it waits for another one.
func (a *API) agentService(w http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, badRequest("Missing service ID")
	}
	wait := time.Duration(0)
	if text := r.query.Get("wait"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, badRequest("Invalid wait time")
		}
		wait = d
	}
	known := r.query.Get("hash")
	ctx, cancel := context.WithTimeout(r.Context(), a.cfg.Waits.Of(wait))
	defer cancel()
	for {
		s, hash, changed, found := a.cfg.Local.Service(r.name)
		if !found {
			return nil, &statusError{http.StatusNotFound, "unknown service ID: " + r.name}
		}
		if err := a.mayService(r, rpc.AccessRead, s.Service); err != nil {
			return nil, err
		}
		if known == hash && ctx.Err() == nil {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
			}
		}
		w.Header().Set("X-Consul-Contenthash", hash)
		row := a.shown(s)
		row.ContentHash = hash
		return row, nil
	}
}

func (a *API) agentServiceRegister(_ http.ResponseWriter, r *request) (any, error) {
	body, err := r.body(maxBody)
	if err != nil {
		return nil, err
	}
	def, err := local.ParseService(body)
	if err != nil {
		return nil, localError(err)
	}
	if def.Name == "" {
		return nil, badRequest("Missing service name")
	}
	names := []string{def.Name}
	if side := def.SidecarName(); side != "" {
		names = append(names, side)
	}
	id := def.ID
	if id == "" {
		id = def.Name
	}
	if old, _, _, found := a.cfg.Local.Service(id); found && old.Service != def.Name {
		names = append(names, old.Service)
	}
	if err := a.mayService(r, rpc.AccessWrite, names...); err != nil {
		return nil, err
	}
	if def.Token == "" {
		def.Token = r.ownToken()
	}
	return nil, localError(a.cfg.Local.RegisterService(def, r.flag("replace-existing-checks")))
}

// ownService asks whether the caller may write the service that the path names.
func (a *API) ownService(r *request) error {
	if r.name == "" {
		return badRequest("Missing service ID")
	}
	s, _, _, found := a.cfg.Local.Service(r.name)
	if !found {
		return nil // who changes it says so
	}
	return a.mayService(r, rpc.AccessWrite, s.Service)
}

func (a *API) agentServiceDeregister(_ http.ResponseWriter, r *request) (any, error) {
	if err := a.ownService(r); err != nil {
		return nil, err
	}
	return nil, localError(a.cfg.Local.DeregisterService(r.name))
}
