package local

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/config"
)

// sidecars makes a state that has three ports for sidecars.
func sidecars(t testing.TB, dir string) *State {
	t.Helper()
	return newState(t, func(c *Config) { c.DataDir, c.SidecarPorts = dir, Ports{21000, 21002} })
}

// expectServices compares the registered services, in the form "ID:port".
func (s *State) expectServices(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for id, row := range s.Services() {
		got = append(got, fmt.Sprintf("%s:%d", id, row.Port))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
}

func TestSidecarFollowsFromItsService(t *testing.T) {
	s := sidecars(t, "")
	if err := s.registerJSON(`{"Name":"web","ID":"web-1","Port":8080,"Tags":["v1"],"Meta":{"k":"v"},"Token":"t","connect":{"sidecar_service":{}}}`); err != nil {
		t.Fatal(err)
	}
	parent, _, _, _ := s.Service("web-1")
	if parent.Connect.SidecarService != nil || parent.LocallyRegisteredAsSidecar {
		t.Errorf("the service is %+v", parent)
	}
	side, _, _, found := s.Service("web-1-sidecar-proxy")
	want := &catalog.NodeService{
		Kind: "connect-proxy", ID: "web-1-sidecar-proxy", Service: "web-sidecar-proxy", Port: 21000, Tags: catalog.Tags{"v1"},
		Meta: map[string]string{"k": "v"}, Weights: &catalog.Weights{Passing: 1, Warning: 1}, LocallyRegisteredAsSidecar: true,
		Proxy: catalog.Proxy{DestinationServiceName: "web", DestinationServiceID: "web-1", LocalServiceAddress: "127.0.0.1", LocalServicePort: 8080},
	}
	if !found || string(text(side)) != string(text(want)) || !side.LocallyRegisteredAsSidecar {
		t.Errorf("the sidecar is\n%s, want\n%s", text(side), text(want))
	}
	checks := s.Checks()
	if len(checks) != 2 {
		t.Fatalf("its checks are %v", checks)
	}
	for id, want := range map[string]string{
		"service:web-1-sidecar-proxy:1": "tcp Connect Sidecar Listening 10s", "service:web-1-sidecar-proxy:2": "alias Connect Sidecar Aliasing web-1 ",
	} {
		c := checks[id]
		if c == nil || c.Type+" "+c.Name+" "+c.Interval != want || c.ServiceID != "web-1-sidecar-proxy" || c.ServiceName != "web-sidecar-proxy" {
			t.Errorf("%s is %+v", id, c)
		}
	}
	defs := s.services["web-1-sidecar-proxy"].def
	if defs.Token != "t" || defs.Checks[0].TCP != "127.0.0.1:21000" || defs.Checks[1].AliasService != "web-1" {
		t.Errorf("the definition is %+v", defs)
	}
}

func TestSidecarIsWhatItsDefinitionSays(t *testing.T) {
	s := sidecars(t, "")
	if err := s.registerJSON(`{"Name":"web","Port":80,"Tags":["a"],"Connect":{"SidecarService":{"Name":"envoy","Port":9000,"Address":"10.0.0.1","Tags":[],"Meta":{},
		"Check":{"Name":"mine","TTL":"1h"},"EnableTagOverride":true,"Weights":{"Passing":2,"Warning":1},
		"Proxy":{"LocalServicePort":81,"Config":{"a":[1,null,{"b":null}]},"Upstreams":[{"DestinationName":"db","LocalBindPort":5432,"Config":{"x":null}}]}}}}`); err != nil {
		t.Fatal(err)
	}
	side, _, _, _ := s.Service("web-sidecar-proxy")
	const want = `{"Kind":"connect-proxy","ID":"web-sidecar-proxy","Service":"envoy","Tags":[],"Address":"10.0.0.1","Meta":{},"Port":9000,"Weights":{"Passing":2,"Warning":1},"EnableTagOverride":true,` +
		`"Proxy":{"DestinationServiceName":"web","DestinationServiceID":"web","LocalServiceAddress":"127.0.0.1","LocalServicePort":81,"Mode":"","Config":{"a":[1,null,{"b":null}]},` +
		`"Upstreams":[{"DestinationType":"","DestinationName":"db","Datacenter":"","LocalBindPort":5432,"Config":{"x":null},"MeshGateway":{}}],"MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":"","CreateIndex":0,"ModifyIndex":0}`
	if got := string(text(side)); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	if checks := s.Checks(); len(checks) != 1 || checks["service:web-sidecar-proxy"] == nil || checks["service:web-sidecar-proxy"].Name != "mine" {
		t.Errorf("its checks are %v", checks)
	}
	if err := s.registerJSON(`{"Name":"sock","SocketPath":"/run/s","Connect":{"SidecarService":{"SocketPath":"/run/p"}}}`); err != nil {
		t.Fatal(err)
	}
	side, _, _, _ = s.Service("sock-sidecar-proxy")
	if side.Port != 0 || side.SocketPath != "/run/p" || side.Proxy.LocalServiceSocketPath != "/run/s" || side.Proxy.LocalServiceAddress != "" {
		t.Errorf("the sidecar is %s", text(side))
	}
}

func TestSidecarComesAndGoesWithItsService(t *testing.T) {
	dir := t.TempDir()
	s := sidecars(t, dir)
	register := func(body string) {
		t.Helper()
		if err := s.registerJSON(body); err != nil {
			t.Fatal(err)
		}
	}
	with := func(name string) string { return fmt.Sprintf(`{"Name":%q,"Connect":{"SidecarService":{}}}`, name) }
	register(with("a"))
	register(with("b"))
	register(`{"Name":"c","Port":21002}`)
	s.expectServices(t, "a:0", "a-sidecar-proxy:21000", "b:0", "b-sidecar-proxy:21001", "c:21002")
	if err := s.registerJSON(with("full")); err == nil || !strings.Contains(err.Error(), "no port is left in the range of 21000 to 21002") {
		t.Errorf("without a port: %v", err)
	}
	s.expectServices(t, "a:0", "a-sidecar-proxy:21000", "b:0", "b-sidecar-proxy:21001", "c:21002")
	register(with("b")) // keeps its port
	if err := s.DeregisterService("a"); err != nil {
		t.Fatal(err)
	}
	register(with("b"))
	register(with("d"))
	s.expectServices(t, "b:0", "b-sidecar-proxy:21001", "c:21002", "d:0", "d-sidecar-proxy:21000")
	register(`{"Name":"b"}`)
	s.expectServices(t, "b:0", "c:21002", "d:0", "d-sidecar-proxy:21000")
	register(`{"Name":"d","Connect":{"SidecarService":{"Port":9}}}`)
	s.expectServices(t, "b:0", "c:21002", "d:0", "d-sidecar-proxy:9")
	register(with("b"))
	register(with("e"))
	if err := s.DeregisterService("e-sidecar-proxy"); err != nil { // it may go alone
		t.Fatal(err)
	}
	s.expectServices(t, "b:0", "b-sidecar-proxy:21000", "c:21002", "d:0", "d-sidecar-proxy:9", "e:0")

	// All of that outlives a restart.
	again := sidecars(t, dir)
	if err := again.Load(nil); err != nil {
		t.Fatal(err)
	}
	again.expectServices(t, "b:0", "b-sidecar-proxy:21000", "c:21002", "d:0", "d-sidecar-proxy:9", "e:0")
	if err := again.DeregisterService("b"); err != nil {
		t.Fatal(err)
	}
	again.expectServices(t, "c:21002", "d:0", "d-sidecar-proxy:9", "e:0")
	if kept := again.files.loadServices(); len(kept) != 4 {
		t.Errorf("kept are %v", kept)
	}
}

// A service whose proxy cannot be kept is not registered, and one that was stays.
func TestServiceAndSidecarAreTakenTogether(t *testing.T) {
	dir := t.TempDir()
	s := sidecars(t, dir)
	if err := s.registerJSON(`{"Name":"old","Port":1,"Connect":{"SidecarService":{}}}`); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web", "old"} {
		// In the place of the file of the sidecar there is a folder.
		blocked := filepath.Join(dir, fileOf(servicesDir, name+sidecarSuffix))
		if err := os.RemoveAll(blocked); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(blocked, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := s.registerJSON(fmt.Sprintf(`{"Name":%q,"Port":2,"Connect":{"SidecarService":{}}}`, name)); err == nil {
			t.Errorf("%s was registered though its proxy cannot be kept", name)
		}
	}
	s.expectServices(t, "old:1", "old-sidecar-proxy:21000")
	var kept []string
	for _, def := range s.files.loadServices() {
		kept = append(kept, fmt.Sprintf("%s:%d", def.ID, def.Port))
	}
	if !slices.Equal(kept, []string{"old:1"}) {
		t.Errorf("kept are %v", kept)
	}
}

func TestMistakesInSidecarsAreNamed(t *testing.T) {
	s := sidecars(t, "")
	for sidecar, want := range map[string]string{
		`{"ID":"x"}`:                               "Invalid sidecar_service: ID cannot be set",
		`{"Kind":"mesh-gateway"}`:                  `Invalid sidecar_service: Kind is "mesh-gateway"`,
		`{"Connect":{"SidecarService":{}}}`:        "Invalid sidecar_service: it cannot have a sidecar_service itself",
		`{"Connect":{"Native":true}}`:              "Invalid sidecar_service: Connect.Native is true",
		`{"Port":70000}`:                           "Invalid sidecar_service: Invalid service port 70000",
		`{"Check":{"HTTP":"x","Interval":"1s"}}`:   `Invalid sidecar_service: Invalid check: HTTP is "x"`,
		`{"Check":{"Args":["x"],"Interval":"1s"}}`: "Scripts are disabled on this agent from remote calls",
		`{"prot":1}`:                               `json: unknown field "Connect.SidecarService.prot"`,
		`{"sidecarOf":"x"}`:                        `json: unknown field "Connect.SidecarService.sidecarOf"`,
		`1`:                                        "Connect.SidecarService: use an object, not the number 1",
	} {
		body := fmt.Sprintf(`{"Name":"web","Connect":{"SidecarService":%s}}`, sidecar)
		if err := s.registerJSON(body); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", sidecar, err, want)
		}
		fields := map[string]any{}
		if err := json.Unmarshal([]byte(body), &fields); err != nil {
			t.Fatal(err)
		}
		err := s.Load([]config.Definition{{Kind: "service", Source: "a.json", Body: fields}})
		if want = strings.Replace(want, " from remote calls", "", 1); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "a.json: service") {
			t.Errorf("in a file %s: %v, want %s", sidecar, err, want)
		}
	}
	s.expectServices(t)
}

