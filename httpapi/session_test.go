package httpapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/test/golden"
)

// newSessionFace is a face of the node alpha, beside which ext1 is known.
func newSessionFace(t testing.TB) *API {
	t.Helper()
	face, srv := newFace(t, nil)
	srv.register(t, `{"Node":"alpha","Address":"127.31.1.1","Check":{"Node":"alpha","CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing"}}`)
	srv.register(t, `{"Node":"ext1","Address":"10.1.0.11","Checks":[{"Node":"ext1","CheckID":"host","Name":"host","Status":"passing"},
		{"Node":"ext1","CheckID":"disk","Name":"disk","Status":"critical"}]}`)
	return face
}

// TestSessionsAnswerAsRecorded plays recorded exchanges. The IDs of their sessions are
// those that we gave to ours.
func TestSessionsAnswerAsRecorded(t *testing.T) {
	recorded, err := os.ReadFile("testdata/sessions.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	face := newSessionFace(t)
	ids := []string{
		// Clients match how the text begins.
		`raft apply failed: invalid session`, `invalid session`,
	}
	for line := range bytes.Lines(recorded) {
		var x golden.HTTP
		if err := json.Unmarshal(line, &x); err != nil {
			t.Fatal(err)
		}
		t.Run(x.Note, func(t *testing.T) {
			ours := strings.NewReplacer(ids...)
			w := do(face, x.Method, ours.Replace(x.Path), x.Body)
			rep := w.Result()
			got, err := io.ReadAll(rep.Body)
			if err != nil {
				t.Fatal(err)
			}
			var theirs, mine struct{ ID string }
			if json.Unmarshal([]byte(x.Response), &theirs) == nil && json.Unmarshal(got, &mine) == nil && theirs.ID != "" {
				ids = append(ids, theirs.ID, mine.ID)
				ours = strings.NewReplacer(ids...)
			}
			x.Response = inOrder(ours.Replace(x.Response))
			delete(x.Headers, "Content-Length") // net/http adds it
			compare(t, &x, rep, got)
		})
	}
}

// inOrder sorts a list of sessions by ID, as answers are.
func inOrder(body string) string {
	var rows []json.RawMessage
	if json.Unmarshal([]byte(body), &rows) != nil || len(rows) < 2 {
		return body
	}
	id := func(row json.RawMessage) string {
		var s struct{ ID string }
		if json.Unmarshal(row, &s) != nil {
			return ""
		}
		return s.ID
	}
	slices.SortFunc(rows, func(x, y json.RawMessage) int { return cmp.Compare(id(x), id(y)) })
	sorted, err := json.Marshal(rows)
	if err != nil {
		return body
	}
	return string(sorted)
}

// create makes a session of a body, and returns its answer's status and what the session
// is then shown as, or the text of the error.
func create(t *testing.T, face http.Handler, body string) (int, string) {
	t.Helper()
	w := do(face, "PUT", "/v1/session/create", body)
	if w.Code != 200 {
		return w.Code, w.Body.String()
	}
	var made struct{ ID string }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	info := do(face, "GET", "/v1/session/info/"+made.ID, "")
	return w.Code, strings.ReplaceAll(info.Body.String(), made.ID, "ID")
}

func TestWhatASessionDoesNotSayIsFilledIn(t *testing.T) {
	face := newSessionFace(t)
	const (
		alpha = `"Node":"alpha"`
		serf  = `"NodeChecks":["serfHealth"]`
	)
	for body, want := range map[string][]string{
		``:                             {alpha, serf, `"LockDelay":15000000000`, `"Behavior":"release"`, `"TTL":""`, `"ServiceChecks":null`},
		"  \n":                         {alpha, serf},
		`{}`:                           {alpha, serf},
		`null`:                         {alpha, serf},
		`{"LockDelay":"0s"}`:           {`"LockDelay":0,`},
		`{"LockDelay":0}`:              {`"LockDelay":0,`},
		`{"LockDelay":null}`:           {`"LockDelay":15000000000`},
		`{"LockDelay":"1ms"}`:          {`"LockDelay":1000000,`},
		`{"LockDelay":0.5}`:            {`"LockDelay":500000000,`},
		`{"LockDelay":60}`:             {`"LockDelay":60000000000`},
		`{"LockDelay":1000}`:           {`"LockDelay":1000,`},
		`{"NodeChecks":[]}`:            {`"NodeChecks":[]`},
		`{"Checks":[]}`:                {`"NodeChecks":[]`},
		`{"TTL":"0s"}`:                 {`"TTL":"0s"`},
		`{"TTL":"24h"}`:                {`"TTL":"24h"`},
		`{"name":"a","ttl":"15.0s"}`:   {`"Name":"a"`, `"TTL":"15.0s"`},
		`{"Node":"ext1","Checks":[]}`:  {`"Node":"ext1"`},
		`{"ID":"mine","Name":"again"}`: {`"ID":"ID"`, `"Name":"again"`},
		`{"Node":"ext1","NodeChecks":["host"],"ServiceChecks":[{"ID":"host"}]}`: {`"NodeChecks":["host"]`, `"ServiceChecks":[{"ID":"host"}]`},
		`{"Node":"ext1","Checks":["host"]}`:                                     {`"NodeChecks":["host"]`},
	} {
		status, shown := create(t, face, body)
		for _, part := range want {
			if status != 200 || !strings.Contains(shown, part) {
				t.Errorf("%s: %d %s, want %s", body, status, shown, part)
			}
		}
	}
}

func TestSessionsThatCannotBeAreRefused(t *testing.T) {
	face := newSessionFace(t)
	for body, want := range map[string]struct {
		status int
		says   string
	}{
		`{"TTL":"9.99s"}`:                       {500, "Invalid Session TTL '9990000000', must be between [10s=24h0m0s]"},
		`{"TTL":"24h1s"}`:                       {500, "Invalid Session TTL"},
		`{"TTL":"-1s"}`:                         {500, "Invalid Session TTL"},
		`{"TTL":15}`:                            {400, "Request decode failed"},
		`{"TTL":"15"}`:                          {500, "Session TTL '15' invalid"},
		`{"LockDelay":"61s"}`:                   {500, "Invalid Session LockDelay"},
		`{"LockDelay":-1}`:                      {500, "Invalid Session LockDelay"},
		`{"LockDelay":1e300}`:                   {400, "LockDelay is out of range"},
		`{"LockDelay":true}`:                    {400, "LockDelay is neither text nor a number"},
		`{"LockDelay":""}`:                      {400, "invalid duration"},
		`{"Node":""}`:                           {500, "Must provide Node"},
		`{"Node":"ext1"}`:                       {500, "apply failed: Missing check 'serfHealth' registration"},
		`{"NodeChecks":["nope"]}`:               {500, "apply failed: Missing check 'nope' registration"},
		`{"NodeChecks":[""]}`:                   {500, "apply failed: Missing check '' registration"},
		`{"ServiceChecks":[{"ID":""}]}`:         {500, "apply failed: Missing check '' registration"},
		`{"Node":"ext1","NodeChecks":["disk"]}`: {500, "apply failed: Check 'disk' is in critical state"},
		`{"Nope":1}`:                            {400, `unknown field "Nope"`},
		`{} {}`:                                 {400, "there is more behind"},
		`[]`:                                    {400, "Request decode failed"},
		`{"Name":"` + strings.Repeat("x", maxBody) + `"}`: {413, "is too large"},
	} {
		if status, text := create(t, face, body); status != want.status || !strings.Contains(text, want.says) {
			t.Errorf("%.60s: %d %s, want %d %s", body, status, text, want.status, want.says)
		}
	}
	if w := do(face, "GET", "/v1/session/list", ""); w.Body.String() != "[]" {
		t.Errorf("something was created all the same: %s", w.Body)
	}
	for target, says := range map[string]string{
		"PUT /v1/session/destroy/": "Missing session", "PUT /v1/session/renew/": "Missing session",
		"GET /v1/session/info/": "Missing session", "GET /v1/session/node/": "Missing node name",
		"GET /v1/session/list?index=x": "Invalid index", "GET /v1/session/create": "method GET not allowed", "GET /v1/session/renew/a": "method GET not allowed",
	} {
		method, path, _ := strings.Cut(target, " ")
		if w := do(face, method, path, ""); w.Code < 400 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s, want %s", target, w.Code, w.Body, says)
		}
	}
}

