package httpapi

import (
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// What is elsewhere is shown as it is reached from here, and what is here as it is reached
// here. Whoever answered is told nothing of it: its answer is shared.
func TestAddressesOfOtherDatacentersAreTranslated(t *testing.T) {
	registration := `{"Node":"n","Address":"10.0.0.1","TaggedAddresses":{"lan":"10.0.0.1","wan":"198.51.100.1"},
		"Service":{"ID":"web-1","Service":"web","Address":"10.0.0.2","Port":80,
			"TaggedAddresses":{"lan":{"Address":"10.0.0.2","Port":80},"wan":{"Address":"198.51.100.2","Port":8080}}}}`
	plain := `{"Node":"plain","Address":"10.0.0.3","Service":{"ID":"web-2","Service":"web","Port":80,
			"TaggedAddresses":{"wan":{"Address":"198.51.100.3"}}}}`
	start := func(translate bool) *API {
		dc2 := newServer(t, "dc2", raft.Server{ID: "b"}, noKeys("beta"))
		face, dc1 := newFace(t, func(c *Config) {
			c.TranslateWAN = translate
			servers := c.Caller.(*callers).servers
			servers["dc2"] = dc2
		})
		dc1.others = map[string]*server{"dc1": dc1, "dc2": dc2}
		for _, r := range []string{registration, plain} {
			dc1.register(t, r)
			dc2.register(t, r)
		}
		if w := do(face, "POST", "/v1/query", `{"Name":"q","Service":{"Service":"web"}}`); w.Code != 200 {
			t.Fatal(w.Body)
		}
		if w := do(face, "POST", "/v1/query?dc=dc2", `{"Name":"q","Service":{"Service":"web"}}`); w.Code != 200 {
			t.Fatal(w.Body)
		}
		return face
	}
	const nodeHere, nodeThere = `"Address":"10.0.0.1"`, `"Address":"198.51.100.1"`
	const hereService, thereService = `"Address":"10.0.0.2"`, `"Address":"198.51.100.2"`
	const flatHere, flatThere = `"ServiceAddress":"10.0.0.2"`, `"ServiceAddress":"198.51.100.2"`
	const portHere, portThere = `"Port":80,"Weights"`, `"Port":8080,"Weights"`
	const bare, bareThere = `"Address":"","TaggedAddresses"`, `"Address":"198.51.100.3","TaggedAddresses"`
	for path, shown := range map[string][2][]string{
		"/v1/catalog/nodes":           {{nodeHere}, {nodeThere}},
		"/v1/catalog/node/n":          {{nodeHere, hereService, portHere}, {nodeThere, thereService, portThere}},
		"/v1/catalog/node-services/n": {{nodeHere, hereService, portHere}, {nodeThere, thereService, portThere}},
		"/v1/catalog/service/web":     {{nodeHere, flatHere, `"ServicePort":80`}, {nodeThere, flatThere, `"ServicePort":8080`, `"ServiceAddress":"198.51.100.3"`}},
		"/v1/health/service/web":      {{nodeHere, hereService, portHere, bare}, {nodeThere, thereService, portThere, bareThere}},
		"/v1/query/q/execute":         {{nodeHere, hereService, portHere}, {nodeThere, thereService, portThere}},
	} {
		for _, translate := range []bool{true, false} {
			face := start(translate)
			for _, dc := range []string{"dc1", "dc2", "dc1"} {
				w := do(face, "GET", path+"?dc="+dc, "")
				if header := w.Header().Get("X-Consul-Translate-Addresses"); (header == "true") != translate {
					t.Errorf("%s: the header is %q", path, header)
				}
				want := shown[0]
				if translate && dc == "dc2" {
					want = shown[1]
				}
				for _, text := range want {
					if !strings.Contains(strings.ReplaceAll(w.Body.String(), `"Meta":null,`, ""), text) {
						t.Errorf("%s of %s with translation %t has no %s:\n%s", path, dc, translate, text, w.Body)
					}
				}
			}
		}
	}
	if w := do(start(true), "GET", "/v1/catalog/node/nobody?dc=dc2", ""); strings.TrimSpace(w.Body.String()) != "null" {
		t.Errorf("nobody is %s", w.Body)
	}
}
