package httpapi

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/acltoken"
	"github.com/hanse-project/hanse/cache"
	"github.com/hanse-project/hanse/event"
	"github.com/hanse-project/hanse/local"
	"github.com/hanse-project/hanse/rpc"
)

// Config is what the face needs.
type Config struct {
	// Caller carries the calls: the method table of a server, or the way to one.
	Caller rpc.Caller
	// Cache keeps answers for those who ask with ?cached. Without it they come from Caller.
	Cache *cache.Cache
	// Agent is the agent whose face this is.
	Agent Agent
	// Local are the services and checks of the agent. Without them there are no endpoints
	// about them.
	Local *local.State
	// Events are those that the agent has heard.
	Events *event.History
	// Leaves keeps the certificates of the agent's services. Without it there are no
	// endpoints about them.
	Leaves Leaves
	// Snapshots carries archives. Without it there is no /v1/snapshot.
	Snapshots Snapshots
	// Tokens are the agent's own. The default one stands in where a request has none.
	Tokens *acltoken.Store
	// ACLs tells whether tokens can be set over HTTP.
	ACLs bool
	// Resolver finds what the caller may ask of the agent itself.
	Resolver rpc.Resolver
	// Datacenter is the agent's own, and Node its name.
	Datacenter string
	Node       string
	// Waits bounds blocking queries.
	Waits rpc.Waits
	// Profiles serves /debug/pprof/.
	Profiles bool
	// TranslateWAN shows the WAN addresses of what is in other datacenters.
	TranslateWAN bool
	// MaxValue is the largest value of a key, in bytes.
	MaxValue int64
	// MaxTxn is the largest body of a transaction, in bytes.
	MaxTxn int64
	// ResponseHeaders are added to every answer.
	ResponseHeaders map[string]string
	// BlockEndpoints are beginnings of paths that answer 403.
	BlockEndpoints []string
	// AllowWriteFrom are the networks that may change anything, all if there are none.
	AllowWriteFrom []netip.Prefix
	// UI answers below /ui/. It is nil without a web UI.
	UI  http.Handler
	Log hclog.Logger
}

// API is the handler of an agent's HTTP ports.
type API struct {
	cfg   Config
	exact map[string]route
	// below are the routes of paths that end in a name, the longest first.
	below    []prefixRoute
	identity identityCache
}

type prefixRoute struct {
	prefix string
	route
}

// route is one endpoint: a function by HTTP method.
type route map[string]handler

// handler answers one request: what it returns is rendered as JSON, with the request's
// status. nil is an empty body, and [written] says that the handler wrote by itself.
type handler func(w http.ResponseWriter, r *request) (any, error)

type written struct{}

// New makes the handler.
func New(cfg Config) *API {
	a := &API{cfg: cfg, exact: map[string]route{}}
	if cfg.UI != nil {
		a.cfg.UI = compressed(cfg.UI)
	}
	for _, routes := range []map[string]route{
		a.kvRoutes(), a.sessionRoutes(), a.txnRoutes(), a.queryRoutes(), a.eventRoutes(), a.catalogRoutes(), a.healthRoutes(), a.coordinateRoutes(), a.debugRoutes(),
		a.agentRoutes(), a.localRoutes(), a.statusRoutes(), a.operatorRoutes(), a.snapshotRoutes(), a.peerRoutes(),
		a.configRoutes(), a.meshRoutes(), a.replicateRoutes(),
	} {
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
	for i := range a.below {
		if p := &a.below[i]; strings.HasPrefix(path, p.prefix) {
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
	if a.cfg.TranslateWAN {
		header["X-Consul-Translate-Addresses"] = headerTranslated
	}
	path := hr.URL.Path
	r, rest, found := a.find(path)
	if !found {
		a.elsewhere(w, hr)
		return
	}
	header["Vary"] = varyEncoding
	header["X-Consul-Default-Acl-Policy"] = policyAllow
	h := r[hr.Method]
	if h == nil {
		a.wrongMethod(w, hr, r)
		return
	}
	start := time.Now()
	req := &request{Request: hr, name: rest, status: http.StatusOK, standIn: a.cfg.Tokens.Get(acltoken.Default)}
	value, err := any(nil), a.admit(req)
	if err == nil {
		patientBody(w, hr)
		if req.everywhere() {
			value, err = a.askEverywhere(w, req, h)
		} else {
			value, err = h(w, req)
		}
	}
	if err != nil {
		a.fail(w, req, err)
	} else {
		a.render(w, req, value)
	}
	if a.cfg.Log.IsDebug() {
		a.cfg.Log.Debug("request answered", "method", hr.Method, "path", path, "from", hr.RemoteAddr, "duration", time.Since(start))
	}
}

// header values that every answer shares.
var (
	varyEncoding = []string{"Accept-Encoding"}
	policyAllow  = []string{"allow"}
)

func (a *API) wrongMethod(w http.ResponseWriter, hr *http.Request, r route) {
	order := []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete}
	allowed := slices.DeleteFunc(order, func(m string) bool { return r[m] == nil })
	for _, m := range slices.Sorted(maps.Keys(r)) {
		if !slices.Contains(allowed, m) {
			allowed = append(allowed, m)
		}
	}
	w.Header().Set("Allow", strings.Join(append([]string{http.MethodOptions}, allowed...), ","))
	if hr.Method == http.MethodOptions {
		w.Header()["Content-Type"] = contentJSON
		return
	}
	plainText(w, http.StatusMethodNotAllowed, "method "+hr.Method+" not allowed")
}

// elsewhere answers what is no endpoint: the web UI, and whatever is not there.
func (a *API) elsewhere(w http.ResponseWriter, hr *http.Request) {
	path := hr.URL.Path
	switch _, _, below := a.find(path + "/"); {
	case below:
		u := *hr.URL
		u.Path += "/"
		u.RawPath = ""
		http.Redirect(w, hr, u.RequestURI(), http.StatusMovedPermanently)
	case strings.HasPrefix(path, "/v1/"):
		notHere(w, hr)
	case path != "/" && path != "/ui" && !strings.HasPrefix(path, "/ui/"):
		plainText(w, http.StatusNotFound, "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'\n")
	case a.cfg.UI == nil:
		status := http.StatusNotFound
		if path == "/" {
			status = http.StatusOK
		}
		plainText(w, status, "Consul Agent: UI disabled. To enable, set ui_config.enabled=true in the agent configuration and restart.")
	case path == "/":
		http.Redirect(w, hr, "/ui/", http.StatusMovedPermanently)
	default:
		a.cfg.UI.ServeHTTP(w, hr)
	}
}
