package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
)

// What a Consul 1.21 agent answered over HTTP, and what its command line printed
// against that agent. Of help texts only the place was kept.
var (
	//go:embed testdata/answers.jsonl
	recordedAnswers []byte
	//go:embed testdata/commands.jsonl
	recordedCommands []byte
	//go:embed testdata/flags.jsonl
	recordedFlags []byte
)

const helpPlaceholder = "<help text>"

// answer is one recorded exchange.
type answer struct {
	Method, Path string
	Status       int
	Headers      map[string]string
	Body         string
}

// recordedCommand is one recorded command line.
type recordedCommand struct {
	Argv                  []string
	Addr                  string // of the agent, where it was not the one that answered
	Stdin, Stdout, Stderr string
	Exit                  int
}

// decodeLines reads JSON lines.
func decodeLines[T any](t testing.TB, lines []byte) []T {
	t.Helper()
	var all []T
	decoder := json.NewDecoder(bytes.NewReader(lines))
	for {
		var v T
		if err := decoder.Decode(&v); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
}

// recordedAgent serves the recorded answers and points the environment at them.
// A request that was not recorded fails the test.
func recordedAgent(t *testing.T) {
	t.Helper()
	answers := map[string]answer{}
	for _, a := range decodeLines[answer](t, recordedAnswers) {
		at, err := url.Parse(a.Path)
		if err != nil {
			t.Fatal(err)
		}
		answers[exchangeKey(a.Method, at)] = a
	}
	serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
		a, ok := answers[exchangeKey(r.Method, r.URL)]
		if !ok {
			t.Errorf("no recorded answer for %s", exchangeKey(r.Method, r.URL))
			return
		}
		for name, value := range a.Headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(a.Status)
		io.WriteString(w, a.Body)
	})
}

// serveAgent serves HTTP on loopback, and points the environment there.
func serveAgent(t *testing.T, handler http.HandlerFunc) {
	t.Helper()
	clearEnvironment(t)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Setenv("CONSUL_HTTP_ADDR", server.URL)
}

// exchangeKey names a request. The segment is left out: the answers were
// recorded without it.
func exchangeKey(method string, at *url.URL) string {
	query := at.Query()
	query.Del("segment")
	return method + " " + at.Path + "?" + query.Encode()
}

// hanse runs a command line and returns what it printed.
func hanse(t testing.TB, stdin string, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	var out, err bytes.Buffer
	exit = run(t.Context(), args, stdio{strings.NewReader(stdin), &out, &err})
	return out.String(), err.String(), exit
}

// variable are the parts of an output that differ between two recordings of
// one cluster: Raft indexes, and every figure of info.
var variable = regexp.MustCompile(`(?m)^((?:Create|Modify)Index +)\d+$|^(.*  )\d+ +-$|^(\t\w+ = ).*$`)

func mask(output string) string { return variable.ReplaceAllString(output, "$1$2*$3") }

func TestPrintsWhatConsulPrints(t *testing.T) {
	recordedAgent(t)
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"svc.json": `{"service": {"id": "cli-1", "name": "clisvc", "port": 81}}`, "bad.json": `{"service":`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range decodeLines[recordedCommand](t, recordedCommands) {
		t.Run(strings.Join(want.Argv, " "), func(t *testing.T) {
			if want.Addr != "" {
				t.Setenv("CONSUL_HTTP_ADDR", want.Addr)
			}
			stdout, stderr, exit := hanse(t, want.Stdin, want.Argv...)
			if exit != want.Exit {
				t.Errorf("exit code %d, want %d", exit, want.Exit)
			}
			compareOutput(t, "stdout", stdout, want.Stdout)
			compareOutput(t, "stderr", stderr, want.Stderr)
		})
	}
}

// compareOutput wants a help text of ours where the recording had one.
func compareOutput(t *testing.T, stream, got, want string) {
	t.Helper()
	before, helps := strings.CutSuffix(want, helpPlaceholder)
	if helps && (!strings.Contains(got, before) || !strings.Contains(got, "Usage: hanse ")) {
		t.Errorf("%s has no help after %q:\n%s", stream, before, got)
	}
	if !helps && mask(got) != mask(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", stream, mask(got), mask(want))
	}
}

func TestHasTheFlagsOfConsul(t *testing.T) {
	type recordedFlagNames struct {
		Command string
		Flags   []string
	}
	for _, want := range decodeLines[recordedFlagNames](t, recordedFlags) {
		cmd, rest, ok := find(strings.Fields(want.Command))
		if !ok || len(rest) > 0 {
			t.Errorf("%s: no such command", want.Command)
			continue
		}
		fs := newFlagSet()
		cmd.prepare(fs)
		for _, name := range want.Flags {
			if fs.Lookup(name) == nil {
				t.Errorf("%s: no flag -%s", want.Command, name)
			}
		}
	}
}
