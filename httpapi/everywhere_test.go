package httpapi

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/hanse-project/hanse/rpc"
)

// twoDatacenters is a face in dc1 of datacenters dc1 and dc2, whose calls trouble may change.
func twoDatacenters(t *testing.T, trouble func(ctx context.Context, dc string) error, resolver rpc.Resolver) (face *API, dc1, dc2 *server) {
	t.Helper()
	servers := map[string]*server{}
	for _, dc := range []string{"dc1", "dc2"} {
		servers[dc] = newServer(t, dc, raft.Server{ID: "a", Address: "127.0.0.1:8300"}, noKeys("alpha"))
		servers[dc].register(t, `{"Node":"n","Address":"10.0.0.1","Service":{"Service":"web","Tags":["`+dc+`"]},
			"Check":{"Name":"alive","CheckID":"alive","Status":"passing","ServiceID":"web"}}`)
		servers[dc].put(t, "a/"+dc, dc)
		servers[dc].put(t, "a/both", "in "+dc)
	}
	face, _ = newFace(t, func(c *Config) {
		c.Caller = troubled{&callers{"dc1", servers, resolver}, trouble}
	})
	return face, servers["dc1"], servers["dc2"]
}

// troubled is a caller some of whose datacenters do not answer.
type troubled struct {
	rpc.Caller
	trouble func(ctx context.Context, dc string) error
}

func (c troubled) Call(ctx context.Context, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	if c.trouble != nil {
		if err := c.trouble(ctx, *req.Envelope().Datacenter); err != nil {
			return nil, err
		}
	}
	return c.Caller.Call(ctx, m, req, newReply)
}

func TestRowsOfAllDatacentersCarryTheirName(t *testing.T) {
	face, _, _ := twoDatacenters(t, nil, tokens{})
	for target, want := range map[string]string{
		"/v1/kv/a/both?dc=*": `[{"Datacenter":"dc1","LockIndex":0,"Key":"a/both","Flags":0,"Value":"aW4gZGMx","CreateIndex":14,"ModifyIndex":14},` +
			`{"Datacenter":"dc2","LockIndex":0,"Key":"a/both","Flags":0,"Value":"aW4gZGMy","CreateIndex":14,"ModifyIndex":14}]`,
		"/v1/kv/a/dc2?dc=*":       `[{"Datacenter":"dc2","LockIndex":0,"Key":"a/dc2","Flags":0,"Value":"ZGMy","CreateIndex":13,"ModifyIndex":13}]`,
		"/v1/kv/a/?dc=*&keys":     `[{"Datacenter":"dc1","Key":"a/both"},{"Datacenter":"dc1","Key":"a/dc1"},{"Datacenter":"dc2","Key":"a/both"},{"Datacenter":"dc2","Key":"a/dc2"}]`,
		"/v1/catalog/services":    `{"web":["dc1"]}`,
		"/v1/kv/none?dc=*":        ``,
		"/v1/kv/x?dc=*&recurse":   ``,
		"/v1/kv/x?dc=*&keys":      ``,
		"/v1/catalog/node/x?dc=*": `[]`,
		"/v1/catalog/services?dc=*": `[{"Datacenter":"dc1","Name":"web","Tags":["dc1"]},` +
			`{"Datacenter":"dc2","Name":"web","Tags":["dc2"]}]`,
		"/v1/catalog/node-services/x?dc=*":           `[]`,
		"/v1/catalog/gateway-services/x?dc=*":        `[]`,
		"/v1/health/state/critical?dc=*":             `[]`,
		"/v1/health/service/web?dc=*&filter=1+in+2":  "",
		"/v1/health/service/web?dc=*&tag=dc9":        `[]`,
		"/v1/catalog/service/nothing-like-that?dc=*": `[]`,
	} {
		w := do(face, "GET", target, "")
		body := w.Body.String()
		if strings.Contains(target, "filter=") {
			if w.Code < 400 || w.Header().Get(headerMissing) != "dc1, dc2" {
				t.Errorf("%s: %d %s %v", target, w.Code, body, w.Header())
			}
			continue
		}
		if body != want || w.Header().Get(headerMissing) != "" {
			t.Errorf("%s: %d, missing %q\n got %s\nwant %s", target, w.Code, w.Header().Get(headerMissing), body, want)
		}
		if empty := want == ""; empty != (w.Code == 404) {
			t.Errorf("%s: status %d", target, w.Code)
		}
	}
}

