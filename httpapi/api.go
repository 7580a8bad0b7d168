package httpapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/rpc"
)

// Config is what the face needs.
type Config struct {
	// Caller carries the calls: the method table of a server, or the way to one.
	Caller rpc.Caller
	// Agent is the agent whose face this is.
	Agent Agent
	// Snapshots carries archives.
	Snapshots Snapshots
	// Resolver finds what the caller may ask of the agent itself.
	Resolver rpc.Resolver
	// Datacenter is the agent's own, and Node its name.
	Datacenter string
	Node       string
	// MaxValue is the largest value of a key, in bytes.
	MaxValue int64
	// MaxTxn is the largest body of a transaction, in bytes.
	MaxTxn int64
	// ResponseHeaders are added to every answer.
	ResponseHeaders map[string]string
	// UI answers below /ui/. It is nil without a web UI.
	UI  http.Handler
	Log hclog.Logger
}

// API is the handler of an agent's HTTP ports.
type API struct {
	cfg   Config
	exact map[string]route
	// below are the routes of paths that end in a name, the longest first.
	below []prefixRoute
}

type prefixRoute struct {
	prefix string
	route
}

// route is one endpoint: a function by HTTP method.
type route map[string]handler

// handler answers one request. A nil value is an empty body.
type handler func(w http.ResponseWriter, r *request) (any, error)

// New makes the handler.
func New(cfg Config) *API {
	a := &API{cfg: cfg, exact: map[string]route{}}
	for _, routes := range []map[string]route{a.kvRoutes()} {
		for path, r := range routes {
			a.add(path, r)
		}
	}
	slices.SortFunc(a.below, func(x, y prefixRoute) int { return len(y.prefix) - len(x.prefix) })
	return a
}

// add takes a path as it is, or one that ends in "/" for everything below.
func (a *API) add(path string, r route) {
	if strings.HasSuffix(path, "/") {
		a.below = append(a.below, prefixRoute{path, r})
		return
	}
	a.exact[path] = r
}

// find does not clean paths: a key may hold "//" and "..".
func (a *API) find(path string) (r route, rest string, found bool) {
	if r, found = a.exact[path]; found {
		return r, "", true
	}
	for _, p := range a.below {
		if strings.HasPrefix(path, p.prefix) {
			return p.route, path[len(p.prefix):], true
		}
	}
	return nil, "", false
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	header := w.Header()
	for name, value := range a.cfg.ResponseHeaders {
		header.Set(name, value)
	}
	if a.cfg.UI != nil && a.serveUI(w, hr) {
		return
	}
	r, rest, found := a.find(hr.URL.Path)
	if !found {
		a.notFound(w, hr)
		return
	}
	header["Vary"] = varyEncoding
	header["X-Consul-Default-Acl-Policy"] = policyAllow
	h := r[hr.Method]
	if h == nil {
		a.wrongMethod(w, hr, r)
		return
	}
	req := &request{Request: hr, name: rest, query: parseQuery(hr.URL.RawQuery)}
	value, err := h(w, req)
	if err != nil {
		a.fail(w, req, err)
		return
	}
	a.render(w, req, value)
}

// header values that every answer shares.
var (
	varyEncoding = []string{"Accept-Encoding"}
	policyAllow  = []string{"allow"}
)

func (a *API) wrongMethod(w http.ResponseWriter, hr *http.Request, r route) {
	order := []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete}
	allowed := []string{http.MethodOptions}
	for _, m := range order {
		if r[m] != nil {
			allowed = append(allowed, m)
		}
	}
	for _, m := range slices.Sorted(maps.Keys(r)) {
		if !slices.Contains(allowed, m) {
			allowed = append(allowed, m)
		}
	}
	w.Header().Set("Allow", strings.Join(allowed, ","))
	if hr.Method == http.MethodOptions {
		w.Header()["Content-Type"] = contentJSON
		return
	}
	http.Error(w, "method "+hr.Method+" not allowed", http.StatusMethodNotAllowed)
}

func (a *API) notFound(w http.ResponseWriter, hr *http.Request) {
	text := "Invalid URL path: not a recognized HTTP API endpoint"
	if !strings.HasPrefix(hr.URL.Path, "/v1/") {
		text = "404 page not found"
	}
	http.Error(w, text, http.StatusNotFound)
}

// serveUI answers what belongs to the web UI, and leads "/" there.
func (a *API) serveUI(w http.ResponseWriter, hr *http.Request) bool {
	switch {
	case hr.URL.Path == "/":
		http.Redirect(w, hr, "/ui/", http.StatusMovedPermanently)
	case hr.URL.Path == "/ui" || strings.HasPrefix(hr.URL.Path, "/ui/"):
		a.cfg.UI.ServeHTTP(w, hr)
	default:
		return false
	}
	return true
}
