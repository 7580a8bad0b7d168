package httpapi

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/hanse-project/hanse/mesh"
	"github.com/hanse-project/hanse/mesh/leaf"
)

// trust gives a datacenter its first root.
func trust(t testing.TB, s *server) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { mesh.NewKeeper(s.store, s, nil, hclog.NewNullLogger()).Run(ctx) })
	defer wg.Wait()
	defer stop()
	if _, err := rootsOf(&callers{s.dc, map[string]*server{s.dc: s}, tokens{}})(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
}

func rootsOf(c *callers) func(ctx context.Context, after uint64) (*mesh.Roots, error) {
	return func(ctx context.Context, after uint64) (*mesh.Roots, error) {
		req := &mesh.RootsRequest{}
		req.Datacenter, req.MinQueryIndex = c.here, after
		return mesh.ListRoots.Call(ctx, c, req)
	}
}

// newLeaves keeps the certificates of an agent.
func newLeaves(t testing.TB, c *callers) *leaf.Manager {
	m := leaf.New(leaf.Config{Caller: c, Roots: rootsOf(c), Datacenter: c.here, Log: hclog.NewNullLogger()})
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
	return m
}

func TestBadRequestsAboutTheMesh(t *testing.T) {
	s := newServer(t, "dc1", raft.Server{ID: "s"}, noKeys("alpha"))
	trust(t, s)
	c := &callers{"dc1", map[string]*server{"dc1": s}, tokens{}}
	base := listen(t, New(Config{
		Caller: c, Leaves: newLeaves(t, c), Agent: &body{}, Local: recordedLocal(t), Resolver: c.resolver, Datacenter: "dc1", Node: "alpha",
		MaxValue: 512 << 10, MaxTxn: 512 << 10, Log: hclog.NewNullLogger(),
	})).URL
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v1/agent/connect/ca/leaf/", "", 400, "ends in the name of a service"},
		{"GET", "/v1/agent/connect/ca/leaf/a/b", "", 400, "ends in the name of a service"},
		{"GET", "/v1/agent/connect/ca/leaf/web?index=x", "", 400, "Invalid index"},
		{"GET", "/v1/agent/connect/ca/leaf/web?dc=dc2", "", 400, "own datacenter"},
		{"GET", "/v1/connect/ca/roots?pem=true", "", 200, "-----BEGIN CERTIFICATE-----"},
		{"GET", "/v1/connect/ca/roots?dc=dc7", "", 500, "No path to datacenter"},
		{"PUT", "/v1/connect/ca/configuration", `{`, 400, "Request decode failed"},
		{"PUT", "/v1/connect/ca/configuration", `{"Nope":1}`, 400, "unknown field"},
		{"PUT", "/v1/connect/ca/configuration", `{"Provider":"consul","Config":{"LeafCertTTL":"1m"}}`, 500, "greater or equal than 1h"},
		{"PUT", "/v1/connect/ca/configuration", `{"Provider":"vault"}`, 500, "not supported"},
		{"POST", "/v1/agent/connect/authorize", `{"Target":"","ClientCertURI":"x"}`, 400, "Target service must be specified"},
		{"POST", "/v1/agent/connect/authorize", `{"Target":"db"}`, 400, "ClientCertURI must be specified"},
		{"POST", "/v1/agent/connect/authorize", `{"Target":"db","ClientCertURI":"http://x"}`, 400, "not a valid Connect identifier"},
		{"POST", "/v1/agent/connect/authorize", `{"Target":"db","ClientCertURI":"spiffe://x.consul"}`, 400, "not a valid Service identifier"},
		{"GET", "/v1/config/nope", "", 400, "invalid config entry kind: nope"},
		{"GET", "/v1/config/nope/x", "", 400, "invalid config entry kind: nope"},
		{"GET", "/v1/config/", "", 404, "Must provide either a kind"},
		{"DELETE", "/v1/config/service-defaults", "", 404, "Must provide both a kind and name"},
		{"DELETE", "/v1/config/nope/x", "", 400, "invalid config entry kind: nope"},
		{"DELETE", "/v1/config/mesh/x", "", 400, `only "mesh" is supported`},
		{"DELETE", "/v1/config/service-defaults/x?cas=a", "", 400, "Invalid cas value"},
		{"PUT", "/v1/config?cas=-1", `{"Kind":"mesh"}`, 400, "Invalid cas value"},
		{"PUT", "/v1/config", `[]`, 400, "Request decoding failed"},
		{"PUT", "/v1/config", ``, 400, "Request decoding failed"},
		{"GET", "/v1/config/service-defaults?filter=Nope", "", 500, "evaluator"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, base+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		rep, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(rep.Body)
		rep.Body.Close()
		if err != nil || rep.StatusCode != c.status || !strings.Contains(string(text), c.want) {
			t.Errorf("%s %s %s: %d %s, %v; want %d, %s", c.method, c.path, c.body, rep.StatusCode, text, err, c.status, c.want)
		}
	}
}
