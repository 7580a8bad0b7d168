package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/local"
	"github.com/hanse-project/hanse/rpc"
)

// newLocal makes a list of services and checks that is not carried to a catalog.
func newLocal(t testing.TB, node string) *local.State {
	t.Helper()
	s, err := local.New(local.Config{
		Node: catalog.RegisterRequest{Node: node, Address: "127.31.1.9"}, Members: func() int { return 1 }, Log: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recordedLocal holds what the agent held when the exchanges were recorded.
func recordedLocal(t *testing.T) *local.State {
	t.Helper()
	s := newLocal(t, "gamma")
	def, err := local.ParseService([]byte(`{"ID":"cache-1","Name":"cache","Tags":["redis"],"Meta":{"k":"v"},"Port":6379,
		"Check":{"CheckID":"cache-ttl","Name":"cache ttl","TTL":"600s","Status":"passing"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RegisterService(def, false); err != nil {
		t.Fatal(err)
	}
	return s
}

// webReader is a token that may read the service web, and nothing else.
type webReader struct{}

func (webReader) Allow(resource rpc.Resource, access rpc.Access, name string) bool {
	return resource == rpc.ResourceService && access == rpc.AccessRead && name == "web"
}
func (webReader) AllowPrefix(rpc.Resource, rpc.Access, string) bool { return false }
func (webReader) Holder() string                                    { return "token with AccessorID 'web'" }

func TestServicesOfAnAgentAskWhoMay(t *testing.T) {
	face, _ := newFace(t, func(c *Config) { c.Resolver = tokens{"nobody": stranger{}, "reader": webReader{}} })
	for _, body := range []string{`{"Name":"web","Check":{"CheckID":"web-ttl","TTL":"1h"}}`, `{"Name":"api","Check":{"CheckID":"api-ttl","TTL":"1h"}}`} {
		if w := do(face, "PUT", "/v1/agent/service/register", body); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if w := do(face, "PUT", "/v1/agent/check/register", `{"Name":"mem","TTL":"1h"}`); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, c := range []struct{ method, path, body, permission string }{
		{"PUT", "/v1/agent/service/register", `{"Name":"web"}`, `'service:write' on "web"`},
		{"PUT", "/v1/agent/service/register", `{"ID":"web","Name":"other"}`, `'service:write' on "other"`},
		{"PUT", "/v1/agent/service/deregister/web", "", `'service:write' on "web"`},
		{"PUT", "/v1/agent/service/maintenance/web?enable=true", "", `'service:write' on "web"`},
		{"PUT", "/v1/agent/maintenance?enable=true", "", `'node:write' on "alpha"`},
		{"PUT", "/v1/agent/check/register", `{"Name":"c","TTL":"1s"}`, `'node:write' on "alpha"`},
		{"PUT", "/v1/agent/check/register", `{"Name":"c","TTL":"1s","ServiceID":"web"}`, `'service:write' on "web"`},
		{"PUT", "/v1/agent/check/deregister/mem", "", `'node:write' on "alpha"`},
		{"PUT", "/v1/agent/check/pass/web-ttl", "", `'service:write' on "web"`},
		{"PUT", "/v1/agent/check/warn/web-ttl", "", `'service:write' on "web"`},
		{"PUT", "/v1/agent/check/fail/mem", "", `'node:write' on "alpha"`},
		{"PUT", "/v1/agent/check/update/web-ttl", `{"Status":"passing"}`, `'service:write' on "web"`},
		{"GET", "/v1/agent/service/api", "", `'service:read' on "api"`},
		{"GET", "/v1/agent/health/service/id/api", "", `'service:read' on "api"`},
		{"GET", "/v1/agent/health/service/name/api", "", `'service:read' on "api"`},
	} {
		r := httptest.NewRequest(c.method, c.path, reader(c.body))
		r.Header.Set("X-Consul-Token", "nobody")
		w := httptest.NewRecorder()
		face.ServeHTTP(w, r)
		if w.Code != 403 || !strings.HasSuffix(w.Body.String(), c.permission) {
			t.Errorf("%s %s: %d %s", c.path, c.body, w.Code, w.Body)
		}
	}
	for path, want := range map[string]string{
		"/v1/agent/services?token=nobody": "{}", "/v1/agent/checks?token=nobody": "{}",
		"/v1/agent/services?token=reader": `{"web":`, "/v1/agent/checks?token=reader": `{"web-ttl":`,
		"/v1/agent/service/web?token=reader": `{"ID":"web"`, "/v1/agent/checks?filter=Name+%3D%3D+mem": `{"mem":`,
	} {
		w := do(face, "GET", path, "")
		if filtered := w.Header().Get("X-Consul-Results-Filtered-By-Acls"); (filtered == "true") != (strings.Contains(path, "token") && !strings.Contains(path, "service/")) {
			t.Errorf("%s: filtered is %q", path, filtered)
		}
		if w.Code != 200 || !strings.HasPrefix(w.Body.String(), want) || strings.Contains(w.Body.String(), "api") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for path, want := range map[string]int{
		"/v1/agent/services?filter=nope": 400, "/v1/agent/checks?filter=Nope+%3D%3D+x": 400, "/v1/agent/service/web?wait=x&hash=y": 400,
		"/v1/agent/service/": 400, "/v1/agent/health/service/id/": 400, "/v1/agent/health/service/name/": 400,
		"/v1/agent/health/service/id/nosuch?format=text": 404, "/v1/agent/health/service/id/web?format=text": 503,
	} {
		if w := do(face, "GET", path, ""); w.Code != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// A check of a service decides the status that load balancers look at.
func TestHealthOfAnAgentsService(t *testing.T) {
	face, _ := newFace(t, nil)
	if w := do(face, "PUT", "/v1/agent/service/register", `{"Name":"web","Check":{"CheckID":"c","TTL":"1h"}}`); w.Code != 200 {
		t.Fatal(w.Body)
	}
	for _, c := range []struct {
		put    string
		status int
		text   string
	}{
		{"/v1/agent/check/pass/c", 200, "passing"}, {"/v1/agent/check/warn/c", 429, "warning"}, {"/v1/agent/check/fail/c", 503, "critical"},
		{"/v1/agent/check/pass/c", 200, "passing"}, {"/v1/agent/maintenance?enable=true", 503, "maintenance"},
		{"/v1/agent/maintenance?enable=false", 200, "passing"}, {"/v1/agent/service/maintenance/web?enable=true", 503, "maintenance"},
	} {
		if w := do(face, "PUT", c.put, ""); w.Code != 200 {
			t.Fatalf("%s: %s", c.put, w.Body)
		}
		for _, path := range []string{"id/web", "name/web"} {
			w := do(face, "GET", "/v1/agent/health/service/"+path+"?format=text", "")
			if w.Code != c.status || w.Body.String() != c.text || w.Header().Get("X-Consul-Reason") != c.text {
				t.Errorf("%s after %s: %d %s", path, c.put, w.Code, w.Body)
			}
		}
	}
}
