package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/hanse-project/hanse/rpc"
)

func TestTheFeedIsReadPageByPage(t *testing.T) {
	face, srv := newFace(t, nil)
	get := func(query string) (*httptest.ResponseRecorder, []change) {
		t.Helper()
		w := httptest.NewRecorder()
		face.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/kv/a/?changes"+query, nil))
		var rows []change
		if w.Code == http.StatusOK {
			if err := json.Unmarshal(w.Body.Bytes(), &rows); err != nil {
				t.Fatalf("%s: %v", w.Body, err)
			}
		}
		return w, rows
	}
	srv.put(t, "a/0", "")
	begin, rows := get("")
	if len(rows) != 0 || begin.Body.String() != "[]" {
		t.Fatalf("the cursor comes with %s", begin.Body)
	}
	since := begin.Header().Get("X-Consul-Index")
	for _, key := range []string{"a/1", "b/1", "a/2 & more", "a/1"} {
		srv.put(t, key, "value")
	}
	face.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodDelete, "/v1/kv/a/0", nil))
	var keys []string
	page := "&limit=1&index=" + since
	for pages := 0; pages < 10; pages++ {
		w, rows := get(page)
		for _, row := range rows {
			key := row.Key
			if row.Deleted {
				key = "-" + key
			} else if string(row.Value) != "value" || row.CreateIndex == 0 || row.Time.Year() < 2020 {
				t.Errorf("a row is %+v", row)
			}
			keys = append(keys, key)
		}
		h := w.Header()
		if h.Get("X-Hanse-More") == "" {
			break
		}
		page = "&limit=1&index=" + h.Get("X-Consul-Index") + "&after=" + h.Get("X-Hanse-After")
	}
	if got, err := json.Marshal(keys); err != nil || string(got) != `["a/2 \u0026 more","a/1","-a/0"]` {
		t.Errorf("the feed has %s (%v)", got, err)
	}
}

func TestMistakenQuestionsToTheFeed(t *testing.T) {
	face, srv := newFace(t, nil)
	srv.put(t, "a", "")
	for query, status := range map[string]int{
		"changes&limit=0": 400, "changes&limit=10001": 400, "changes&limit=x": 400, "changes&index=x": 400,
		"changes&recurse": 400, "changes&keys": 400, "changes&raw": 400, "changes&index=-1": 400, "changes&dc=nosuch": 500,
		"changes&stale&consistent": 400, "changes&after=" + url.QueryEscape("\x00\xff"): 200,
	} {
		w := httptest.NewRecorder()
		face.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/kv/?"+query, nil))
		if w.Code != status || (status != 200 && w.Body.Len() == 0) {
			t.Errorf("%s: status %d, %s", query, w.Code, w.Body)
		}
	}
	old, _ := newFace(t, func(cfg *Config) { cfg.Caller = failing{rpc.Wrap(rpc.ErrTooOld, "index 3")} })
	w := httptest.NewRecorder()
	old.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/kv/?changes&index=3", nil))
	if w.Code != http.StatusGone || w.Header().Get("X-Hanse-Reason") != "too_old" {
		t.Errorf("too old: status %d, %v", w.Code, w.Header())
	}
}
