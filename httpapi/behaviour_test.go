package httpapi

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/rpc"
)

func TestLargeAnswersAreCompressedForThoseWhoAsk(t *testing.T) {
	face, srv := newFace(t, nil)
	srv.put(t, "big", strings.Repeat("x", 4096))
	srv.put(t, "small", "x")
	s := listen(t, face)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	for _, c := range []struct {
		path, accept string
		compressed   bool
	}{
		{"/v1/kv/big", "gzip", true}, {"/v1/kv/big", "br, gzip;q=0.5", true}, {"/v1/kv/big", "gzip;q=0", false},
		{"/v1/kv/big", "", false}, {"/v1/kv/big", "identity", false}, {"/v1/kv/big", "zstd", false}, {"/v1/kv/small", "gzip", false},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.accept != "" {
			req.Header.Set("Accept-Encoding", c.accept)
		}
		rep, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = rep.Body
		if compressed := rep.Header.Get("Content-Encoding") == "gzip"; compressed != c.compressed {
			t.Errorf("%s with %q: compressed is %v", c.path, c.accept, compressed)
		} else if compressed {
			if body, err = gzip.NewReader(rep.Body); err != nil {
				t.Fatal(err)
			}
		}
		if vary := rep.Header.Values("Vary"); len(vary) != 1 || rep.Header.Get("X-Consul-Index") == "" {
			t.Errorf("%s with %q: headers %v", c.path, c.accept, rep.Header)
		}
		var rows []struct{ Key string }
		if err := json.NewDecoder(body).Decode(&rows); err != nil || len(rows) != 1 || "/v1/kv/"+rows[0].Key != c.path {
			t.Errorf("%s with %q: %v %v", c.path, c.accept, rows, err)
		}
		rep.Body.Close()
	}
}

func TestBlockingQueryWakesForItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		face, srv := newFace(t, nil)
		srv.put(t, "a", "1")
		index := do(face, "GET", "/v1/kv/a", "").Header().Get("X-Consul-Index")
		answered := make(chan *httptest.ResponseRecorder)
		start := time.Now()
		go func() { answered <- do(face, "GET", "/v1/kv/a?raw&wait=10m&index="+index, "") }()
		time.Sleep(time.Minute)
		srv.put(t, "b", "other")
		time.Sleep(time.Minute)
		srv.put(t, "a", "2")
		w := <-answered
		if took := time.Since(start); w.Body.String() != "2" || took != 2*time.Minute || w.Header().Get("X-Consul-Index") == index {
			t.Fatalf("%d %s after %v", w.Code, w.Body, took)
		}
	})
}

// failing is a caller whose every call ends with an error.
type failing struct{ err error }

func (f failing) Call(context.Context, *rpc.Info, rpc.Request, func() any) (any, error) {
	return nil, f.err
}

func TestErrorsHaveStatusAndReason(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		reason string
	}{
		{rpc.ErrNoLeader, 500, "no_leader"},
		{rpc.Wrap(rpc.ErrNoPath, "osaka"), 500, "unknown_dc"},
		{rpc.ErrBreakerOpen, 500, "breaker_open"},
		{rpc.ErrPermissionDenied, 403, "permission_denied"},
		{rpc.ErrACLNotFound, 403, "acl_not_found"},
		{rpc.TooLarge("the value", 2, 1), 413, "too_large"},
		{rpc.Invalid("Must provide node"), 500, "invalid"},
		{errors.New("disk full"), 500, ""},
		{context.Canceled, 500, ""}, // the agent stops: never an empty 200
	} {
		face, _ := newFace(t, func(cfg *Config) { cfg.Caller = failing{c.err} })
		for _, path := range []string{"/v1/kv/a", "/v1/catalog/nodes", "/v1/health/service/web", "/v1/status/leader", "/v1/operator/raft/configuration"} {
			w := do(face, "GET", path, "")
			if w.Code != c.status || w.Header().Get("X-Hanse-Reason") != c.reason || w.Body.String() != c.err.Error() {
				t.Errorf("%s with %v: %d %q %s", path, c.err, w.Code, w.Header().Get("X-Hanse-Reason"), w.Body)
			}
		}
	}
}

func TestAnswersNameTheirHistory(t *testing.T) {
	face, srv := newFace(t, nil)
	srv.put(t, "a", "1")
	for range 2 {
		h := do(face, "GET", "/v1/kv/a", "").Header()
		if h.Get("X-Hanse-Datacenter-Id") != "id of dc1" || h.Get("X-Hanse-Incarnation") != "first" {
			t.Fatalf("headers %v", h)
		}
	}
	cache := &identityCache{}
	first := cache.of(&rpc.Meta{HanseDatacenterID: "a", HanseIncarnation: "1"})
	if again := cache.of(&rpc.Meta{HanseDatacenterID: "a", HanseIncarnation: "1"}); again != first {
		t.Error("the same history is made anew")
	}
	if other := cache.of(&rpc.Meta{HanseDatacenterID: "a", HanseIncarnation: "2"}); other.incarnation[0] != "2" || first.incarnation[0] != "1" {
		t.Errorf("incarnation %v after %v", other.incarnation, first.incarnation)
	}
}

