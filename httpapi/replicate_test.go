package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/replicate/link"
	"github.com/hanse-project/hanse/rpc"
)

// sameJSON compares an answer with what is wanted, indexes aside.
func sameJSON(t *testing.T, what string, w *httptest.ResponseRecorder, want string) {
	t.Helper()
	if w.Code != http.StatusOK {
		t.Fatalf("%s: status %d, %s", what, w.Code, w.Body)
	}
	if g, w := normal(w.Body.Bytes(), false), normal([]byte(want), false); g != w {
		t.Errorf("%s\n got %s\nwant %s", what, g, w)
	}
}

// atRest is the status, but for its state, of a link that nobody runs yet.
const atRest = `"SourceIndex":0,"AppliedIndex":0,"LagSeconds":0,"LagEntries":0,"Keys":0,"Done":0,"Total":0,"EtaSeconds":0,` +
	`"KeysPerSecond":0,"BytesPerSecond":0,"Applied":0,"Deleted":0,"Bytes":0,"Conflicts":0,"Errors":0,"ConflictKeys":[],` +
	`"HeldDeletes":0,"HeldReason":"","HeldExamples":[],"DivergentKeys":0,"DivergentExamples":[],"Repaired":0,"Verifying":false,"LastError":""}`

func TestLinksAreMadeChangedShownAndRemoved(t *testing.T) {
	face, _ := newFace(t, nil)
	report := func(limit, token, paused string) string {
		state := "syncing"
		if paused == "true" {
			state = "paused"
		}
		return `{"Name":"web","SourceDatacenter":"dc2","Prefix":"a/","DestinationPrefix":"a/","Exclude":[],"Delete":true,"MaxDeleteFraction":0.5,` +
			`"RateLimit":` + limit + `,"VerifyInterval":"10m0s","Repair":true,"Conflict":"source-wins","Prune":false,"Enabled":true,"FromConfig":false,` +
			`"CreateIndex":1,"ModifyIndex":1,"Paused":` + paused + `,"Resync":0,"Decision":0,"Approved":false,"HasToken":` + token + `,"Checkpoint":null,"Status":{"State":"` + state + `",` + atRest + `}`
	}
	sameJSON(t, "no links", do(face, "GET", "/v1/replicate/links", ""), `[]`)
	sameJSON(t, "a new link", do(face, "PUT", "/v1/replicate/links/web", `{"source_datacenter":"dc2","prefix":"a/","token":"secret"}`), report("0", "true", "false"))
	sameJSON(t, "a change", do(face, "PUT", "/v1/replicate/links/web", `{"RateLimit":7}`), report("7", "true", "false"))
	sameJSON(t, "another", do(face, "PUT", "/v1/replicate/links", `{"name":"web","token":""}`), report("7", "false", "false"))
	sameJSON(t, "paused", do(face, "PUT", "/v1/replicate/links/web/pause", ""), report("7", "false", "true"))
	shown := do(face, "GET", "/v1/replicate/links/web", "")
	sameJSON(t, "one", shown, report("7", "false", "true"))
	sameJSON(t, "what was read, sent back", do(face, "PUT", "/v1/replicate/links/web", shown.Body.String()), report("7", "false", "true"))
	list := do(face, "GET", "/v1/replicate/links?dc=dc1", "")
	sameJSON(t, "all", list, "["+report("7", "false", "true")+"]")
	if list.Header().Get("X-Consul-Index") == "" {
		t.Error("the list has no index")
	}
	sameJSON(t, "a name of its own", do(face, "PUT", "/v1/replicate/links", `{"source_datacenter":"dc2","prefix":"b/c"}`),
		strings.NewReplacer(`"web"`, `"dc2-b-c"`, `"a/"`, `"b/c"`).Replace(report("0", "false", "false")))
	if w := do(face, "DELETE", "/v1/replicate/links/web", ""); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("removal: %d, %s", w.Code, w.Body)
	}
	if w := do(face, "GET", "/v1/replicate/links/web", ""); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), `no link "web"`) {
		t.Errorf("a link that is gone: %d, %s", w.Code, w.Body)
	}
}

