package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestMalformedRequestsAreToldWhatIsWrong(t *testing.T) {
	face, _ := newFace(t, nil)
	cases := []struct {
		method, target, content string
		status                  int
		says                    string
	}{
		{"GET", "/v1/kv/a?index=nope", "", 400, "Invalid index"},
		{"GET", "/v1/kv/a?index=18446744073709551616", "", 400, "Invalid index"},
		{"GET", "/v1/kv/a?index=-1", "", 400, "Invalid index"},
		{"GET", "/v1/kv/a?wait=5", "", 400, "Invalid wait time"},
		{"GET", "/v1/kv/a?%zz", "", 400, "Invalid query string"},
		{"GET", "/v1/kv/a?a=1;b=2", "", 400, "Invalid query string"},
		{"PUT", "/v1/kv/a?dc=*", "x", 400, "a change goes to one datacenter at a time"},
		{"DELETE", "/v1/kv/a?dc=*", "", 400, "a change goes to one datacenter at a time"},
		{"PUT", "/v1/catalog/register?dc=*", "{}", 400, "a change goes to one datacenter at a time"},
		{"GET", "/v1/session/list?dc=*", "", 400, "asks one datacenter at a time"},
		{"GET", "/v1/catalog/datacenters?dc=*", "", 400, "asks one datacenter at a time"},
		{"GET", "/v1/kv/a?dc=*&index=7", "", 400, "leave out index"},
		{"GET", "/v1/kv/a?dc=*&index", "", 400, "leave out index"},
		{"GET", "/v1/kv/a?dc=*&changes", "", 400, "changes are those of one datacenter"},
		{"GET", "/v1/kv/a?dc=*&raw", "", 400, "leave it out"},
		{"GET", "/v1/kv/a?dc=*&wait=nope", "", 400, "Invalid wait time"},
		{"GET", "/v1/kv/a?dc=*&wait=-1s", "", 400, "Invalid wait time"},
		{"GET", "/v1/kv/?dc=*", "", 400, "Missing key name"},
		{"GET", "/v1/kv/a?dc=*&stale&consistent", "", 400, "conflicting semantics"},
		{"GET", "/v1/kv/a?ns=team", "", 400, "ns"},
		{"GET", "/v1/kv/a?partition=team", "", 400, "Partitions are"},
		{"GET", "/v1/health/service/web?sg=team", "", 400, "Sameness groups"},
		{"GET", "/v1/health/service/web?sameness-group=team", "", 400, "Sameness groups"},
		{"GET", "/v1/catalog/gateway-services/", "", 400, "Missing gateway name"},
		{"GET", "/v1/health/ingress/", "", 400, "Missing service name"},
		{"GET", "/v1/discovery-chain/web", "", 404, "does not have the endpoint"},
		{"GET", "/v1/operator/area", "", 404, "does not have the endpoint"},
		{"GET", "/v1/kv/", "", 400, "Missing key name"},
		{"PUT", "/v1/kv/", "x", 400, "Missing key name"},
		{"DELETE", "/v1/kv/", "", 400, "Missing key name"},
		{"PUT", "/v1/kv/%00", "x", 400, "cannot be printed"},
		{"PUT", "/v1/kv/a%0ab", "x", 400, "cannot be printed"},
		{"PUT", "/v1/kv/%ff%fe", "x", 400, "not UTF-8"},
		{"GET", "/v1/kv/%e2%80%ae", "", 400, "cannot be printed"},
		{"PUT", "/v1/kv/a", strings.Repeat("x", 512<<10+1), 413, "is too large"},
		{"PUT", "/v1/txn", "[" + strings.Repeat(" ", 512<<10) + "]", 413, "is too large"},
		{"PUT", "/v1/txn", "[{", 400, "Failed to parse body"},
		{"PUT", "/v1/txn", "null null", 400, "Failed to parse body"},
		{"PUT", "/v1/catalog/register", "", 400, "EOF"},
		{"PUT", "/v1/catalog/register", "[]", 400, "cannot unmarshal"},
		{"PUT", "/v1/catalog/register", `{"Node":"a"} {}`, 400, "more behind"},
		{"PUT", "/v1/catalog/register", `{"Node":"` + strings.Repeat("x", maxBody) + `"}`, 413, "is too large"},
		{"PUT", "/v1/operator/keyring", `{"Key":1}`, 400, "Request decode failed"},
		{"PUT", "/v1/operator/keyring?local-only", `{"Key":"a"}`, 400, "local-only"},
		{"GET", "/v1/operator/keyring?relay-factor=-1", "", 400, "Invalid relay-factor"},
		{"DELETE", "/v1/operator/raft/peer?id=a&address=b", "", 400, "only one"},
		{"GET", "/v1/health/service/web?passing=maybe", "", 400, "passing"},
		{"GET", "/v1/health/node/", "", 400, "Missing node name"},
		{"GET", "/v1/agent/metrics?format=xml", "", 400, "format"},
		{"PUT", "/v1/agent/join/", "", 400, "Missing address"},
		{"PUT", "/v1/agent/force-leave/", "", 400, "Missing node name"},
		{"POST", "/v1/kv/a", "x", 405, "method POST not allowed"},
		{"GET", "/v1/agent/leave", "", 405, "method GET not allowed"},
		{"GET", "/v1/agent/reload", "", 405, "method GET not allowed"},
		{"GET", "/v1/agent/join/127.0.0.1", "", 405, "method GET not allowed"},
		{"GET", "/v1/agent/force-leave/a", "", 405, "method GET not allowed"},
		{"PUT", "/v1/status/leader", "", 405, "method PUT not allowed"},
		{"GET", "/v1/nope", "", 404, "not a recognized"},
		{"GET", "/v1/snapshot", "", 404, "not a recognized"},
		{"GET", "/v1/../etc/passwd", "", 404, "not a recognized"},
		{"GET", "/ui/", "", 404, "UI disabled"},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s %.60s", c.method, c.target), func(t *testing.T) {
			w := do(face, c.method, c.target, c.content)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
				t.Fatalf("%d %s, want %d and %q", w.Code, w.Body, c.status, c.says)
			}
		})
	}
}

