package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCachedAnswersSayWhereTheyAreFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		face, srv := newFace(t, nil)
		srv.register(t, `{"Node":"n","Address":"10.0.0.1","Service":{"Service":"web","Connect":{"Native":true}}}`)
		for _, path := range []string{
			"/v1/health/service/web", "/v1/health/connect/web", "/v1/catalog/service/web", "/v1/catalog/connect/web", "/v1/catalog/services",
		} {
			for i, want := range []string{"MISS ", "HIT 0"} {
				h := do(face, "GET", path+"?cached", "").Header()
				if got := h.Get("X-Cache") + " " + h.Get("Age"); got != want {
					t.Errorf("%s: %q the %d. time, want %q", path, got, i+1, want)
				}
			}
			if h := do(face, "GET", path, "").Header(); h.Get("X-Cache") != "" || h.Get("Age") != "" {
				t.Errorf("%s without ?cached: %v", path, h)
			}
			if h := do(face, "GET", path+"?cached&tag=other&node-meta=a:b", "").Header(); h.Get("X-Cache") != "MISS" {
				t.Errorf("%s with other parameters: %v", path, h)
			}
			if h := do(face, "GET", path+"?cached&token=other", "").Header(); h.Get("X-Cache") != "MISS" {
				t.Errorf("%s with another token: %v", path, h)
			}
		}
		// The documentation knows of no cache for these.
		for _, path := range []string{"/v1/catalog/nodes", "/v1/catalog/node/n", "/v1/health/node/n", "/v1/health/state/any", "/v1/kv/a"} {
			for range 2 {
				if h := do(face, "GET", path+"?cached", "").Header(); h.Get("X-Cache") != "" {
					t.Errorf("%s: %v", path, h)
				}
			}
		}
	})
}

func TestCacheControlOfAPreparedQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		face, srv := newFace(t, nil)
		srv.register(t, `{"Node":"n","Address":"10.0.0.1","Service":{"Service":"web"}}`)
		if w := do(face, "POST", "/v1/query", `{"Name":"q","Service":{"Service":"web"}}`); w.Code != 200 {
			t.Fatal(w.Body)
		}
		execute := func(control string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", "/v1/query/q/execute?cached", nil)
			if control != "" {
				r.Header.Set("Cache-Control", control)
			}
			w := httptest.NewRecorder()
			face.ServeHTTP(w, r)
			return w
		}
		check := func(control, want string) {
			t.Helper()
			w := execute(control)
			if got := w.Header().Get("X-Cache") + " " + w.Header().Get("Age"); w.Code != 200 || got != want {
				t.Fatalf("with %q: %d %q, want %q: %s", control, w.Code, got, want, w.Body)
			}
		}
		check("", "MISS ")
		time.Sleep(65 * time.Second)
		check("", "HIT 65")
		check("max-age=70", "HIT 65")
		check("max-age=30", "MISS ")
		check("must-revalidate", "MISS ")
		check("max-age=0", "MISS ")
		check("max-age=30, stale-if-error=60", "HIT 0")
		check("no-cache", "HIT 0")
		for control, word := range map[string]string{
			"max-age=soon": "max-age", "max-age": "max-age", "max-age=-1": "max-age", "stale-if-error=x": "stale-if-error",
			"max-age=99999999999999999999": "max-age",
		} {
			if w := execute(control); w.Code != 400 || !strings.Contains(w.Body.String(), word) {
				t.Errorf("with %q: %d %s", control, w.Code, w.Body)
			}
		}
		if w := do(face, "GET", "/v1/health/service/web?cached&consistent", ""); w.Code != 400 || !strings.Contains(w.Body.String(), "?cached with ?consistent") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestCachedWithIndexWaitsForTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		face, srv := newFace(t, nil)
		srv.register(t, `{"Node":"n","Address":"10.0.0.1","Service":{"Service":"web"}}`)
		index := do(face, "GET", "/v1/health/service/web?cached", "").Header().Get("X-Consul-Index")
		begin := time.Now()
		time.AfterFunc(time.Minute, func() {
			srv.register(t, `{"Node":"n","Address":"10.0.0.1","Service":{"Service":"web","ID":"second"}}`)
		})
		w := do(face, "GET", "/v1/health/service/web?cached&wait=5m&index="+index, "")
		if took := time.Since(begin); took != time.Minute || w.Header().Get("X-Cache") != "HIT" || !strings.Contains(w.Body.String(), "second") {
			t.Fatalf("%v after %v: %s", w.Header(), took, w.Body)
		}
	})
}
