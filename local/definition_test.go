package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/hcl"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/config"
)

// newState makes a state that nobody carries to a catalog.
func newState(t testing.TB, change func(*Config)) *State {
	t.Helper()
	cfg := Config{Node: catalog.RegisterRequest{Node: "n", Address: "127.0.0.1"}, Members: func() int { return 1 }, SidecarPorts: Ports{21000, 21255}, Log: hclog.NewNullLogger()}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.files.close() })
	return s
}

// registerJSON takes in a service as it comes over HTTP.
func (s *State) registerJSON(body string) error {
	def, err := ParseService([]byte(body))
	if err != nil {
		return err
	}
	return s.RegisterService(def, false)
}

func TestMistakesAreNamed(t *testing.T) {
	s := newState(t, nil)
	for body, want := range map[string]string{
		``:                                     "Request decode failed: EOF",
		`[]`:                                   "Request decode failed: json: cannot unmarshal array",
		`{"Name":"x"}{`:                        "there is more behind",
		`{"Name":"x","prot":1}`:                `unknown field "prot"`,
		`{"Name":"x","name":"y"}`:              `name: given twice, also as "Name"`,
		`{"Name":5}`:                           "Name: use a text, not the number 5",
		`{"Name":"x","Tags":"a"}`:              "Tags: use a list, not a text",
		`{"Name":"x","Tags":[1]}`:              "Tags: use a text",
		`{"Name":"x","Port":1.5}`:              "Port: use a whole number, not the number 1.5",
		`{"Name":"x","Port":70000}`:            "Invalid service port 70000",
		`{"Name":"x","Meta":{"":1}}`:           "Meta.: use a text",
		`{"Name":"x","Meta":{"consul-x":"1"}}`: "is reserved",
		`{"Name":"x","tagged_addresses":{"lan":{"address":"::"}}}`:            `Invalid service address in TaggedAddresses "lan"`,
		`{"Name":"x","tagged_addresses":{"lan":{"addres":"::"}}}`:             `unknown field "tagged_addresses.lan.addres"`,
		`{"Name":"x","enable_tag_override":"yes"}`:                            "enable_tag_override: use true or false, not a text",
		`{"Name":"x","Weights":{"Passing":1,"Warning":-1}}`:                   "Warning must be greater or equal than 0",
		`{"Name":"x","Checks":[{"TTL":"1s"},{"TTL":"x"}]}`:                    "Checks[1].TTL: time: invalid duration",
		`{"Name":"x","Check":{"HTTP":"http://x","TTL":"1s","interval":"1s"}}`: "Invalid check: Interval and TTL cannot both be specified",
		`{"Name":"x","Check":{"HTTP":"x","interval":"1s"}}`:                   "Invalid check: HTTP",
		`{"Name":"x","Check":{"TCP":"x:1"}}`:                                  "Invalid check: Interval must be > 0",
		`{"Name":"x","Check":{"args":["true"],"interval":"1s"}}`:              "Scripts are disabled on this agent from remote calls",
		`{"Name":"x\u0000"}`: "zero byte",
		`{"Name":"x","Kind":"connect-proxy","Proxy":{"destination_service_name":"y"}}`: "Port or SocketPath must be set",
	} {
		if err := s.registerJSON(body); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	if len(s.Services())+len(s.Checks()) > 0 {
		t.Errorf("half-registered: %v %v", s.Services(), s.Checks())
	}
}

// A definition means the same in JSON and HCL, and in both spellings.
func TestSpellingsAndFormats(t *testing.T) {
	snake := `{"name":"web","id":"w","port":80,"tags":["a"],"meta":{"v":"4"},"tagged_addresses":{"lan":{"address":"10.0.0.1","port":1}},
		"enable_tag_override":true,"weights":{"passing":3,"warning":1},"kind":"connect-proxy","socket_path":"/s","locality":{"region":"r","zone":"z"},
		"proxy":{"destination_service_name":"api","local_service_port":9,"config":{"n":5,"deep":{"x":[1,"a"]}},
			"upstreams":[{"destination_name":"db","local_bind_port":7,"config":{"m":1.5}}],"mesh_gateway":{"mode":"local"},
			"expose":{"checks":true,"paths":[{"path":"/p","local_path_port":1,"listener_port":2}]},"transparent_proxy":{"outbound_listener_port":3}},
		"connect":{"native":true},"check":{"check_id":"c","name":"n","http":"http://x","header":{"H":["v"]},"interval":"10s","timeout":"1s",
			"tls_skip_verify":true,"deregister_critical_service_after":"90m","success_before_passing":2,"failures_before_critical":3}}`
	camel := `{"Name":"web","ID":"w","Port":80,"Tags":["a"],"Meta":{"v":"4"},"TaggedAddresses":{"lan":{"Address":"10.0.0.1","Port":1}},
		"EnableTagOverride":true,"Weights":{"Passing":3,"Warning":1},"Kind":"connect-proxy","SocketPath":"/s","Locality":{"Region":"r","Zone":"z"},
		"Proxy":{"DestinationServiceName":"api","LocalServicePort":9,"Config":{"n":5,"deep":{"x":[1,"a"]}},
			"Upstreams":[{"DestinationName":"db","LocalBindPort":7,"Config":{"m":1.5}}],"MeshGateway":{"Mode":"local"},
			"Expose":{"Checks":true,"Paths":[{"Path":"/p","LocalPathPort":1,"ListenerPort":2}]},"TransparentProxy":{"OutboundListenerPort":3}},
		"Connect":{"Native":true},"Checks":[{"CheckID":"c","Name":"n","HTTP":"http://x","Header":{"H":["v"]},"Interval":10000000000,"Timeout":"1s",
			"TLSSkipVerify":true,"DeregisterCriticalServiceAfter":"90m","SuccessBeforePassing":2,"FailuresBeforeCritical":3}]}`
	blocks := `name = "web"
		id = "w"
		port = 80
		tags = ["a"]
		meta { v = 4 }
		tagged_addresses { lan { address = "10.0.0.1"  port = 1 } }
		enable_tag_override = true
		weights { passing = 3  warning = 1 }
		kind = "connect-proxy"
		socket_path = "/s"
		locality { region = "r"  zone = "z" }
		proxy {
			destination_service_name = "api"
			local_service_port = 9
			config { n = 5  deep { x = [1, "a"] } }
			upstreams { destination_name = "db"  local_bind_port = 7  config { m = 1.5 } }
			mesh_gateway { mode = "local" }
			expose { checks = true  paths { path = "/p"  local_path_port = 1  listener_port = 2 } }
			transparent_proxy { outbound_listener_port = 3 }
		}
		connect { native = true }
		checks { id = "c"  name = "n"  http = "http://x"  header { H = ["v"] }  interval = "10s"  timeout = "1s"
			tls_skip_verify = true  deregister_critical_service_after = "90m"  success_before_passing = 2  failures_before_critical = 3 }`
	fields := map[string]any{}
	if err := hcl.Unmarshal([]byte(blocks), &fields); err != nil {
		t.Fatal(err)
	}
	fromHCL, err := decodeFile[Service](fields)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, def := range []*Service{parsed(t, snake), parsed(t, camel), fromHCL} {
		def.complete()
		if err := newState(t, nil).validate(def, false, errRemoteScripts); err != nil {
			t.Fatal(err)
		}
		plain, err := json.Marshal(def)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(plain))
	}
	for _, text := range texts[1:] {
		if text != texts[0] {
			t.Errorf("\n%s, want\n%s", text, texts[0])
		}
	}
	if !strings.Contains(texts[0], `"LocalBindPort":7`) || !strings.Contains(texts[0], `"deep":{"x":[1,"a"]}`) {
		t.Errorf("lost something: %s", texts[0])
	}
}

