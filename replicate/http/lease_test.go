package replicatehttp

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/replicate"
)

// TestALockIsTakenAndFences: one who has to wait, takes the lock, writes, and loses it.
func TestALockIsTakenAndFences(t *testing.T) {
	var asked []string
	answers := []string{
		`{"ID":"s1"}`,
		`[{"Key":"st/x/.lock","Session":"other","Value":"aG9zdC83"}]`,
		`[{"Key":"st/x/.lock","Value":null}]`,
		`true`,
		`{"Results":null,"Errors":[{"OpIndex":0,"What":"failed to set key \"st/x\", index is stale"},{"OpIndex":1,"What":"failed session check for key \"st/x/.lock\": current session \"\" != session \"s1\""}]}`,
		`true`,
	}
	var batch []txnOp
	agent := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Consul-Index", "7")
		if strings.HasPrefix(r.URL.Path, "/v1/session/renew/") {
			io.WriteString(w, "[]")
			return
		}
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/v1/session/create":
			if got := string(body); got != `{"Behavior":"release","LockDelay":"0s","Name":"hanse replicate me/1","TTL":"10s"}` {
				t.Errorf("session %s", got)
			}
		case "/v1/txn":
			if err := json.Unmarshal(body, &batch); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusConflict)
		}
		io.WriteString(w, answers[len(asked)])
		asked = append(asked, r.Method+" "+r.URL.String())
	})
	lease := agent.Lease("me/1", DefaultLockTTL)
	holder := ""
	hold, err := lease.Acquire(t.Context(), "st/x/.lock", func(h string) { holder = h })
	if err != nil || holder != "host/7" {
		t.Fatal(holder, err)
	}
	if full, fenced := agent.Sink().Limits(), hold.Sink.Limits(); fenced.Ops != full.Ops-1 || fenced.Bytes >= full.Bytes {
		t.Errorf("limits %+v, %+v", full, fenced)
	}
	_, err = hold.Sink.Apply(t.Context(), replicate.Batch{Record: replicate.Record{Key: "st/x", Index: 3}, Ops: []replicate.Op{{Key: "a"}}})
	if !errors.Is(err, replicate.ErrLost) {
		t.Errorf("error %v", err)
	}
	if len(batch) != 3 || batch[0].KV.Verb != "cas" || !reflect.DeepEqual(batch[1].KV, txnKV{Verb: "check-session", Key: "st/x/.lock", Session: "s1"}) {
		t.Errorf("batch %+v", batch)
	}
	if err := lease.Close(); err != nil || hold.Held.Err() == nil {
		t.Error(err, hold.Held.Err())
	}
	want := "PUT /v1/session/create, GET /v1/kv/st/x/.lock, GET /v1/kv/st/x/.lock?index=7&wait=60000ms, PUT /v1/kv/st/x/.lock?acquire=s1, PUT /v1/txn, PUT /v1/session/destroy/s1"
	if got := strings.Join(asked, ", "); got != want {
		t.Errorf("asked %s", got)
	}
}

// TestASessionThatIsGoneIsMadeAnew: an agent says so when a lock is taken.
func TestASessionThatIsGoneIsMadeAnew(t *testing.T) {
	sessions := 0
	lease := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Consul-Index", "7")
		switch path := r.URL.Path; {
		case path == "/v1/session/create":
			sessions++
			io.WriteString(w, `{"ID":"s`+string(rune('0'+sessions))+`"}`)
		case strings.HasPrefix(path, "/v1/session/renew/"):
			if !strings.HasSuffix(path, "s2") {
				w.WriteHeader(http.StatusNotFound)
			}
		case r.Method == http.MethodGet:
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Query().Get("acquire") != "s2":
			http.Error(w, `rpc error: invalid session "s1"`, http.StatusInternalServerError)
		default:
			io.WriteString(w, "true\n")
		}
	}).Lease("me", DefaultLockTTL)
	t.Cleanup(func() { lease.Close() })
	for {
		hold, err := lease.Acquire(t.Context(), "x", func(string) {})
		if err == nil && hold.Held.Err() == nil {
			break
		}
		if err != nil && !strings.Contains(err.Error(), "invalid session") {
			t.Fatal(err)
		}
	}
}

func TestWhyThereIsNoLock(t *testing.T) {
	for _, c := range []struct {
		path, method string
		status       int
		body, says   string
	}{
		{"/v1/session/create", "PUT", 403, "Permission denied", "PUT /v1/session/create: 403 Forbidden: Permission denied"},
		{"/v1/session/create", "PUT", 200, `{}`, "no ID"},
		{"/v1/session/create", "PUT", 200, `{"ID":`, "unexpected EOF"},
		{"/v1/kv/x", "GET", 500, "No cluster leader", "No cluster leader"},
		{"/v1/kv/x", "GET", 200, `[]`, "not about"},
		{"/v1/kv/x", "GET", 200, `[{"Key":"y"}]`, "not about"},
		{"/v1/kv/x", "GET", 200, `<html>`, "decode"},
		{"/v1/kv/x", "PUT", 403, "Permission denied", "Permission denied"},
	} {
		lease := stranger(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Consul-Index", "7")
			if r.URL.Path == c.path && r.Method == c.method {
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
				return
			}
			switch {
			case r.URL.Path == "/v1/session/create":
				io.WriteString(w, `{"ID":"s"}`)
			case r.Method == http.MethodGet:
				w.WriteHeader(http.StatusNotFound)
			}
		}).Lease("me", DefaultLockTTL)
		_, err := lease.Acquire(t.Context(), "x", func(string) {})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s %d %s: %v", c.method, c.path, c.status, c.body, err)
		}
		lease.Close()
	}
}

// FuzzDecodeLock: an answer that is accepted is about the key that was asked for.
func FuzzDecodeLock(f *testing.F) {
	f.Add(`[{"Key":"x","Session":"s","Value":"aG9zdC83"}]`)
	f.Add(`{"ID":"s"}`)
	f.Add(`[{"Key":"x"}`)
	f.Fuzz(func(t *testing.T, body string) {
		if lock, err := decodeLock(strings.NewReader(body), "x"); err == nil && lock.Key != "x" {
			t.Fatalf("%q is taken for %+v", body, lock)
		}
		if id, err := decodeSession(strings.NewReader(body)); (err == nil) != (id != "") {
			t.Fatalf("%q: session %q with error %v", body, id, err)
		}
	})
}
