package local

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/config"
)

// malformed are definitions of a service that are wrong in one thing, and what is said.
var malformed = []struct{ body, says string }{
	{`{}`, "Missing service name"},
	{`{"name":""}`, "Missing service name"},
	{`{"name":["web"]}`, "name: use a text, not a list"},
	{`{"nmae":"web"}`, `unknown field "nmae"`},
	{`{"name":"web","Name":"web"}`, `given twice`},
	{`{"name":"web","enable_tag_override":true,"EnableTagOverride":true}`, "given twice"},
	{`{"name":"web","port":-1}`, "Invalid service port -1"},
	{`{"name":"web","port":65536}`, "Invalid service port 65536"},
	{`{"name":"web","port":1.5}`, "port: use a whole number, not the number 1.5"},
	{`{"name":"web","port":{"http":1}}`, "port: use a whole number, not an object"},
	{`{"name":"web","address":"0.0.0.0"}`, "Invalid service address"},
	{`{"name":"web","address":"[::]"}`, "Invalid service address"},
	{`{"name":"web","tags":{"a":"b"}}`, "tags: use a text, not an object"},
	{`{"name":"web","tags":[["a"]]}`, "tags: use a text, not a list"},
	{`{"name":"web","meta":["a"]}`, "meta: use an object, not a list"},
	{`{"name":"web","meta":{"a b":"c"}}`, "Invalid Service Meta: Couldn't load metadata pair ('a b', 'c'): Key contains invalid characters"},
	{`{"name":"web","meta":{"a":{"b":"c"}}}`, "meta.a: use a text, not an object"},
	{`{"name":"web","meta":{"consul-x":"c"}}`, "is reserved for internal use"},
	{`{"name":"web","tagged_addresses":{"lan":"10.0.0.1"}}`, "tagged_addresses.lan: use an object, not a text"},
	{`{"name":"web","tagged_addresses":{"lan":{"address":"10.0.0.1","port":"x"}}}`, "tagged_addresses.lan.port: use a whole number, not a text"},
	{`{"name":"web","tagged_addresses":{"lan":{"address":"0.0.0.0"}}}`, `Invalid service address in TaggedAddresses "lan"`},
	{`{"name":"web","weights":{"passing":0,"warning":1}}`, "Invalid Weights: Passing must be greater than 0"},
	{`{"name":"web","weights":{"passing":1,"warning":70000}}`, "Weight must be less or equal than 65535"},
	{`{"name":"web","weights":5}`, "weights: use an object, not the number 5"},
	{`{"name":"web","kind":"connect-proxy","port":1}`, "Proxy.DestinationServiceName must be non-empty"},
	{`{"name":"web","proxy":{"upstreams":"db"}}`, "proxy.upstreams"},
	{`{"name":"web","proxy":{"config":5}}`, "proxy.config: use an object, not the number 5"},
	{`{"name":"web","proxy":{"upstreams":[{"destination_nmae":"db"}]}}`, `unknown field "proxy.upstreams.destination_nmae"`},
	{`{"name":"web","connect":{"sidecar":{}}}`, `unknown field "connect.sidecar"`},
	{`{"name":"web","connect":true}`, "connect: use an object, not true"},
	{`{"name":"web","check":"curl"}`, "check: use an object"},
	{`{"name":"web","check":{}}`, "Invalid check: TTL must be > 0 for TTL checks"},
	{`{"name":"web","check":{"interval":"10s"}}`, "Invalid check: TTL must be > 0 for TTL checks"},
	{`{"name":"web","check":{"ttl":"soon"}}`, `check.ttl: time: invalid duration "soon"`},
	{`{"name":"web","check":{"ttl":"-1s"}}`, "Invalid check: TTL must be > 0 for TTL checks"},
	{`{"name":"web","check":{"ttl":true}}`, `check.ttl: use a duration such as "10s", not true`},
	{`{"name":"web","check":{"ttl":"1s","interval":"1s"}}`, "Interval and TTL cannot both be specified"},
	{`{"name":"web","check":{"ttl":"1s","status":"fine"}}`, "Status for checks must 'passing', 'warning', 'critical'"},
	{`{"name":"web","check":{"http":"http://x"}}`, "Interval must be > 0"},
	{`{"name":"web","check":{"http":"localhost:80","interval":"1s"}}`, `HTTP is "localhost:80": use a URL`},
	{`{"name":"web","check":{"http":"http://x","method":"GE T","interval":"1s"}}`, `Method is "GE T"`},
	{`{"name":"web","check":{"http":"http://x","header":{"a b":["c"]},"interval":"1s"}}`, `Header has the name "a b"`},
	{`{"name":"web","check":{"http":"http://x","interval":"1s","timeout":"-1s"}}`, "Timeout is -1s"},
	{`{"name":"web","check":{"http":"http://x","interval":"1s","failures_before_warning":3,"failures_before_critical":2}}`, "FailuresBeforeWarning can't be higher than FailuresBeforeCritical"},
	{`{"name":"web","check":{"http":"http://x","interval":"1s","success_before_passing":-1}}`, "SuccessBeforePassing must be positive"},
	{`{"name":"web","check":{"http":"http://x","interval":"1s","output_max_size":-1}}`, "OutputMaxSize must be positive"},
	{`{"name":"web","check":{"tcp":"localhost","interval":"1s"}}`, `TCP is "localhost": use host:port`},
	{`{"name":"web","check":{"udp":":","interval":"1s"}}`, `UDP is ":": use host:port`},
	{`{"name":"web","check":{"grpc":"x","interval":"1s"}}`, `GRPC is "x": use host:port`},
	{`{"name":"web","check":{"h2ping":"x","interval":"1s"}}`, `H2PING is "x": use host:port`},
	{`{"name":"web","check":{"docker_container_id":"x","interval":"1s"}}`, "Args is empty"},
	{`{"name":"web","check":{"args":[""],"interval":"1s"}}`, "Args begins with an empty word"},
	{`{"name":"web","check":{"script":"true","interval":"1s"}}`, `unknown field "check.script"`},
	{`{"name":"web","check":{"id":"serfHealth","ttl":"1s"}}`, "serfHealth is the check of gossip"},
	{`{"name":"web","checks":[{"ttl":"1s"},{"ttl":"x"}]}`, `checks[1].ttl: time: invalid duration "x"`},
	{`{"name":"web","connect":{"sidecar_service":{"id":"x"}}}`, "Invalid sidecar_service: ID cannot be set"},
	{`{"name":"web","connect":{"sidecar_service":{"check":{"ttl":"x"}}}}`, `connect.sidecar_service.check.ttl: time: invalid duration "x"`},
}