func parsed(t *testing.T, body string) *Service {
	t.Helper()
	def, err := ParseService([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// A service whose check is critical for too long goes, and one that recovers stays.
func TestCriticalServicesAreReaped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t, nil)
		for _, id := range []string{"dead", "well", "kept"} {
			after := `,"DeregisterCriticalServiceAfter":"90s"`
			if id == "kept" {
				after = ""
			}
			if err := s.registerJSON(fmt.Sprintf(`{"Name":%q,"Check":{"CheckID":%q,"TTL":"1h"%s}}`, id, id, after)); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.overdue(time.Now().Add(89 * time.Second)); len(got) != 0 {
			t.Errorf("too early: %v", got)
		}
		time.Sleep(80 * time.Second)
		s.update("well", catalog.Passing, "")
		s.update("well", catalog.Critical, "")
		s.update("dead", catalog.Critical, "still")
		time.Sleep(10 * time.Second)
		if got := s.overdue(time.Now()); len(got) != 1 || got["dead"] != "dead" {
			t.Errorf("overdue: %v", got)
		}
	})
}

// Outputs alone wait for their interval, and a new state does not.
func TestOutputsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t, func(c *Config) { c.CheckUpdateInterval = time.Minute })
		if err := s.registerJSON(`{"Name":"web","Check":{"CheckID":"c","TTL":"1h","Status":"passing"}}`); err != nil {
			t.Fatal(err)
		}
		s.queue.take()
		s.update("c", catalog.Passing, "one")
		s.update("c", catalog.Passing, "two")
		w, next := s.queue.take()
		if wait := time.Until(next); !w.empty() || wait < 30*time.Second || wait > 90*time.Second || !s.queue.waiting("c") {
			t.Errorf("%+v, next in %v", w, time.Until(next))
		}
		time.Sleep(90 * time.Second)
		if w, next := s.queue.take(); len(w.checks) != 1 || !next.IsZero() {
			t.Errorf("%+v, next at %v", w, next)
		}
		s.update("c", catalog.Passing, "three")
		s.update("c", catalog.Warning, "four")
		if w, next := s.queue.take(); len(w.checks) != 1 || !next.IsZero() {
			t.Errorf("%+v, next at %v", w, next)
		}
	})
}

