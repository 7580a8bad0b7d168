package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/consul/api"
)

// A service registers itself with a check that it reports to, is found by others, and
// goes again: over the client that most Go programs use.
func TestServicesLiveOnAnyAgent(t *testing.T) {
	s := server(t)
	c := client(t, s)
	for name, at := range map[string]*running{"server": s, "client": c} {
		t.Run(name, func(t *testing.T) {
			id := "account-" + name
			must(t, at.Agent().ServiceRegister(&api.AgentServiceRegistration{
				ID: id, Name: "account", Tags: []string{"v1"}, Port: 8080, Address: "10.0.0.1", Meta: map[string]string{"k": "v"},
				TaggedAddresses: map[string]api.ServiceAddress{"wan": {Address: "1.2.3.4", Port: 80}},
				Check:           &api.AgentServiceCheck{CheckID: "ttl-" + name, TTL: "10m", DeregisterCriticalServiceAfter: "1h"},
			}))
			healthOf(t, s, "account", id, "critical")
			must(t, at.Agent().PassTTL("ttl-"+name, "fine"))
			e := healthOf(t, s, "account", id, "passing")
			if e.Service.Port != 8080 || e.Service.Meta["k"] != "v" || e.Service.TaggedAddresses["wan"].Port != 80 || e.Service.Tags[0] != "v1" {
				t.Errorf("%+v", e.Service)
			}
			must(t, at.Agent().UpdateTTL("ttl-"+name, "so so", api.HealthWarning))
			healthOf(t, s, "account", id, "warning")
			if status, info, err := at.Agent().AgentHealthServiceByID(id); err != nil || status != "warning" || info.Service.ID != id {
				t.Errorf("%s %+v %v", status, info, err)
			}
			must(t, at.Agent().EnableServiceMaintenance(id, "upgrade"))
			healthOf(t, s, "account", id, "maintenance")
			must(t, at.Agent().DisableServiceMaintenance(id))
			healthOf(t, s, "account", id, "warning")
			must(t, at.Agent().EnableNodeMaintenance("moving"))
			healthOf(t, s, "account", id, "maintenance")
			must(t, at.Agent().DisableNodeMaintenance())
			healthOf(t, s, "account", id, "warning")
			must(t, at.Agent().CheckRegister(&api.AgentCheckRegistration{ID: "mem-" + name, Name: "mem", AgentServiceCheck: api.AgentServiceCheck{TTL: "10m", Status: "passing"}}))
			if err := at.Agent().CheckDeregister("nosuch"); err == nil || !strings.Contains(err.Error(), "Unknown check ID") {
				t.Errorf("%v", err)
			}
			must(t, at.Agent().CheckDeregister("mem-"+name))
			must(t, at.Agent().ServiceDeregister(id))
			gone(t, s, "account", id)
			if checks, err := at.Agent().Checks(); err != nil || len(checks) != 0 {
				t.Errorf("checks are left: %v %v", checks, err)
			}
		})
	}
}