func TestKeysAreTakenAsTheyAre(t *testing.T) {
	face, _ := newFace(t, nil)
	for _, key := range []string{"a//b", "../../etc/passwd", "a/./b", "/", "a/", "with space", "ü", "a?b", "a%2fb"} {
		path := "/v1/kv/" + strings.ReplaceAll(url.PathEscape(key), "%2F", "/")
		if w := do(face, "PUT", path, "value of "+key); w.Code != 200 || w.Body.String() != "true" {
			t.Fatalf("put %q: %d %s", key, w.Code, w.Body)
		}
		if w := do(face, "GET", path+"?raw", ""); w.Code != 200 || w.Body.String() != "value of "+key {
			t.Fatalf("get %q: %d %s", key, w.Code, w.Body)
		}
	}
	if w := do(face, "GET", "/v1/kv?keys", ""); w.Code != 301 || w.Header().Get("Location") != "/v1/kv/?keys" {
		t.Fatalf("no slash: %d to %s", w.Code, w.Header().Get("Location"))
	}
}

func TestBlockedEndpointsAndNetworks(t *testing.T) {
	face, _ := newFace(t, func(c *Config) {
		c.BlockEndpoints = []string{"/v1/catalog"}
		c.AllowWriteFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		c.ResponseHeaders = map[string]string{"X-Ours": "yes"}
	})
	if w := do(face, "GET", "/v1/catalog/nodes", ""); w.Code != 403 || !strings.Contains(w.Body.String(), "blocked") || w.Header().Get("X-Ours") != "yes" {
		t.Fatalf("a blocked endpoint: %d %s", w.Code, w.Body)
	}
	if w := do(face, "PUT", "/v1/kv/a", "x"); w.Code != 403 { // httptest comes from 192.0.2.1
		t.Fatalf("a write from elsewhere: %d %s", w.Code, w.Body)
	}
	if w := do(face, "GET", "/v1/kv/a", ""); w.Code != 404 {
		t.Fatalf("a read from elsewhere: %d %s", w.Code, w.Body)
	}
	near := httptest.NewRequest("PUT", "/v1/kv/a", strings.NewReader("x"))
	near.RemoteAddr = "[::ffff:127.0.0.1]:4711"
	w := httptest.NewRecorder()
	if face.ServeHTTP(w, near); w.Code != 200 {
		t.Fatalf("a write from near: %d %s", w.Code, w.Body)
	}
}

// A body that stands still must not hold a connection for ever, and a long wait for the
// answer after the body must not end the connection.
func TestBodiesThatStandStillAreCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newPipes()
		answer := make(chan error, 1)
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			patientBody(w, r)
			_, err := io.ReadAll(r.Body)
			if err == nil {
				time.Sleep(10 * time.Minute)
				err = r.Context().Err()
			}
			answer <- err
		})
		srv := NewServer(handler, hclog.NewNullLogger())
		go func() { _ = srv.Serve(ln) }()
		defer srv.Close()

		stuck := ln.dial()
		fmt.Fprint(stuck, "PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
		start := time.Now()
		if err := <-answer; err == nil || time.Since(start) > 2*bodyPatience {
			t.Fatalf("half a body was read without error, or after %v: %v", time.Since(start), err)
		}
		stuck.Close()

		whole := ln.dial()
		defer whole.Close()
		fmt.Fprint(whole, "PUT /v1/kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd")
		if err := <-answer; err != nil {
			t.Fatalf("the wait behind a whole body ended early: %v", err)
		}
		rep, err := http.ReadResponse(bufio.NewReader(whole), nil)
		if err != nil || rep.StatusCode != 200 {
			t.Fatalf("no answer: %v", err)
		}
	})
}

// pipes is a listener within the process.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.conns <- far
	return near
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func FuzzRequest(f *testing.F) {
	f.Add("GET", "/v1/kv/a?index=1&wait=1ns", "")
	f.Add("PUT", "/v1/txn", `[{"KV":{"Verb":"set","Key":"a","Value":"MQ=="}},null]`)
	f.Add("PUT", "/v1/catalog/register", `{"Node":"a","Address":"1.1.1.1","Service":{"Service":"s"}}`)
	f.Add("GET", "/v1/catalog/nodes?filter=Node==a&near=_agent&node-meta=a:b&cached&pretty", "")
	face, _ := newFace(f, nil)
	f.Fuzz(func(t *testing.T, method, target, content string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") || u.Query().Get("index") != "" {
			t.Skip("not a request, or one that waits")
		}
		r := httptest.NewRequest("GET", "/", reader(content))
		r.Method, r.URL = method, u
		w := httptest.NewRecorder()
		face.ServeHTTP(w, r)
		if w.Code >= 400 && w.Body.Len() == 0 && w.Code != 404 {
			t.Fatalf("%s %s: %d without a word", method, target, w.Code)
		}
	})
}