func TestOutputsCanBeDiscarded(t *testing.T) {
	s := newState(t, func(c *Config) { c.DiscardOutput = true })
	if err := s.registerJSON(`{"Name":"web","Check":{"CheckID":"c","TTL":"1h"}}`); err != nil {
		t.Fatal(err)
	}
	if err := s.SetTTL("c", catalog.Passing, "secret"); err != nil {
		t.Fatal(err)
	}
	if c, _ := s.Check("c"); c.Status != catalog.Passing || c.Output != "" {
		t.Errorf("%+v", c)
	}
}

func TestComparisonsGrowRarerWithTheCluster(t *testing.T) {
	for n, want := range map[int]time.Duration{1: 1, 128: 1, 129: 2, 256: 2, 512: 3, 1024: 4, 8192: 7} {
		if got := every(n); got != want*time.Minute {
			t.Errorf("%d nodes: %v, want %d minutes", n, got, want)
		}
	}
}

// What a file defines wins over what was registered before a restart, and what cannot
// be written is not registered.
func TestFilesAndKeptDefinitions(t *testing.T) {
	dir := t.TempDir()
	s := newState(t, func(c *Config) { c.DataDir = dir })
	for _, body := range []string{`{"Name":"web","Port":1}`, `{"Name":"api","Port":2,"Token":"secret","Check":{"TTL":"1h"}}`} {
		if err := s.registerJSON(body); err != nil {
			t.Fatal(err)
		}
	}
	again := newState(t, func(c *Config) { c.DataDir = dir })
	web := config.Definition{Kind: "service", Source: "a.json", Body: map[string]any{"name": "web", "port": 80}}
	if err := again.Load([]config.Definition{web}); err != nil {
		t.Fatal(err)
	}
	services := again.Services()
	if len(services) != 2 || services["web"].Port != 80 || again.services["api"].def.Token != "secret" {
		t.Errorf("%+v", services)
	}
	if kept := again.files.loadServices(); len(kept) != 1 || kept[0].ID != "api" {
		t.Errorf("kept: %+v", kept)
	}
	_, _, before, _ := again.Service("web")
	if err := again.Load([]config.Definition{web}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-before:
		t.Error("an equal definition replaced the service")
	default:
	}
	orphan := config.Definition{Kind: "check", Source: "b.json", Body: map[string]any{"name": "c", "ttl": "1s", "service_id": "nosuch"}}
	if err := again.Load([]config.Definition{orphan}); err == nil || len(again.Services()) != 2 {
		t.Errorf("%v %v", err, again.Services())
	}
	if err := os.RemoveAll(filepath.Join(dir, servicesDir)); err != nil {
		t.Fatal(err)
	}
	if err := again.registerJSON(`{"Name":"lost"}`); err == nil || again.Services()["lost"] != nil {
		t.Errorf("registered though it cannot be kept: %v", err)
	}
}

