package local_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/consul/api"
)

// three are the servers of a datacenter.
func three(t *testing.T) []*running {
	t.Helper()
	var all []*running
	for i := range 3 {
		args := []string{"-server", "-bootstrap-expect", "3", "-node", fmt.Sprintf("server-%d", i), "-data-dir", t.TempDir()}
		if i > 0 {
			args = append(args, "-retry-join", all[0].addr)
		}
		all = append(all, start(t, args...))
	}
	until(t, "there is a leader", func() error {
		for _, s := range all {
			if leader, err := s.Status().Leader(); err != nil || leader == "" {
				return fmt.Errorf("%q %v", leader, err)
			}
		}
		return nil
	})
	return all
}

// Whatever is registered while the leader goes away is in the catalog in the end, and
// what is deregistered is not.
func TestALostLeaderCostsNoRegistration(t *testing.T) {
	servers := three(t)
	c := client(t, servers[0], "-retry-join", servers[1].addr, "-retry-join", servers[2].addr)
	var leader string
	until(t, "the client has joined", func() (err error) {
		leader, err = c.Status().Leader()
		if err == nil && leader == "" {
			err = fmt.Errorf("no leader")
		}
		return err
	})
	lost, left := servers[0], []*running(nil)
	for _, s := range servers {
		if strings.HasPrefix(leader, s.addr+":") {
			lost = s
		} else {
			left = append(left, s)
		}
	}
	const workers, each = 4, 50
	var wg sync.WaitGroup
	half := make(chan struct{})
	var once sync.Once
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				id := fmt.Sprintf("s-%d-%d", w, i)
				if err := c.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: id, Name: "s", Check: &api.AgentServiceCheck{TTL: "1h", Status: "passing"}}); err != nil {
					t.Error(err)
				}
				if i%5 == 0 {
					if err := c.Agent().ServiceDeregister(id); err != nil {
						t.Error(err)
					}
				}
				if i == each/2 {
					once.Do(func() { close(half) })
				}
			}
		})
	}
	<-half
	lost.stop(t)
	wg.Wait()
	want := workers * each * 4 / 5
	until(t, "all are in the catalog", func() error {
		all, _, err := left[0].Health().Service("s", "", true, nil)
		if err == nil && len(all) != want {
			err = fmt.Errorf("%d are, want %d", len(all), want)
		}
		return err
	})
	lost.begin(t)
	must(t, c.Agent().ServiceDeregister("s-0-1"))
	until(t, "one less is in the catalog of the server that came back", func() error {
		all, _, err := lost.Health().Service("s", "", true, nil)
		if err == nil && len(all) != want-1 {
			err = fmt.Errorf("%d are, want %d", len(all), want-1)
		}
		return err
	})
}

// The node of an agent that leaves goes, with its services, and does not come back.
func TestWhoLeavesIsGone(t *testing.T) {
	s := server(t)
	c := client(t, s)
	must(t, c.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "web", Check: &api.AgentServiceCheck{TTL: "1h"}}))
	healthOf(t, s, "web", "web", "critical")
	must(t, c.Agent().Leave())
	if err := <-c.done; err != nil {
		t.Error(err)
	}
	c.done = nil
	gone(t, s, "web", "web")
	until(t, "the node is gone", func() error {
		node, _, err := s.Catalog().Node("client", nil)
		if err == nil && node != nil {
			err = fmt.Errorf("%+v", node)
		}
		return err
	})
}

// Clients that were not written for the usual library send less, and other spellings.
func TestOtherWaysToRegister(t *testing.T) {
	s := server(t)
	for name, body := range map[string]string{
		"as registrator does": `{"ID":"host:web:80","Name":"web","Port":80,"Tags":null,"Address":"10.0.0.7",
			"Check":{"TTL":"300s","Status":"passing","DeregisterCriticalServiceAfter":"10m"},"EnableTagOverride":false,"Meta":{}}`,
		"as Spring does": `{"ID":"shop-8080","Name":"shop","Tags":["secure=false"],"Address":"10.0.0.8","Meta":{"secure":"false"},"Port":8080,
			"Check":{"Interval":"10s","HTTP":"http://127.0.0.1:1/actuator/health","Header":{}}}`,
		"with a key that nobody knows": `{"service_id":"x"}`,
		"in small letters": `{"id":"small","name":"small","port":11,"enable_tag_override":true,"tagged_addresses":{"lan":{"address":"10.0.0.1","port":1}},
			"checks":[{"id":"small-ttl","ttl":"10s","deregister_critical_service_after":"1h"}]}`,
	} {
		status, text := s.do(t, "PUT", "/v1/agent/service/register", body)
		if bad := strings.Contains(body, "service_id"); bad != (status == 400) || !bad && status != 200 {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	e := healthOf(t, s, "web", "host:web:80", "passing")
	named := func(c *api.HealthCheck) bool { return c.CheckID == "service:host:web:80" }
	if e.Service.Address != "10.0.0.7" || !slices.ContainsFunc(e.Checks, named) {
		t.Errorf("%+v %+v", e.Service, e.Checks)
	}
	healthOf(t, s, "shop", "shop-8080", "critical")
	healthOf(t, s, "small", "small", "critical")
	if status, text := s.do(t, "PUT", "/v1/agent/service/deregister/host:web:80", ""); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	gone(t, s, "web", "host:web:80")
}