func TestWhoMayNotHasNoSessions(t *testing.T) {
	face, srv := newFace(t, func(c *Config) {
		c.Caller.(*callers).resolver = tokens{"5ec2e700-0000-4000-8000-00000000a004": stranger{}}
	})
	srv.register(t, `{"Node":"alpha","Address":"127.31.1.1"}`)
	w := do(face, "PUT", "/v1/session/create", `{"Checks":[]}`)
	var made struct{ ID string }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	const denial = "Permission denied: token with AccessorID 'acce5500-0000-4000-8000-00000000a004' lacks permission 'session:write' on \"alpha\""
	as := func(method, target, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header.Set("X-Consul-Token", "5ec2e700-0000-4000-8000-00000000a004")
		w := httptest.NewRecorder()
		face.ServeHTTP(w, r)
		return w
	}
	for _, path := range []string{"create", "destroy/" + made.ID, "renew/" + made.ID} {
		if w := as("PUT", "/v1/session/"+path, ""); w.Code != 403 || w.Body.String() != denial || w.Header().Get("X-Hanse-Reason") != string(rpc.ReasonDenied) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for _, path := range []string{"list", "node/alpha", "info/" + made.ID} {
		if w := as("GET", "/v1/session/"+path, ""); w.Code != 200 || w.Body.String() != "[]" || w.Header().Get("X-Consul-Results-Filtered-By-Acls") != "true" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := do(face, "GET", "/v1/session/list", ""); !strings.Contains(w.Body.String(), made.ID) {
		t.Error("the session was destroyed without permission")
	}
}

// The patterns of Vault: a lock is checked by every write, and a session ends in one.
func TestSessionsInATransaction(t *testing.T) {
	face := newSessionFace(t)
	var made struct{ ID string }
	if err := json.Unmarshal(do(face, "PUT", "/v1/session/create", "").Body.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ops    string
		status int
		says   string
	}{
		{`[{"KV":{"Verb":"lock","Key":"a","Session":"ID"}},{"KV":{"Verb":"set","Key":"b"}}]`, 200, `"LockIndex":1,"Key":"a"`},
		{`[{"KV":{"Verb":"check-session","Key":"a","Session":"ID"}},{"KV":{"Verb":"set","Key":"b"}}]`, 200, `"Key":"b"`},
		{`[{"KV":{"Verb":"check-session","Key":"a","Session":"other"}},{"KV":{"Verb":"set","Key":"b"}}]`, 409, `"OpIndex":0,"What":"failed session check for key \"a\"`},
		{`[{"KV":{"Verb":"check-session","Key":"a","Session":"ID"}}]`, 200, `"KnownLeader":true`},
		{`[{"Session":{"Verb":"nope","Session":{"ID":"ID"}}}]`, 409, `unknown Session operation: nope`},
		{`[{"Session":{"Verb":"delete","Session":{"ID":"ID"}}}]`, 200, `{"Results":[],"Errors":null}`},
		{`[{"KV":{"Verb":"check-session","Key":"a","Session":"ID"}}]`, 409, `current session \"\" !=`},
		{`[{"Session":"delete"}]`, 400, `Failed to parse body`},
	} {
		w := do(face, "PUT", "/v1/txn", strings.ReplaceAll(c.ops, `"ID"}`, `"`+made.ID+`"}`))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s, want %d %s", c.ops, w.Code, w.Body, c.status, c.says)
		}
	}
}

func FuzzSessionBody(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"TTL":"15s","LockDelay":"1ms","Behavior":"delete","Name":"a"}`, `{"LockDelay":1e400}`, `{"LockDelay":[{}]}`,
		`{"Checks":["serfHealth"],"NodeChecks":null,"ServiceChecks":[{"ID":"a","Namespace":"b"}]}`, "{\"Node\":\"a\\u0000b\",\"NodeChecks\":[\"\\u0000\"]}",
	} {
		f.Add(seed)
	}
	face := newSessionFace(f)
	f.Fuzz(func(t *testing.T, body string) {
		w := do(face, "PUT", "/v1/session/create", body)
		var made struct{ ID string }
		switch {
		case w.Code >= 400 && w.Body.Len() == 0:
			t.Fatalf("%q: %d without a word", body, w.Code)
		case w.Code < 400 && (json.Unmarshal(w.Body.Bytes(), &made) != nil || len(made.ID) != 36):
			t.Fatalf("%q: %s", body, w.Body)
		case w.Code < 400:
			if w := do(face, "PUT", "/v1/session/renew/"+made.ID, ""); w.Code != 200 || !json.Valid(w.Body.Bytes()) {
				t.Fatalf("%q made a session that cannot be renewed: %s", body, w.Body)
			}
			do(face, "PUT", "/v1/session/destroy/"+made.ID, "")
		}
	})
}