// Whatever is wrong with a definition, the field and the reason are named, and what is
// registered stays as it is.
func TestNothingIsTakenOfAMalformedDefinition(t *testing.T) {
	s := newState(t, func(c *Config) { c.RemoteScripts, c.DataDir = true, t.TempDir() })
	good := config.Definition{Kind: "service", Source: "good.json", Body: map[string]any{
		"name": "good", "port": 1, "check": map[string]any{"ttl": "1h"}, "connect": map[string]any{"sidecar_service": map[string]any{}},
	}}
	if err := s.Load([]config.Definition{good}); err != nil {
		t.Fatal(err)
	}
	if err := s.registerJSON(`{"Name":"web","Port":7,"Check":{"CheckID":"mine","TTL":"1h","Status":"passing"}}`); err != nil {
		t.Fatal(err)
	}
	services, checks := s.content()
	files := len(s.files.names)
	unchanged := func(t *testing.T) {
		t.Helper()
		if nowServices, nowChecks := s.content(); nowServices != services || nowChecks != checks || len(s.files.names) != files {
			t.Fatalf("services %s, checks %s, %d files; want %s, %s, %d", nowServices, nowChecks, len(s.files.names), services, checks, files)
		}
	}
	for _, c := range malformed {
		t.Run(c.body, func(t *testing.T) {
			err := s.registerJSON(c.body)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("over HTTP: %v, want %s", err, c.says)
			}
			unchanged(t)
			fields := map[string]any{}
			if err := json.Unmarshal([]byte(c.body), &fields); err != nil {
				t.Fatal(err)
			}
			other := config.Definition{Kind: "service", Source: "new.json", Body: map[string]any{"name": "new"}}
			err = s.Load([]config.Definition{other, {Kind: "service", Source: "bad.json", Body: fields}})
			if err == nil || !strings.HasPrefix(err.Error(), "bad.json: service") || !strings.Contains(err.Error(), c.says) {
				t.Errorf("in a file: %v, want %s", err, c.says)
			}
			unchanged(t)
		})
	}
}

