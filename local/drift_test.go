package local_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// What somebody else does to our entries in the catalog is undone.
func TestTheCatalogIsRepaired(t *testing.T) {
	s := server(t)
	c := client(t, s, "-node-meta", "rack:r1")
	must(t, c.Agent().ServiceRegister(&api.AgentServiceRegistration{
		ID: "web-1", Name: "web", Port: 80, Check: &api.AgentServiceCheck{TTL: "10m", Status: "passing"},
	}))
	must(t, c.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: "free", Name: "free", Tags: []string{"a"}, EnableTagOverride: true}))
	healthOf(t, s, "web", "web-1", "passing")
	healthOf(t, s, "free", "free", "passing")
	catalog := s.Catalog()

	t.Run("a service that was deregistered", func(t *testing.T) {
		_, err := catalog.Deregister(&api.CatalogDeregistration{Node: "client", ServiceID: "web-1"}, nil)
		must(t, err)
		healthOf(t, s, "web", "web-1", "passing")
	})
	t.Run("a check that was deregistered", func(t *testing.T) {
		_, err := catalog.Deregister(&api.CatalogDeregistration{Node: "client", CheckID: "service:web-1"}, nil)
		must(t, err)
		until(t, "the check is back", func() error {
			if n := len(healthOf(t, s, "web", "web-1", "passing").Checks); n != 2 {
				return fmt.Errorf("%d checks", n)
			}
			return nil
		})
	})
	t.Run("a service and a check that were changed", func(t *testing.T) {
		_, err := catalog.Register(&api.CatalogRegistration{
			Node: "client", SkipNodeUpdate: true, Service: &api.AgentService{ID: "web-1", Service: "web", Port: 99, Tags: []string{"x"}},
			Check: &api.AgentCheck{Node: "client", CheckID: "service:web-1", ServiceID: "web-1", Status: "critical"},
		}, nil)
		must(t, err)
		until(t, "it is as it was", func() error {
			if e := healthOf(t, s, "web", "web-1", "passing"); e.Service.Port != 80 || len(e.Service.Tags) != 0 {
				return fmt.Errorf("%+v", e.Service)
			}
			return nil
		})
	})
	t.Run("what is not ours", func(t *testing.T) {
		_, err := catalog.Register(&api.CatalogRegistration{
			Node: "client", SkipNodeUpdate: true, Service: &api.AgentService{ID: "foreign", Service: "foreign"},
			Checks: api.HealthChecks{{Node: "client", CheckID: "strange", Name: "strange"}, {Node: "client", CheckID: "theirs", ServiceID: "foreign"}},
		}, nil)
		must(t, err)
		gone(t, s, "foreign", "foreign")
		until(t, "the check is gone", func() error {
			checks, _, err := s.Health().Node("client", nil)
			for _, c := range checks {
				if c.CheckID == "strange" || c.CheckID == "theirs" {
					return errors.New("it is there")
				}
			}
			return err
		})
	})
	t.Run("the whole node", func(t *testing.T) {
		_, err := catalog.Deregister(&api.CatalogDeregistration{Node: "client"}, nil)
		must(t, err)
		healthOf(t, s, "web", "web-1", "passing")
		until(t, "the node has its meta", func() error {
			n, _, err := catalog.Node("client", nil)
			if err == nil && (n == nil || n.Node.Meta["rack"] != "r1") {
				err = fmt.Errorf("%+v", n)
			}
			return err
		})
	})
	t.Run("but tags that others may set stay", func(t *testing.T) {
		_, err := catalog.Register(&api.CatalogRegistration{
			Node: "client", SkipNodeUpdate: true, Service: &api.AgentService{ID: "free", Service: "free", EnableTagOverride: true, Tags: []string{"theirs"}, Port: 7},
		}, nil)
		must(t, err)
		until(t, "only the port is ours again", func() error {
			e := healthOf(t, s, "free", "free", "passing")
			if e.Service.Port != 0 || !slices.Equal(e.Service.Tags, []string{"theirs"}) {
				return fmt.Errorf("%+v", e.Service)
			}
			return nil
		})
	})
	t.Run("and servers keep theirs", func(t *testing.T) {
		until(t, "consul and serfHealth are there", func() error {
			all, _, err := s.Health().Service("consul", "", true, nil)
			if err == nil && (len(all) != 1 || all[0].Checks[0].CheckID != "serfHealth") {
				err = fmt.Errorf("%+v", all)
			}
			return err
		})
	})
}

