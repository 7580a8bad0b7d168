package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/hanse-project/hanse/cache"
	"github.com/hanse-project/hanse/mesh"
	"github.com/hanse-project/hanse/mesh/cert"
	"github.com/hanse-project/hanse/rpc"
)

// Leaves keeps the certificates of the agent's services.
type Leaves interface {
	// Get returns the certificate of a service for the holder of a token, with its key. It
	// waits for one whose ModifyIndex is above after, until ctx ends. hit says that it was
	// there.
	Get(ctx context.Context, service, token string, after uint64) (leaf *mesh.Issued, hit bool, err error)
}

func (a *API) meshRoutes() map[string]route {
	routes := map[string]route{
		"/v1/connect/ca/roots":         {http.MethodGet: a.caRoots},
		"/v1/connect/ca/configuration": {http.MethodGet: a.caConfig, http.MethodPut: a.caSetConfig},
	}
	if a.cfg.Leaves != nil {
		routes["/v1/agent/connect/authorize"] = route{http.MethodPost: a.connectAuthorize}
		routes["/v1/agent/connect/ca/roots"] = route{http.MethodGet: a.agentRoots}
		routes["/v1/agent/connect/ca/leaf/"] = route{http.MethodGet: a.agentLeaf}
	}
	return routes
}

// rootsBody is the answer about the roots.
type rootsBody struct {
	ActiveRootID string
	TrustDomain  string
	Roots        []*mesh.Root
}

func shownRoots(rep *mesh.Roots) rootsBody {
	return rootsBody{rep.ActiveRootID, rep.TrustDomain, list(rep.Roots)}
}

// caRoots shows the roots, with ?pem as the one text that most programs take.
func (a *API) caRoots(w http.ResponseWriter, r *request) (any, error) {
	req := &mesh.RootsRequest{}
	rep, err := ask(a, w, r, &mesh.ListRoots, req, &req.Read)
	if err != nil {
		return nil, err
	}
	if !r.flag("pem") {
		return shownRoots(rep), nil
	}
	w.Header().Set("Content-Type", "application/pem-certificate-chain")
	for _, root := range rep.Roots {
		for _, text := range append([]string{root.RootCert}, root.IntermediateCerts...) {
			if _, err := w.Write([]byte(strings.TrimSpace(text) + "\n")); err != nil {
				break // a client that is gone reads nothing
			}
		}
	}
	return written{}, nil
}

// agentRoots answers from the agent's cache, which follows the servers. The roots are no
// secret, so all callers share one answer.
func (a *API) agentRoots(w http.ResponseWriter, r *request) (any, error) {
	req := &mesh.RootsRequest{}
	rep, err := answered[mesh.RootsRequest, mesh.Roots](a, w, r, &req.Read, func() (*mesh.Roots, error) {
		req.Token = ""
		if a.cfg.Cache == nil || req.RequireConsistent {
			w.Header()["X-Cache"] = cacheMiss
			return mesh.ListRoots.Call(r.Context(), a.cfg.Caller, req)
		}
		req.UseCache = true
		rep, from, err := cache.Get(r.Context(), a.cfg.Cache, &mesh.ListRoots, req)
		if err == nil {
			setFrom(w, from)
		}
		return rep, err
	})
	if err != nil {
		return nil, err
	}
	return shownRoots(rep), nil
}

func (a *API) agentLeaf(w http.ResponseWriter, r *request) (any, error) {
	if r.name == "" || strings.Contains(r.name, "/") {
		return nil, badRequest("the path ends in the name of a service: /v1/agent/connect/ca/leaf/web")
	}
	var env rpc.Read
	if err := a.read(r, &env); err != nil {
		return nil, err
	}
	if env.Datacenter != a.cfg.Datacenter {
		return nil, badRequest("an agent has certificates of its own datacenter alone: leave dc out, or ask an agent of " + env.Datacenter)
	}
	ctx, cancel := context.WithTimeout(r.Context(), env.Wait())
	defer cancel()
	leaf, hit, err := a.cfg.Leaves.Get(ctx, r.name, env.Token, env.MinQueryIndex)
	if err != nil {
		return nil, err
	}
	h := w.Header()
	h["X-Consul-Index"] = []string{strconv.FormatUint(leaf.ModifyIndex, 10)}
	setFrom(w, cache.From{Hit: hit})
	return leaf, nil
}

// connectAuthorize says whether a service may connect to another. There are no intentions
// yet: whoever has a certificate may.
func (a *API) connectAuthorize(w http.ResponseWriter, r *request) (any, error) {
	var body struct {
		Target           string
		ClientCertURI    string
		ClientCertSerial string
		Namespace        string
		Partition        string
	}
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	if body.Target == "" {
		return nil, badRequest("Target service must be specified")
	}
	if body.ClientCertURI == "" {
		return nil, badRequest("ClientCertURI must be specified: the URI of the client's certificate")
	}
	switch _, err := cert.ParseServiceID(body.ClientCertURI); err.(type) {
	case nil:
	case cert.NotService:
		return nil, badRequest("ClientCertURI not a valid Service identifier: " + body.ClientCertURI)
	default:
		return nil, badRequest("ClientCertURI not a valid Connect identifier: " + err.Error())
	}
	if err := a.mayService(r, rpc.AccessWrite, body.Target); err != nil {
		return nil, err
	}
	setFrom(w, cache.From{})
	return struct {
		Authorized bool
		Reason     string
	}{true, "Default behavior configured by ACLs"}, nil
}

func (a *API) caConfig(_ http.ResponseWriter, r *request) (any, error) {
	req := &mesh.ConfigRequest{}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	return nilOnError(mesh.GetConfig.Call(r.Context(), a.cfg.Caller, req))
}

// nilOnError keeps a nil pointer from being rendered as one.
func nilOnError[T any](v *T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (a *API) caSetConfig(_ http.ResponseWriter, r *request) (any, error) {
	req := &mesh.ConfigSetRequest{Config: &mesh.Config{}}
	if err := r.decode(req.Config); err != nil {
		return nil, err
	}
	a.write(r, &req.Write)
	_, err := mesh.SetConfig.Call(r.Context(), a.cfg.Caller, req)
	return nil, err
}
