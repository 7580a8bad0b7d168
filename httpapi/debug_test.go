package httpapi

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestProfilesAreForOperatorsWhereTheyAreOn(t *testing.T) {
	on, _ := newFace(t, func(c *Config) { c.Profiles, c.Resolver = true, tokens{"nobody": stranger{}} })
	url := listen(t, on).URL
	for path, beginning := range map[string]string{
		"/debug/pprof/": "<html>", "/debug/pprof": "<html>", "/debug/pprof/goroutine?debug=1": "goroutine profile:", "/debug/pprof/heap": "\x1f\x8b",
		"/debug/pprof/cmdline": "/", "/debug/pprof/profile?seconds=1": "\x1f\x8b", "/debug/pprof/trace?seconds=0.01": "go 1.", "/debug/pprof/symbol": "num_symbols: 1",
	} {
		rep, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(rep.Body)
		rep.Body.Close()
		if err != nil || rep.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), beginning) {
			t.Errorf("%s: %d %.60q %v", path, rep.StatusCode, body, err)
		}
	}
	if w := do(on, "GET", "/debug/pprof/heap?token=nobody", ""); w.Code != 403 || !strings.HasSuffix(w.Body.String(), "'operator:read'") {
		t.Errorf("for a stranger: %d %s", w.Code, w.Body)
	}
	off, _ := newFace(t, nil)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile"} {
		if w := do(off, "GET", path, ""); w.Code != 404 || !strings.Contains(w.Body.String(), "enable_debug") {
			t.Errorf("%s of an agent without them: %d %s", path, w.Code, w.Body)
		}
	}
}
