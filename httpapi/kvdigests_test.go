package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDigestsOfWhatIsBelowAPrefix(t *testing.T) {
	face, srv := newFace(t, nil)
	ask := func(query string) shownDigests {
		t.Helper()
		w := httptest.NewRecorder()
		face.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/kv/"+query, nil))
		var d shownDigests
		if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || w.Code != http.StatusOK || d.Index == 0 {
			t.Fatalf("%s: status %d, %s, %v", query, w.Code, w.Body, err)
		}
		return d
	}
	if d := ask("none/?digests"); len(d.Ranges) != 1 || len(d.Ranges[0]) != 0 {
		t.Errorf("nothing has %+v", d)
	}
	for _, key := range []string{"a/1", "a/2", "a/private/x", "a/\xff", "b/1", "b/2", "b/\xff"} {
		srv.put(t, key, "value of "+key[2:])
	}
	a, b := ask("a/?digests&exclude=private/"), ask("b/?digests")
	if len(a.Ranges) != 1 || len(a.Ranges[0]) != 1 || a.Ranges[0][0].Count != 3 || a.Ranges[0][0].Sum != b.Ranges[0][0].Sum || len(a.Ranges[0][0].Sum) != 32 {
		t.Errorf("a has %+v, b %+v", a, b)
	}
	if d := ask("a/?digests"); d.Ranges[0][0].Count != 4 || d.Ranges[0][0].Sum == a.Ranges[0][0].Sum {
		t.Errorf("with what was left out it is %+v", d)
	}
	d := ask("a/?digests&level=0&from=&to=2&from=2&to=p&from=p&to=")
	if len(d.Ranges) != 3 || len(d.Ranges[2]) != 2 || string(d.Ranges[1][0].Start) != "2" || string(d.Ranges[2][1].Start) != "\xff" {
		t.Errorf("key by key: %+v", d)
	}
}

func TestMistakenQuestionsForDigests(t *testing.T) {
	face, srv := newFace(t, nil)
	srv.put(t, "a", "")
	for query, status := range map[string]int{
		"digests": 200, "digests&level=x": 400, "digests&level=-1": 400, "digests&entries": 400, "digests&recurse": 400,
		"digests&changes": 400, "digests&dc=*": 400, "digests&dc=nosuch": 500, "digests&from=a": 400, "digests&from=b&to=a": 400,
		"digests&from=a&to=c&from=b&to=d": 400, "digests" + strings.Repeat("&exclude=x", 1025): 400, "digests&index=99999&wait=1h": 200,
	} {
		w := httptest.NewRecorder()
		face.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/kv/?"+query, nil))
		if w.Code != status || (status != 200 && w.Body.Len() == 0) {
			t.Errorf("%.40s: status %d, %s", query, w.Code, w.Body)
		}
	}
}