// Checks that the agent makes itself decide over the health of a service, and an alias
// follows it.
func TestChecksDecide(t *testing.T) {
	s := server(t)
	healthy := make(chan bool, 1)
	healthy <- true
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		ok := <-healthy
		healthy <- ok
		if !ok {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(web.Close)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { ln.Close() })
	status, body := s.do(t, "PUT", "/v1/agent/service/register", fmt.Sprintf(`{"name":"web","port":80,
		"checks":[{"http":%q,"interval":"1s"},{"TCP":%q,"Interval":"1s"}]}`, web.URL, ln.Addr()))
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	must(t, s.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "shadow", Check: &api.AgentServiceCheck{AliasService: "web"}}))
	healthOf(t, s, "web", "web", "passing")
	healthOf(t, s, "shadow", "shadow", "passing")
	<-healthy
	healthy <- false
	until(t, "both checks and that of the node are there", func() error { // the leader brings the last
		if e := healthOf(t, s, "web", "web", "critical"); len(e.Checks) != 3 {
			return fmt.Errorf("%+v", e.Checks)
		}
		return nil
	})
	healthOf(t, s, "shadow", "shadow", "critical")
	must(t, s.Agent().ServiceDeregister("web"))
	healthOf(t, s, "shadow", "shadow", "critical")
}

func TestHashBlockingOnAService(t *testing.T) {
	s := server(t)
	must(t, s.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Port: 1}))
	web, meta, err := s.Agent().Service("web", nil)
	if err != nil || meta.LastContentHash == "" || web.ContentHash != meta.LastContentHash {
		t.Fatalf("%+v %+v %v", web, meta, err)
	}
	type answer struct {
		port int
		hash string
		err  error
	}
	answers := make(chan answer, 1)
	wait := func(hash string) {
		got, meta, err := s.Agent().Service("web", &api.QueryOptions{WaitHash: hash, WaitTime: time.Minute})
		if err != nil {
			answers <- answer{err: err}
			return
		}
		answers <- answer{got.Port, meta.LastContentHash, nil}
	}
	go wait(meta.LastContentHash)
	must(t, s.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "neighbour"}))
	must(t, s.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Port: 2}))
	got := <-answers
	if got.err != nil || got.port != 2 || got.hash == meta.LastContentHash {
		t.Errorf("%+v", got)
	}
	go wait(got.hash)
	must(t, s.Agent().ServiceDeregister("web"))
	if got := <-answers; got.err == nil || !strings.Contains(got.err.Error(), "unknown service ID") {
		t.Errorf("%+v", got)
	}
}

func TestChecksAreReplacedOnlyWhenAsked(t *testing.T) {
	s := server(t)
	one := &api.AgentServiceRegistration{Name: "web", Checks: api.AgentServiceChecks{{CheckID: "a", TTL: "1h", Status: "passing"}, {CheckID: "b", TTL: "1h", Status: "passing"}}}
	two := &api.AgentServiceRegistration{Name: "web", Checks: api.AgentServiceChecks{{CheckID: "b", TTL: "1h"}, {CheckID: "c", TTL: "1h"}}}
	names := func() string {
		checks, err := s.Agent().Checks()
		must(t, err)
		var all []string
		for id, c := range checks {
			all = append(all, id+":"+c.Status)
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	must(t, s.Agent().ServiceRegister(one))
	must(t, s.Agent().CheckRegister(&api.AgentCheckRegistration{ID: "d", Name: "d", ServiceID: "web", AgentServiceCheck: api.AgentServiceCheck{TTL: "1h"}}))
	must(t, s.Agent().EnableServiceMaintenance("web", ""))
	must(t, s.Agent().ServiceRegister(two))
	if got := names(); got != "_service_maintenance:web:critical a:passing b:passing c:critical d:critical" {
		t.Errorf("merged: %s", got)
	}
	must(t, s.Agent().ServiceRegisterOpts(two, api.ServiceRegisterOpts{ReplaceExistingChecks: true}))
	if got := names(); got != "_service_maintenance:web:critical b:passing c:critical" {
		t.Errorf("replaced: %s", got)
	}
}
