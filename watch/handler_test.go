package watch

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	library "github.com/hashicorp/consul/api/watch"
	"github.com/hashicorp/go-hclog"
)

func view(t testing.TB, at library.BlockingParamVal, data any) View {
	t.Helper()
	v, err := NewView(at, data)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// logger writes into a text at every level.
func logger() (hclog.Logger, *bytes.Buffer) {
	var text bytes.Buffer
	return hclog.New(&hclog.LoggerOptions{Output: &text, Level: hclog.Debug}), &text
}

func TestScriptIsToldWhatChanged(t *testing.T) {
	log, said := logger()
	v := view(t, library.WaitIndexVal(17), map[string]int{"a": 1})
	if err := (script{shell: true, args: []string{`echo at $CONSUL_INDEX; cat`}}).handle(t.Context(), v, log); err != nil {
		t.Fatal(err)
	}
	if got := said.String(); !strings.Contains(got, "at 17") || !strings.Contains(got, `{"a":1}`) {
		t.Errorf("the log says %s", got)
	}
	// Without a shell nothing is interpreted.
	if err := (script{args: []string{"printf", "%s", "$CONSUL_INDEX"}}).handle(t.Context(), v, log); err != nil || !strings.Contains(said.String(), `$CONSUL_INDEX`) {
		t.Errorf("%v, the log says %s", err, said)
	}
	err := (script{shell: true, args: []string{`yes | head -c 100000; exit 3`}}).handle(t.Context(), v, log)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "Captured 4096 of 100000 bytes") {
		t.Errorf("a script that fails and talks: %.200v", err)
	}
}

func TestServerIsToldWhatChanged(t *testing.T) {
	var got *http.Request
	var body []byte
	status := http.StatusOK
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.Repeat("no ", 10000))
	}))
	defer server.Close()
	settings := &library.HttpHandlerConfig{
		Path: server.URL + "/hook", Method: "PUT", Timeout: time.Minute, Header: map[string][]string{"X-Extra": {"a", "b"}, "Host": {"example"}},
		TLSSkipVerify: true,
	}
	log, _ := logger()
	if err := newWebhook(settings).handle(t.Context(), view(t, library.WaitIndexVal(17), []string{"a"}), log); err != nil {
		t.Fatal(err)
	}
	if got.Method != "PUT" || got.URL.Path != "/hook" || got.Host != "example" || got.Header.Get("X-Consul-Index") != "17" ||
		len(got.Header["X-Extra"]) != 2 || string(body) != "[\"a\"]\n" {
		t.Errorf("got %s %s, %v: %s", got.Method, got.URL, got.Header, body)
	}
	status = http.StatusBadGateway
	err := newWebhook(settings).handle(t.Context(), view(t, library.WaitHashVal("h"), nil), log)
	if err == nil || !strings.Contains(err.Error(), "status 502") || len(err.Error()) > 2*keptOutput {
		t.Errorf("an answer that is no success: %.200v", err)
	}
	if got.Header.Get("X-Consul-Hash") != "h" {
		t.Errorf("the hash is %q", got.Header.Get("X-Consul-Hash"))
	}
	settings.TLSSkipVerify = false
	if err := newWebhook(settings).handle(t.Context(), view(t, library.WaitIndexVal(1), nil), log); err == nil {
		t.Error("a certificate of nobody's was taken")
	}
}