func TestTheCheckOfGossipIsNotOurs(t *testing.T) {
	s := newState(t, nil)
	err := s.RegisterCheck(&Check{Name: "x", CheckID: catalog.SerfCheckID, TTL: catalog.Duration(time.Hour)})
	if err == nil || !strings.Contains(err.Error(), "check of gossip") || len(s.Checks()) > 0 {
		t.Errorf("%v %v", err, s.Checks())
	}
}

func TestFilesAreValidatedWithoutAnAgent(t *testing.T) {
	cfg := &config.Config{Definitions: []config.Definition{
		{Kind: "service", Source: "good.json", Body: map[string]any{"name": "web", "check": map[string]any{"args": []any{"true"}, "interval": "1s"}}},
	}}
	if err := Validate(cfg); err == nil || !strings.HasPrefix(err.Error(), `good.json: service "web": Scripts are disabled`) {
		t.Errorf("a script that is not allowed: %v", err)
	}
	cfg.EnableLocalScriptChecks = true
	if err := Validate(cfg); err != nil {
		t.Error(err)
	}
}

func FuzzDefinition(f *testing.F) {
	f.Add([]byte(`{"Name":"x","Port":80,"Check":{"TTL":"5s"},"Proxy":{"Config":{"a":[1,{"b":null}]}}}`))
	f.Add([]byte(`{"name":"x","checks":[{"http":"http://x","interval":"1s","header":{"a":["b"]}}],"weights":null}`))
	f.Add([]byte(`{"tagged_addresses":{"lan":{"address":"::","port":1e99}},"connect":{"sidecar_service":{}}}`))
	f.Add([]byte(`{"name":"x","connect":{"sidecar_service":{"port":1,"proxy":{"config":{"a":[null]}},"checks":[null,{"ttl":"1s"}]}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := newState(t, nil)
		err := s.registerJSON(string(body))
		if err == nil {
			for id, row := range s.Services() {
				if id == "" || row.Service == "" {
					t.Errorf("registered without a name: %+v", row)
				}
			}
		} else if len(s.Services())+len(s.Checks()) > 0 {
			t.Errorf("half-registered: %v", err)
		}
		if c, err := ParseCheck(body); err == nil {
			if err := s.RegisterCheck(c); err != nil && err.Error() == "" {
				t.Error("an error without a text")
			}
		}
		fields := map[string]any{}
		if json.Unmarshal(body, &fields) == nil || hcl.Unmarshal(body, &fields) == nil {
			err := newState(t, nil).Load([]config.Definition{{Kind: "service", Source: "f", Body: fields}})
			if err != nil && !strings.HasPrefix(err.Error(), "f: ") {
				t.Errorf("the file is not named: %v", err)
			}
		}
	})
}

// A damaged file is never more than an error.
func FuzzKept(f *testing.F) {
	f.Add([]byte(`{"Service":{"ID":"a","Name":"a","Checks":[null,{"ID":"c","TTL":"1s"}]}}`), []byte(`{"Check":{"ID":"c","ServiceID":"a","TTL":"1s"}}`))
	f.Fuzz(func(t *testing.T, service, check []byte) {
		dir := t.TempDir()
		for folder, text := range map[string][]byte{servicesDir: service, checksDir: check} {
			if err := errors.Join(os.MkdirAll(filepath.Join(dir, folder), 0o700), os.WriteFile(filepath.Join(dir, folder, "x.json"), text, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if err := newState(t, func(c *Config) { c.DataDir = dir }).Load(nil); err != nil {
			t.Error(err)
		}
	})
}