func TestSidecarsOfFilesAreReloaded(t *testing.T) {
	s := sidecars(t, t.TempDir())
	if err := s.registerJSON(`{"Name":"http","Connect":{"SidecarService":{}}}`); err != nil {
		t.Fatal(err)
	}
	service := func(name string, sidecar map[string]any) config.Definition {
		body := map[string]any{"name": name}
		if sidecar != nil {
			body["connect"] = map[string]any{"sidecar_service": sidecar}
		}
		return config.Definition{Kind: "service", Source: "a.json", Body: body}
	}
	load := func(defs ...config.Definition) error { return s.Load(defs) }
	if err := load(service("a", map[string]any{}), service("b", map[string]any{})); err != nil {
		t.Fatal(err)
	}
	s.expectServices(t, "http:0", "http-sidecar-proxy:21000", "a:0", "a-sidecar-proxy:21001", "b:0", "b-sidecar-proxy:21002")
	_, _, before, _ := s.Service("b-sidecar-proxy")
	if err := load(service("b", map[string]any{})); err != nil {
		t.Fatal(err)
	}
	s.expectServices(t, "http:0", "http-sidecar-proxy:21000", "b:0", "b-sidecar-proxy:21002")
	select {
	case <-before:
		t.Error("an equal sidecar was replaced")
	default:
	}
	if err := load(service("b", map[string]any{}), service("c", map[string]any{}), service("d", map[string]any{})); err == nil {
		t.Error("there are too few ports")
	} else if !strings.HasPrefix(err.Error(), `a.json: service "d": Invalid sidecar_service: no port is left`) {
		t.Errorf("the mistake is %v", err)
	}
	s.expectServices(t, "http:0", "http-sidecar-proxy:21000", "b:0", "b-sidecar-proxy:21002")
	if err := load(service("b", map[string]any{}), service("b-sidecar-proxy", nil)); err == nil || !strings.Contains(err.Error(), "has the ID of another service") {
		t.Errorf("two of one ID: %v", err)
	}
	if err := load(service("b", map[string]any{"port": 7}), service("http", nil)); err != nil {
		t.Fatal(err)
	}
	s.expectServices(t, "http:0", "b:0", "b-sidecar-proxy:7")
	if err := load(service("b", nil)); err != nil {
		t.Fatal(err)
	}
	s.expectServices(t, "b:0")
	if err := load(); err != nil {
		t.Fatal(err)
	}
	s.expectServices(t)
	if kept := slices.Collect(maps.Keys(s.files.names)); len(kept) > 0 {
		t.Errorf("the data directory keeps %v", kept)
	}
}

// A file's sidecar takes no port of one that was registered over HTTP and comes later.
func TestKeptSidecarsHaveTheirPorts(t *testing.T) {
	dir := t.TempDir()
	if err := sidecars(t, dir).registerJSON(`{"Name":"http","Connect":{"SidecarService":{}}}`); err != nil {
		t.Fatal(err)
	}
	s := sidecars(t, dir)
	def := config.Definition{Kind: "service", Source: "a.json", Body: map[string]any{"name": "a", "connect": map[string]any{"sidecar_service": map[string]any{}}}}
	if err := s.Load([]config.Definition{def}); err != nil {
		t.Fatal(err)
	}
	s.expectServices(t, "http:0", "http-sidecar-proxy:21000", "a:0", "a-sidecar-proxy:21001")
}
