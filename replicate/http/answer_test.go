package replicatehttp

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/hashicorp/go-cleanhttp"

	"github.com/hanse-project/hanse/replicate"
)

// stranger is a server that answers as told: a proxy, a broken agent, or none at all.
func stranger(t *testing.T, answer http.HandlerFunc) *Agent {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	base, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return NewAgent(*base, http.Header{"X-Consul-Token": {"secret"}}, cleanhttp.DefaultClient())
}

func drain(l *replicate.Listing) (n int, err error) {
	defer l.Close()
	for _, err := range l.Entries {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func TestWhatIsNotAnAnswerIsAnError(t *testing.T) {
	const whole = `[{"Key":"config/a","Value":"AAA="}]`
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		err    string
	}{
		{"a server error", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Hanse-Reason", "breaker_open")
			http.Error(w, "No path to datacenter", 500)
		}, "500 Internal Server Error: No path to datacenter (breaker_open)"},
		{"a denial", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "ACL not found", http.StatusForbidden) }, "403 Forbidden: ACL not found"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/v1/kv/else", http.StatusMovedPermanently)
		}, "301 Moved"},
		{"a page that is not found", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "404 Not Found"},
		{"an agent's 404 with a body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "5")
			http.Error(w, "?", 404)
		}, "404 with a body"},
		{"an index that is no number", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "-5")
			w.Write([]byte(whole))
		}, `header X-Consul-Index is "-5"`},
		{"a body that breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "5")
			w.Header().Set("Content-Length", "200")
			w.Write([]byte(whole))
		}, "unexpected EOF"},
		{"a chunked body that breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "5")
			w.Write([]byte(whole[:len(whole)-1]))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "unexpected EOF"},
		{"a body cut at an entry's end, and ended well", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "5")
			w.Write([]byte(whole[:len(whole)-1]))
		}, "does not end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := stranger(t, c.answer).Source("shanghai", 0)
			l, err := source.List(t.Context(), replicate.Query{Prefix: "config/"})
			if err == nil {
				_, err = drain(l)
			}
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want one with %q", err, c.err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the token is in %v", err)
			}
		})
	}
}

func TestTheHeadOfAnAnswerIsRead(t *testing.T) {
	source := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.String(); got != "/v1/kv/a%20b/%C3%BC/../x?dc=shanghai&index=7&recurse=&wait=60000ms" || r.Header.Get("X-Consul-Token") != "secret" {
			t.Errorf("asked for %s", got)
		}
		for k, v := range map[string]string{
			"X-Consul-Index": "18446744073709551615", "X-Consul-Knownleader": "true", "X-Consul-Results-Filtered-By-Acls": "true",
			"X-Hanse-Datacenter-Id": "id", "X-Hanse-Incarnation": "inc",
		} {
			w.Header().Set(k, v)
		}
		w.WriteHeader(404)
	}).Source("shanghai", 0)
	l, err := source.List(t.Context(), replicate.Query{Prefix: "a b/ü/../x", After: 7})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := drain(l); n != 0 || err != nil {
		t.Errorf("%d entries, %v", n, err)
	}
	if l.Position != (replicate.Position{Index: 1<<64 - 1, Datacenter: "id", Incarnation: "inc"}) || !l.KnownLeader || !l.Filtered {
		t.Errorf("%+v", l)
	}
}

func TestAStaleAnswerThatIsTooOldIsAskedForAgain(t *testing.T) {
	var asked []string
	contact := "5000"
	source := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		mode := "default"
		for _, m := range []string{"stale", "consistent"} {
			if r.URL.Query().Has(m) {
				mode = m
			}
		}
		asked = append(asked, mode)
		w.Header().Set("X-Consul-Index", "5")
		w.Header().Set("X-Consul-Knownleader", "true")
		w.Header().Set("X-Consul-Lastcontact", "0")
		if mode == "stale" {
			w.Header().Set("X-Consul-Lastcontact", contact)
		}
		w.Write([]byte("[]"))
	}).Source("shanghai", 1e9)
	for _, q := range []replicate.Query{{}, {Fresh: true}} {
		l, err := source.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	contact = "1000"
	l, err := source.List(t.Context(), replicate.Query{})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if got := strings.Join(asked, " "); got != "stale default consistent stale" {
		t.Errorf("asked %s", got)
	}
}

func TestATransactionThatIsRefusedNamesWhat(t *testing.T) {
	moved := `{"Results":null,"Errors":[{"OpIndex":0,"What":"failed to set key \"s\", index is stale"}]}`
	sink := stranger(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(409)
		w.Write([]byte(moved))
	}).Sink()
	if _, err := sink.Apply(t.Context(), replicate.Batch{}); !errors.Is(err, replicate.ErrMoved) {
		t.Errorf("error %v", err)
	}
}

func TestSelfOfSomethingElse(t *testing.T) {
	agent := stranger(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) })
	if _, err := agent.Self(t.Context()); err == nil || !strings.Contains(err.Error(), "is this an agent's HTTP API?") {
		t.Errorf("error %v", err)
	}
}

func TestCount(t *testing.T) {
	for body, want := range map[string]int{`["config/a","config/b"]`: 2, `[]`: 0, "": 0, `["config/a",`: -1, `no`: -1} {
		source := stranger(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("entries") {
				http.Error(w, "Missing key name", 400)
				return
			}
			if !r.URL.Query().Has("keys") || r.URL.Query().Get("dc") != "shanghai" {
				t.Errorf("asked for %s", r.URL)
			}
			if body == "" {
				w.WriteHeader(404)
			}
			w.Write([]byte(body))
		}).Source("shanghai", 0)
		n, err := source.Count(t.Context(), "config/")
		if (err != nil) != (want < 0) || err == nil && n != want {
			t.Errorf("%q: %d, %v", body, n, err)
		}
	}
}

func TestCountOfWhoKnowsPages(t *testing.T) {
	source := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.RequestURI(); got != "/v1/kv/config/?count=&dc=shanghai&entries=&limit=1" {
			t.Errorf("asked for %s", got)
		}
		pageHeader(w, "true")
		w.Header().Set("X-Hanse-Total-Keys", "1000000")
		w.Write([]byte(`[{"Key":"config/a"}]`))
	}).Source("shanghai", 0)
	if n, err := source.Count(t.Context(), "config/"); n != 1_000_000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
