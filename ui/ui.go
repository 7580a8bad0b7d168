package ui

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the page
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/rpc"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var styleCSS string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"style": func() template.CSS { return template.CSS(styleCSS) },
}).Parse(pageHTML))

// policy lets a browser show the page and its own style, and nothing else.
var policy = func() string {
	hash := sha256.Sum256([]byte(styleCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; img-src data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
}()

// Config is what the page needs.
type Config struct {
	// Caller carries the calls: the method table of a server, or the way to one.
	Caller rpc.Caller
	// Datacenter is the agent's own, and Node its name.
	Datacenter string
	Node       string
	// Version stands at the foot of the page.
	Version string
	Log     hclog.Logger
}

// UI is the handler of everything below /ui/.
type UI struct{ cfg Config }

// New makes the handler.
func New(cfg Config) *UI { return &UI{cfg} }

// prefix is where the page lives.
const prefix = "/ui/"

// ServeHTTP implements http.Handler.
func (u *UI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method "+r.Method+" not allowed: this page only reads", http.StatusMethodNotAllowed)
		return
	}
	rest, below := strings.CutPrefix(r.URL.Path, prefix)
	if !below || rest != "" {
		http.Redirect(w, r, place(rest), http.StatusFound)
		return
	}
	dc := r.URL.Query().Get("dc")
	if dc == "" {
		dc = u.cfg.Datacenter
	}
	var out bytes.Buffer
	if err := page.Execute(&out, u.look(r.Context(), dc, r.Header.Get("X-Consul-Token"))); err != nil {
		u.cfg.Log.Error("page not rendered", "error", err)
		http.Error(w, "The page could not be rendered: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(out.Bytes()) // a client that is gone reads no error
}

// place is where a link to an older web UI, such as dc1/nodes or dc1/services/web, leads.
func place(path string) string {
	parts := strings.Split(path, "/")
	if parts[0] == "" {
		return prefix
	}
	to := prefix + "?dc=" + url.QueryEscape(parts[0])
	if len(parts) > 1 && slices.Contains([]string{"nodes", "services"}, parts[1]) {
		to += "#" + parts[1]
	}
	return to
}