func TestAgentAsksWhoMayAskIt(t *testing.T) {
	agent := &body{lan: []serf.Member{{Name: "alpha"}}}
	face, _ := newFace(t, func(c *Config) {
		c.Agent, c.Resolver = agent, tokens{"nobody": stranger{}}
	})
	for _, c := range []struct{ method, path, permission string }{
		{"GET", "/v1/agent/self", `'agent:read' on "alpha"`},
		{"GET", "/v1/agent/metrics", `'agent:read' on "alpha"`},
		{"PUT", "/v1/agent/join/127.0.0.1", `'agent:write' on "alpha"`},
		{"PUT", "/v1/agent/leave", `'agent:write' on "alpha"`},
		{"PUT", "/v1/agent/reload", `'agent:write' on "alpha"`},
		{"PUT", "/v1/agent/force-leave/x", `'operator:write'`},
	} {
		w := do(face, c.method, c.path+"?token=nobody", "")
		if w.Code != 403 || !strings.HasSuffix(w.Body.String(), c.permission) {
			t.Errorf("%s: %d %s", c.path, w.Code, w.Body)
		}
	}
	if agent.left {
		t.Error("the agent left for somebody who may not say so")
	}
	w := do(face, "GET", "/v1/agent/members?token=nobody", "")
	if w.Body.String() != "[]" || w.Header().Get("X-Consul-Results-Filtered-By-Acls") != "true" {
		t.Errorf("members: %s %v", w.Body, w.Header())
	}
	for path, want := range map[string]string{
		"/v1/agent/members?filter=Name==alpha": `"Name":"alpha"`, "/v1/agent/members?filter=Name==beta": "[]",
		"/v1/agent/services": "{}", "/v1/agent/checks": "{}", "/v1/agent/metrics?format=prometheus": "up 1", "/v1/agent/metrics": `"Gauges":[]`,
	} {
		if w := do(face, "GET", path, ""); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// vault keeps archives, and breaks off after some of one.
type vault struct {
	mu sync.Mutex
	SnapshotRequest
	archive string
	fails   error
}

func (v *vault) Save(_ context.Context, req SnapshotRequest, w io.Writer, about func(*rpc.Meta)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.SnapshotRequest = req
	if v.archive != "" {
		about(&rpc.Meta{Index: 7, KnownLeader: true})
		if _, err := io.WriteString(w, v.archive); err != nil {
			return err
		}
	}
	return v.fails
}

func (v *vault) Restore(_ context.Context, req SnapshotRequest, r io.Reader) (any, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.SnapshotRequest = req
	content, err := io.ReadAll(r)
	v.archive = string(content)
	return map[string]int{"restored": len(content)}, err
}

func TestSnapshotsStream(t *testing.T) {
	v := &vault{archive: "an archive"}
	face, _ := newFace(t, func(c *Config) { c.Snapshots = v })
	s := listen(t, face)
	get := func() (*http.Response, string, error) {
		rep, err := http.Get(s.URL + "/v1/snapshot?dc=dc2&stale&token=secret")
		if err != nil {
			return rep, "", err
		}
		defer rep.Body.Close()
		content, err := io.ReadAll(rep.Body)
		return rep, string(content), err
	}
	rep, content, err := get()
	if err != nil || content != "an archive" || rep.Header.Get("Content-Type") != "application/x-gzip" || rep.Header.Get("X-Consul-Index") != "7" {
		t.Fatalf("%s %v %v", content, rep, err)
	}
	v.mu.Lock()
	asked := v.SnapshotRequest
	v.archive, v.fails = "half an archive", errors.New("disk full")
	v.mu.Unlock()
	if asked != (SnapshotRequest{Datacenter: "dc2", Token: "secret", Stale: true}) {
		t.Fatalf("asked for %+v", asked)
	}
	if rep, content, err := get(); err == nil {
		t.Fatalf("half an archive passed for a whole one: %v %s", rep, content)
	}
	v.mu.Lock()
	v.archive = ""
	v.mu.Unlock()
	if rep, content, err := get(); err != nil || rep.StatusCode != 500 || content != "disk full" || strings.Contains(rep.Header.Get("Content-Type"), "gzip") {
		t.Fatalf("%v %s %v", rep, content, err)
	}
	if w := do(face, "PUT", "/v1/snapshot", "another archive"); w.Body.String() != `{"restored":15}` || v.archive != "another archive" || v.Datacenter != "dc1" {
		t.Fatalf("restore: %d %s %+v", w.Code, w.Body, v)
	}
}

func TestRootLeadsToTheUI(t *testing.T) {
	face, _ := newFace(t, func(c *Config) {
		c.UI = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "page at "+r.URL.Path) })
	})
	if w := do(face, "GET", "/", ""); w.Code != 301 || w.Header().Get("Location") != "/ui/" {
		t.Errorf("/: %d to %s", w.Code, w.Header().Get("Location"))
	}
	for _, path := range []string{"/ui", "/ui/", "/ui/dc1/nodes"} {
		if w := do(face, "GET", path, ""); w.Body.String() != "page at "+path {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := do(face, "GET", "/uix", ""); w.Code != 404 {
		t.Errorf("/uix: %d", w.Code)
	}
}