func TestEveryRowOfTheCatalogSaysWhereItIs(t *testing.T) {
	face, _, _ := twoDatacenters(t, nil, tokens{})
	for _, path := range []string{
		"/v1/kv/a/?recurse", "/v1/catalog/nodes", "/v1/catalog/service/web", "/v1/catalog/node/n", "/v1/catalog/node-services/n",
		"/v1/health/node/n", "/v1/health/checks/web", "/v1/health/state/any", "/v1/health/service/web?passing", "/v1/health/service/web?cached",
	} {
		and := "?"
		if strings.Contains(path, "?") {
			and = "&"
		}
		w := do(face, "GET", path+and+"dc=*", "")
		var rows []struct{ Datacenter string }
		decodeInto(t, w, &rows)
		var in []string
		for _, row := range rows {
			if len(in) == 0 || in[len(in)-1] != row.Datacenter {
				in = append(in, row.Datacenter)
			}
		}
		if strings.Join(in, " ") != "dc1 dc2" {
			t.Errorf("%s: rows of %v: %s", path, in, w.Body)
		}
		h := w.Header()
		if h.Get("X-Consul-Index") != "" || h.Get("X-Consul-Knownleader") != "true" || h.Get("X-Consul-Lastcontact") != "0" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

func TestSilentDatacenterIsNamedAndDelaysTheAnswerNoFurther(t *testing.T) {
	for target, within := range map[string]time.Duration{
		"/v1/kv/a/both?dc=*": askPatience, "/v1/kv/a/both?dc=*&wait=300ms": 300 * time.Millisecond,
	} {
		face, _, _ := twoDatacenters(t, func(ctx context.Context, dc string) error {
			if dc != "dc2" {
				return nil
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}, tokens{})
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			w := do(face, "GET", target, "")
			if took := time.Since(begin); took != within {
				t.Errorf("%s took %v, want %v", target, took, within)
			}
			if w.Code != 200 || strings.Count(w.Body.String(), "Datacenter") != 1 || !strings.Contains(w.Body.String(), `"dc1"`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if h := w.Header(); h.Get(headerMissing) != "dc2" || h.Get(headerMissingReasons) != "dc2=timeout" {
				t.Errorf("%v", h)
			}
		})
	}
}

// deaf does not even look at its context.
func TestDeafDatacenterDoesNotDelayTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		face := New(Config{Datacenter: "dc1", Log: hclog.NewNullLogger(), Caller: troubled{&callers{here: "dc1"}, func(_ context.Context, dc string) error {
			if dc == "dc2" {
				<-free
			}
			return nil
		}}})
		begin := time.Now()
		w := do(face, "GET", "/v1/kv/a?dc=*", "")
		if took := time.Since(begin); took != askPatience {
			t.Errorf("took %v", took)
		}
		if w.Code != 500 || w.Header().Get(headerMissingReasons) != "dc1=unknown_dc, dc2=timeout" {
			t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
		close(free)
		synctest.Wait()
	})
}

func TestAllDatacentersFailing(t *testing.T) {
	face, _, _ := twoDatacenters(t, func(_ context.Context, dc string) error {
		if dc == "" {
			return nil
		}
		if dc == "dc1" {
			return rpc.ErrNoLeader
		}
		return rpc.ErrUnreachable
	}, tokens{})
	// The datacenters are still known: the list comes from our own servers.
	face.cfg.Caller = troubledButForNames{face.cfg.Caller.(troubled)}
	w := do(face, "GET", "/v1/kv/a?dc=*", "")
	if w.Code != 500 || w.Body.String() != "No cluster leader" || w.Header().Get("X-Hanse-Reason") != "no_leader" ||
		w.Header().Get(headerMissingReasons) != "dc1=no_leader, dc2=no_live_server" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
}

type troubledButForNames struct{ troubled }

func (c troubledButForNames) Call(ctx context.Context, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	if m.Name == "Catalog.ListDatacenters" {
		return c.Caller.Call(ctx, m, req, newReply)
	}
	return c.troubled.Call(ctx, m, req, newReply)
}

// The token goes to each datacenter.
func TestTokenIsShownEverywhere(t *testing.T) {
	face, _, _ := twoDatacenters(t, nil, tokens{"theirs": stranger{}})
	w := do(face, "GET", "/v1/kv/a/both?dc=*&token=theirs", "")
	if w.Code != 403 || w.Header().Get(headerMissingReasons) != "dc1=permission_denied, dc2=permission_denied" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	w = do(face, "GET", "/v1/catalog/nodes?dc=*&token=theirs", "")
	if w.Code != 200 || w.Body.String() != "[]" || w.Header().Get("X-Consul-Results-Filtered-By-Acls") != "true" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
}

func decodeInto(t *testing.T, w *httptest.ResponseRecorder, into any) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
}
