package local_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/hashicorp/consul/api"
)

// A service brings its proxy into the catalog, where the definition is whole, and takes it
// out again.
func TestSidecarsAreInTheCatalog(t *testing.T) {
	s := server(t)
	c := client(t, s)
	config := map[string]any{"protocol": "http", "list": []any{1.0, nil, map[string]any{"deep": nil}}, "nothing": nil}
	must(t, c.Agent().ServiceRegister(&api.AgentServiceRegistration{
		ID: "web-1", Name: "web", Port: 8080, Check: &api.AgentServiceCheck{TTL: "10m", Status: "passing"},
		Connect: &api.AgentServiceConnect{SidecarService: &api.AgentServiceRegistration{
			Check: &api.AgentServiceCheck{Name: "alias", AliasService: "web-1"},
			Proxy: &api.AgentServiceConnectProxyConfig{
				Config: config, Upstreams: []api.Upstream{{DestinationName: "db", LocalBindPort: 9191, Config: config}},
			},
		}},
	}))
	e := healthOf(t, s, "web-sidecar-proxy", "web-1-sidecar-proxy", "passing")
	proxy := e.Service.Proxy
	if e.Service.Kind != api.ServiceKindConnectProxy || e.Service.Port != 21000 || proxy.DestinationServiceID != "web-1" || proxy.LocalServicePort != 8080 {
		t.Errorf("the proxy is %+v", e.Service)
	}
	if !reflect.DeepEqual(proxy.Config, config) || len(proxy.Upstreams) != 1 || !reflect.DeepEqual(proxy.Upstreams[0].Config, config) {
		t.Errorf("its configuration is %+v", proxy)
	}
	own, _, err := c.Agent().Service("web-1-sidecar-proxy", nil)
	if err != nil || !reflect.DeepEqual(own.Proxy.Config, config) {
		t.Errorf("the agent shows %+v (%v)", own, err)
	}
	connect, _, err := s.Health().Connect("web", "", true, nil)
	if err != nil || len(connect) != 1 || connect[0].Service.ID != "web-1-sidecar-proxy" {
		t.Errorf("who speaks for web is %v (%v)", connect, err)
	}
	must(t, c.Agent().ServiceDeregister("web-1"))
	gone(t, s, "web", "web-1")
	gone(t, s, "web-sidecar-proxy", "web-1-sidecar-proxy")
	until(t, "no checks are left", func() error {
		checks, err := c.Agent().Checks()
		if err == nil && len(checks) > 0 {
			err = fmt.Errorf("%v", checks)
		}
		return err
	})
}