// What was registered over HTTP is there after a restart, with the state of its check.
func TestRegistrationsSurviveARestart(t *testing.T) {
	s := server(t)
	dir := t.TempDir()
	c := client(t, s, "-data-dir", dir)
	for _, id := range []string{"a/../b", "web-2", "web-3"} {
		must(t, c.Agent().ServiceRegister(&api.AgentServiceRegistration{
			ID: id, Name: "web", Port: 80, Check: &api.AgentServiceCheck{TTL: "10m"},
		}))
	}
	must(t, c.Agent().CheckRegister(&api.AgentCheckRegistration{Name: "disk", ServiceID: "web-2", AgentServiceCheck: api.AgentServiceCheck{TTL: "10m", Status: "passing"}}))
	must(t, c.Agent().PassTTL("service:web-2", "hello"))
	must(t, c.Agent().EnableNodeMaintenance("why"))
	must(t, c.Agent().ServiceDeregister("web-3"))
	c.stop(t)
	files, err := filepath.Glob(filepath.Join(dir, "services", "*.json"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files are kept: %v", len(files), err)
	}
	write(t, filepath.Join(dir, "services"), "broken.json", `{"Service":{`)
	write(t, filepath.Join(dir, "checks"), "empty.json", "")
	c.begin(t)
	until(t, "it answers", func() error { _, err := c.Agent().Services(); return err })
	services, err := c.Agent().Services()
	must(t, err)
	checks, err := c.Agent().Checks()
	must(t, err)
	if len(services) != 2 || services["a/../b"] == nil || len(checks) != 4 {
		t.Errorf("%d services, %d checks: %v", len(services), len(checks), checks)
	}
	if got := checks["service:web-2"]; got == nil || got.Status != "passing" || got.Output != "hello" || got.Name != "Service 'web' check" {
		t.Errorf("%+v", got)
	}
	if got := checks["_node_maintenance"]; got == nil || got.Notes != "why" || got.Status != "critical" {
		t.Errorf("%+v", got)
	}
	must(t, c.Agent().DisableNodeMaintenance())
	healthOf(t, s, "web", "web-2", "passing")
	healthOf(t, s, "web", "a/../b", "critical") // which was not heard of
}

// A reload applies exactly what differs, or nothing if something is wrong.
func TestReloadAppliesTheDifference(t *testing.T) {
	s := server(t)
	dir := t.TempDir()
	write(t, dir, "web.json", `{"service": {"name": "web", "port": 80, "tagged_addresses": {"lan": {"address": "10.0.0.1", "port": 1}},
		"check": {"id": "web-ttl", "ttl": "10m"}}}`)
	write(t, dir, "api.hcl", `
services {
  name = "api"
  port = 81
  meta { version = 4 }
  weights { passing = 3  warning = 1 }
  checks = [{ id = "api-ttl", ttl = "10m" }]
}
check {
  id = "mem"
  name = "memory"
  ttl = "10m"
  status = "passing"
}`)
	c := client(t, s, "-config-dir", dir)
	healthOf(t, s, "web", "web", "critical")
	healthOf(t, s, "api", "api", "critical")
	must(t, c.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "other"}))
	must(t, c.Agent().PassTTL("web-ttl", "mine"))
	healthOf(t, s, "web", "web", "passing")

	write(t, dir, "api.hcl", `service { name = "db" port = 5432 }`)
	must(t, c.Agent().Reload())
	gone(t, s, "api", "api")
	healthOf(t, s, "db", "db", "passing")
	healthOf(t, s, "other", "other", "passing")
	if e := healthOf(t, s, "web", "web", "passing"); e.Checks[len(e.Checks)-1].Output != "mine" {
		t.Errorf("the check of web was begun anew: %+v", e.Checks)
	}
	until(t, "the check of the node is gone", func() error {
		checks, _, err := s.Health().Node("client", nil)
		if err == nil && len(checks) != 2 {
			err = fmt.Errorf("%d checks", len(checks))
		}
		return err
	})

	write(t, dir, "more.json", `{"services": [{"name": "good"}, {"name": "bad", "check": {"http": "http://x", "interval": "nope"}}]}`)
	err := c.Agent().Reload()
	if err == nil || !strings.Contains(err.Error(), "more.json") || !strings.Contains(err.Error(), "check.interval") {
		t.Errorf("the mistake is not named: %v", err)
	}
	services, err := c.Agent().Services()
	if err != nil || len(services) != 3 {
		t.Errorf("half a reload: %v %v", services, err)
	}
	must(t, os.Remove(filepath.Join(dir, "more.json")))
	must(t, os.Remove(filepath.Join(dir, "web.json")))
	must(t, c.Agent().Reload())
	gone(t, s, "web", "web")
}

// A thousand services of one agent come into the catalog and go.
func TestManyServicesAreThereAtOnce(t *testing.T) {
	s := server(t)
	c := client(t, s)
	until(t, "it has joined", func() error { _, err := c.Status().Leader(); return err })
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 125 {
				id := fmt.Sprintf("many-%d-%d", worker, i)
				if err := c.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: id, Name: "many", Port: 1000 + i, Check: &api.AgentServiceCheck{TTL: "1h", Status: "passing"}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	until(t, "all are passing in the catalog", func() error {
		all, _, err := s.Health().Service("many", "", true, nil)
		if err == nil && len(all) != 1000 {
			err = fmt.Errorf("%d are", len(all))
		}
		return err
	})
	services, err := c.Agent().Services()
	must(t, err)
	for id := range services {
		must(t, c.Agent().ServiceDeregister(id))
	}
	until(t, "none is in the catalog", func() error {
		all, _, err := s.Catalog().Service("many", "", nil)
		if err == nil && len(all) != 0 {
			err = fmt.Errorf("%d are", len(all))
		}
		return err
	})
}