func TestNothingIsTakenOfAMalformedCheck(t *testing.T) {
	s := newState(t, nil)
	for body, says := range map[string]string{
		`{"ttl":"1s"}`: "Missing check name",
		`{"name":"c"}`: "Invalid check: TTL must be > 0 for TTL checks",
		`{"name":"c","id":"serfHealth","ttl":"1s"}`:                       "serfHealth is the check of gossip",
		`{"name":"c","ttl":"1s","service_id":"nosuch"}`:                   `ServiceID "nosuch" does not exist`,
		`{"name":"c","ttl":"1s","serviceid":5}`:                           "",
		`{"name":"c","args":["true"],"interval":"1s"}`:                    "Scripts are disabled on this agent",
		`{"name":"c","tcp":"x","interval":"1s"}`:                          `Invalid check: TCP is "x"`,
		`{"name":"c","ttl":"1s","intervall":"1s"}`:                        `unknown field "intervall"`,
		`{"name":"c","ttl":"1s","status":"up"}`:                           "Status for checks must",
		`{"name":"c","ttl":"1s","deregister_critical_service_after":"x"}`: "deregister_critical_service_after: time: invalid duration",
	} {
		def, err := ParseCheck([]byte(body))
		if err == nil {
			err = s.RegisterCheck(def)
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s over HTTP: %v, want %s", body, err, says)
		}
		fields := map[string]any{}
		if err := json.Unmarshal([]byte(body), &fields); err != nil {
			t.Fatal(err)
		}
		err = s.Load([]config.Definition{{Kind: "check", Source: "bad.json", Body: fields}})
		if err == nil || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "bad.json: check") {
			t.Errorf("%s in a file: %v, want %s", body, err, says)
		}
		if services, checks := s.content(); services+checks != "" {
			t.Fatalf("%s is registered: %s %s", body, services, checks)
		}
	}
}

// What can be registered and not be found over DNS is warned of, and taken.
func TestNamesThatDNSCannotSayAreWarnedOf(t *testing.T) {
	for body, want := range map[string]int{
		`{"name":"web","tags":["v1"]}`: 0, `{"name":"my_web"}`: 1, `{"name":"web.api"}`: 1, `{"name":"-web"}`: 1,
		fmt.Sprintf(`{"name":%q}`, strings.Repeat("x", 64)): 1, `{"name":"web","tags":["a b","c d"]}`: 1, `{"name":"wéb","tags":["ü"]}`: 2,
	} {
		def := parsed(t, body)
		def.complete()
		if got := def.warnings(); len(got) != want {
			t.Errorf("%s: %q, want %d", body, got, want)
		}
		if err := newState(t, nil).registerJSON(body); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// Who has several mistakes to mend is told of them at once.
func TestAllWrongDefinitionsAreNamed(t *testing.T) {
	definition := func(kind, source, body string) config.Definition {
		d := config.Definition{Kind: kind, Source: source}
		if err := json.Unmarshal([]byte(body), &d.Body); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, c := range []struct {
		defs []config.Definition
		want string
	}{
		{[]config.Definition{
			definition("service", "a.json", `{"name":"a","port":"x"}`),
			definition("service", "b.json", `{"name":"b"}`),
			definition("check", "c.json", `{"name":"c"}`),
		}, "a.json: service: port: use a whole number, not a text\nc.json: check \"c\": Invalid check: TTL must be > 0 for TTL checks"},
		{[]config.Definition{
			definition("check", "d.json", `{"name":"d","ttl":"1m","service_id":"x"}`),
			definition("check", "e.json", `{"name":"e","ttl":"1m","service_id":"y"}`),
		}, "d.json: check \"d\": ServiceID \"x\" does not exist\ne.json: check \"e\": ServiceID \"y\" does not exist"},
	} {
		if err := Validate(&config.Config{Definitions: c.defs}); err == nil || err.Error() != c.want {
			t.Errorf("got %v\nwant %s", err, c.want)
		}
	}
}
