package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestEntriesAreReadPageByPage(t *testing.T) {
	face, srv := newFace(t, nil)
	for _, key := range []string{"a/1", "b/1", "a/2 & more", "a/\xff\x01", "a/z", "a/", "a"} {
		srv.put(t, key, "value of "+key)
	}
	read := func(query string) (got string, pages int) {
		t.Helper()
		after := ""
		for more := true; more; pages++ {
			w := httptest.NewRecorder()
			face.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/kv/a/?entries&count&limit=2"+query+"&after="+url.QueryEscape(after), nil))
			var rows []pageEntry
			if err := json.Unmarshal(w.Body.Bytes(), &rows); w.Code != http.StatusOK || err != nil {
				t.Fatalf("status %d, %s, %v", w.Code, w.Body, err)
			}
			h := w.Header()
			if h.Get("X-Hanse-Total-Keys") != "5" || h.Get("X-Consul-Index") == "" || h.Get("X-Consul-Knownleader") != "true" {
				t.Fatalf("header %v", h)
			}
			for _, row := range rows {
				after = row.Key
				if row.KeyBytes != nil {
					after = string(row.KeyBytes)
				}
				if string(row.Value) != "value of "+after || row.CreateIndex == 0 {
					t.Errorf("%q has %q", after, row.Value)
				}
				got += fmt.Sprintf("%q ", after)
			}
			more = h.Get("X-Hanse-More") == "true"
			if !more && h.Get("X-Hanse-More") != "false" {
				t.Fatalf("header %v", h)
			}
		}
		return strings.TrimSpace(got), pages
	}
	if got, pages := read(""); got != `"a/" "a/1" "a/2 & more" "a/z" "a/\xff\x01"` || pages != 3 {
		t.Errorf("%d pages of %s", pages, got)
	}
	if got, _ := read("&to=a/2"); got != `"a/" "a/1"` {
		t.Errorf("before a/2 there are %s", got)
	}
	w := httptest.NewRecorder()
	face.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/kv/?entries&key=b/1&key=none&key=a/%FF%01&key=", nil))
	var named []pageEntry
	if err := json.Unmarshal(w.Body.Bytes(), &named); err != nil || len(named) != 2 || named[0].Key != "b/1" || string(named[1].KeyBytes) != "a/\xff\x01" || w.Header().Get("X-Hanse-More") != "false" {
		t.Errorf("some keys: %s, %v", w.Body, w.Header())
	}
	w = httptest.NewRecorder()
	face.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/kv/none/?entries", nil))
	if w.Code != http.StatusOK || w.Body.String() != "[]" || w.Header().Get("X-Hanse-More") != "false" || w.Header().Get("X-Hanse-Total-Keys") != "" {
		t.Errorf("nothing: status %d, %s, %v", w.Code, w.Body, w.Header())
	}
}

func TestMistakenQuestionsForPages(t *testing.T) {
	face, srv := newFace(t, nil)
	srv.put(t, "a", "")
	for query, status := range map[string]int{
		"entries": 200, "entries&limit=0": 400, "entries&limit=10001": 400, "entries&limit=x": 400, "entries&changes": 400,
		"entries&recurse": 400, "entries&keys": 400, "entries&raw": 400, "entries&dc=nosuch": 500, "entries&dc=*": 400,
		"entries&stale&consistent": 400, "entries&to=a&after=b": 200, "entries&key=a&after=b": 400, "entries&index=99999&wait=1h": 200,
	} {
		w := httptest.NewRecorder()
		face.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/kv/?"+query, nil))
		if w.Code != status || (status != 200 && w.Body.Len() == 0) {
			t.Errorf("%s: status %d, %s", query, w.Code, w.Body)
		}
	}
}