func TestWhatLinksRefuse(t *testing.T) {
	face, _ := newFace(t, nil)
	if w := do(face, "PUT", "/v1/replicate/links/web", `{"source_datacenter":"dc2","prefix":"a/"}`); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	before := do(face, "GET", "/v1/replicate/links", "").Body.String()
	for _, c := range []struct {
		method, target, content string
		status                  int
		says                    string
	}{
		{"PUT", "/v1/replicate/links/x", `{"source_datacenter":"dc2"}`, 400, "prefix is missing"},
		{"PUT", "/v1/replicate/links/x", `{"prefix":"b/"}`, 400, "source_datacenter is missing"},
		{"PUT", "/v1/replicate/links/x", ``, 400, "no JSON object"},
		{"PUT", "/v1/replicate/links/x", `{"prefx":"b/"}`, 400, `did you mean "prefix"?`},
		{"PUT", "/v1/replicate/links/x", `{"name":"y","source_datacenter":"dc2","prefix":"b/"}`, 400, "a link keeps its name"},
		{"PUT", "/v1/replicate/links/x y", `{"source_datacenter":"dc2","prefix":"b/"}`, 400, "letters, digits"},
		{"PUT", "/v1/replicate/links/web", `{"max_delete_fraction":2}`, 400, "max_delete_fraction is 2"},
		{"PUT", "/v1/replicate/links/web", `{"rate_limit":-1}`, 400, "rate_limit is -1"},
		{"PUT", "/v1/replicate/links/web", `{"verify_interval":"-1m"}`, 400, "verify_interval is -1m0s"},
		{"PUT", "/v1/replicate/links/web", `{"verify_interval":"soon"}`, 400, "use a duration such as"},
		{"PUT", "/v1/replicate/links/web", `{"conflict":"ours"}`, 400, `"source-wins" or "report"`},
		{"PUT", "/v1/replicate/links/x", `{"source_datacenter":"dc2","prefix":"c/","destination_prefix":"a/b/"}`, 409, "both write below"},
		{"PUT", "/v1/replicate/links/x", `{"source_datacenter":"dc1","prefix":"c/","destination_prefix":"c/d/"}`, 400, "c/"},
		{"PUT", "/v1/replicate/links/web/aprove", ``, 404, "no action \"aprove\": use pause"},
		{"PUT", "/v1/replicate/links/web/verify?repair=maybe", ``, 400, `repair is "maybe": use true or false`},
		{"PUT", "/v1/replicate/links/web/approve", ``, 409, "holds no deletes"},
		{"PUT", "/v1/replicate/links/none/pause", ``, 404, "none"},
		{"DELETE", "/v1/replicate/links/none", ``, 404, "none"},
		{"DELETE", "/v1/replicate/links/", ``, 400, "Missing the name"},
		{"GET", "/v1/replicate/links/", ``, 400, "Missing the name"},
		{"GET", "/v1/replicate/links/none", ``, 404, "none"},
		{"GET", "/v1/replicate/explain", ``, 400, "Missing the key"},
		{"GET", "/v1/replicate/links?dc=*", ``, 400, "asks one datacenter at a time"},
		{"GET", "/v1/replicate/links?dc=nowhere", ``, 500, "No path to datacenter"},
		{"POST", "/v1/replicate/links", ``, 405, "not allowed"},
	} {
		w := do(face, c.method, strings.ReplaceAll(c.target, " ", "%20"), c.content)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s %s: %d %q, want %d %q", c.method, c.target, c.content, w.Code, w.Body, c.status, c.says)
		}
	}
	if after := do(face, "GET", "/v1/replicate/links", "").Body.String(); after != before {
		t.Errorf("something was half done:\n%s\n%s", before, after)
	}
}

func TestLinksAreForOperators(t *testing.T) {
	face, srv := newFace(t, nil)
	strange, _ := newFace(t, func(c *Config) {
		c.Caller = &callers{"dc1", map[string]*server{"dc1": srv}, tokens{"x": stranger{}}}
	})
	if w := do(face, "PUT", "/v1/replicate/links/web", `{"source_datacenter":"dc2","prefix":"a/"}`); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	for _, c := range [][2]string{
		{"GET", "links"}, {"GET", "links/web"}, {"GET", "explain?key=a/b"}, {"PUT", "links/web"}, {"DELETE", "links/web"}, {"PUT", "links/web/pause"},
	} {
		r := httptest.NewRequest(c[0], "/v1/replicate/"+c[1], strings.NewReader("{}"))
		r.Header.Set("X-Consul-Token", "x")
		w := httptest.NewRecorder()
		strange.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden || w.Header().Get("X-Hanse-Reason") != string(rpc.ReasonDenied) {
			t.Errorf("%s %s: %d %s", c[0], c[1], w.Code, w.Body)
		}
	}
}

func TestAKeyIsExplained(t *testing.T) {
	face, _ := newFace(t, nil)
	w := do(face, "GET", "/v1/replicate/explain?key=a/b%20%26", "")
	sameJSON(t, "no links", w, `{"Key":"a/b &","Exists":false,"Links":[]}`)
	var reply struct{ Links []link.Explanation }
	if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil {
		t.Error(err)
	}
}
