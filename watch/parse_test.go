package watch

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/config"
)

// load reads a configuration file as an agent does.
func load(t testing.TB, name, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	flags := config.Register(fs)
	if err := fs.Parse([]string{"-dev", "-config-file", path}); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := flags.Load()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const everyKindHCL = `
watches {
  type = "key"
  key = "config/limit"
  stale = true
  datacenter = "beijing"
  token = "secret"
  handler = "./limit.sh | logger"
}
watches = [
  { type = "keyprefix", prefix = "config/", args = ["./config.sh", "-v"] },
  { type = "services", handler_type = "script", args = ["./services.sh"] },
  { type = "nodes", args = ["./nodes.sh"] },
  { type = "service", service = "web", tag = ["v1", "v2"], passingonly = true, args = ["./web.sh"] },
  { type = "checks", state = "critical", args = ["./checks.sh"] },
  { type = "checks", service = "web", args = ["./checks.sh"] },
  { type = "agent_service", service_id = "web-1", args = ["./web.sh"] },
]
watches {
  type = "event"
  name = "deploy"
  handler_type = "http"
  http_handler_config {
    path = "https://localhost:8000/watch"
    method = "PUT"
    timeout = "3s"
    header { X-Extra = ["a", "b"] }
    tls_skip_verify = true
  }
}`

const everyKindJSON = `{"watches": [
  {"type": "key", "key": "config/limit", "stale": true, "datacenter": "beijing", "token": "secret", "handler": "./limit.sh | logger"},
  {"type": "keyprefix", "prefix": "config/", "args": ["./config.sh", "-v"]},
  {"type": "services", "handler_type": "script", "args": ["./services.sh"]},
  {"type": "nodes", "args": ["./nodes.sh"]},
  {"type": "service", "service": "web", "tag": ["v1", "v2"], "passingonly": true, "args": ["./web.sh"]},
  {"type": "checks", "state": "critical", "args": ["./checks.sh"]},
  {"type": "checks", "service": "web", "args": ["./checks.sh"]},
  {"type": "agent_service", "service_id": "web-1", "args": ["./web.sh"]},
  {"type": "event", "name": "deploy", "handler_type": "http", "http_handler_config":
    {"path": "https://localhost:8000/watch", "method": "PUT", "timeout": "3s", "header": {"X-Extra": ["a", "b"]}, "tls_skip_verify": true}}
]}`

func TestWatchesMeanTheSameInEitherFormat(t *testing.T) {
	both := map[string][]*Watch{}
	for name, text := range map[string]string{"w.hcl": everyKindHCL, "w.json": everyKindJSON} {
		watches, err := ParseAll(load(t, name, text).Watches)
		if err != nil {
			t.Fatal(err)
		}
		both[name] = watches
	}
	hcl, json := both["w.hcl"], both["w.json"]
	if len(hcl) != 9 || len(json) != 9 {
		t.Fatalf("%d watches in HCL, %d in JSON", len(hcl), len(json))
	}
	byIdentity := map[string]bool{}
	for _, w := range hcl {
		byIdentity[w.identity] = true
	}
	for _, w := range json {
		if !byIdentity[w.identity] {
			t.Errorf("only JSON has %s", w.identity)
		}
		switch w.Kind() {
		case "key":
			if want := (script{shell: true, args: []string{"./limit.sh | logger"}}); !reflect.DeepEqual(w.handler, want) {
				t.Errorf("the handler of a key is %+v", w.handler)
			}
			if w.plan.Datacenter != "beijing" || w.plan.Token != "secret" {
				t.Errorf("it asks %q with %q", w.plan.Datacenter, w.plan.Token)
			}
		case "keyprefix":
			if want := (script{args: []string{"./config.sh", "-v"}}); !reflect.DeepEqual(w.handler, want) {
				t.Errorf("the handler of a prefix is %+v", w.handler)
			}
		case "event":
			s := w.handler.(*webhook).settings
			if s.Method != "PUT" || s.Timeout.String() != "3s" || !s.TLSSkipVerify || len(s.Header["X-Extra"]) != 2 {
				t.Errorf("the handler of an event is %+v", s)
			}
		}
	}
}

func TestWrongWatchesAreNamed(t *testing.T) {
	for text, says := range map[string]string{
		`{"key": "a", "args": ["true"]}`:                                                                            "Watch type must be specified",
		`{"type": "nope", "args": ["true"]}`:                                                                        "Unsupported watch type: nope",
		`{"type": 7, "args": ["true"]}`:                                                                             "Expecting type to be a string",
		`{"type": "key", "args": ["true"]}`:                                                                         "Must specify a single key to watch",
		`{"type": "keyprefix", "args": ["true"]}`:                                                                   "Must specify a single prefix to watch",
		`{"type": "service", "args": ["true"]}`:                                                                     "Must specify a single service to watch",
		`{"type": "connect_leaf", "args": ["true"]}`:                                                                "Must specify a single service to watch",
		`{"type": "agent_service", "service_id": "", "args": ["true"]}`:                                             "Must specify a single service_id to watch",
		`{"type": "checks", "service": "a", "state": "any", "args": ["true"]}`:                                      "Cannot specify service and state",
		`{"type": "nodes", "key": "a", "args": ["true"]}`:                                                           "Invalid parameters: [key]: a watch of type nodes has stale, filter",
		`{"type": "service", "service": "a", "passingonly": "yes", "args": ["true"]}`:                               "Expecting passingonly to be a boolean",
		`{"type": "nodes"}`:                                                                                         "it has no handler",
		`{"type": "nodes", "handler": ""}`:                                                                          "handler is no line for the shell",
		`{"type": "nodes", "args": []}`:                                                                             "args is no list of texts",
		`{"type": "nodes", "args": "true"}`:                                                                         "args is no list of texts",
		`{"type": "nodes", "args": ["a", 1]}`:                                                                       "args[1] is no text",
		`{"type": "nodes", "handler": "true", "args": ["true"]}`:                                                    "it has both handler and args",
		`{"type": "nodes", "handler_type": "mail", "args": ["true"]}`:                                               `handler_type "mail" is unknown`,
		`{"type": "nodes", "handler_type": "http"}`:                                                                 "requires 'http_handler_config' to be set",
		`{"type": "nodes", "handler_type": "http", "args": ["true"]}`:                                               "it has two handlers",
		`{"type": "nodes", "http_handler_config": {"path": "http://a"}}`:                                            `handlers of handler_type "http"`,
		`{"type": "nodes", "handler_type": "http", "http_handler_config": {}}`:                                      "Requires 'path' to be set",
		`{"type": "nodes", "handler_type": "http", "http_handler_config": {"path": "/a"}}`:                          "is no URL",
		`{"type": "nodes", "handler_type": "http", "http_handler_config": {"path": "http://a", "x": 1}}`:            "http_handler_config.x is unknown",
		`{"type": "nodes", "handler_type": "http", "http_handler_config": {"path": "http://a", "timeout": "soon"}}`: "Failed to parse timeout",
		`{"type": "nodes", "handler_type": "http", "http_handler_config": {"path": "http://a", "timeout": "-1s"}}`:  "use a positive duration",
	} {
		cfg := load(t, "web.json", `{"watches": [{"type": "nodes", "args": ["true"]}, `+text+`]}`)
		watches, err := ParseAll(cfg.Watches)
		if err == nil {
			t.Errorf("%s is no mistake: %v", text, watches[1].identity)
			continue
		}
		if !strings.Contains(err.Error(), "web.json: watches[1]: ") || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", text, err, says)
		}
	}
}
