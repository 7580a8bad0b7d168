//go:build linux

package clients

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// A registrator registers for others, containers for example: with IDs of its own, with
// whatever check their labels ask for, and it takes back what it finds no owner of.
func TestARegistratorKeepsTheAgentLikeItsContainers(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 1), lab.Clients("shanghai", 1),
		lab.Flags("-enable-script-checks", "-hcl", `check_reap_interval = "200ms" check_deregister_interval_min = "1s"`))
	agent, dir := fed.Node("shanghai-c1"), t.TempDir()
	consul := agent.API(t)
	if leader, err := consul.Status().Leader(); err != nil || leader == "" {
		t.Fatalf("it waits for a leader first: %q %v", leader, err)
	}
	web := instance(t, agent.IP, "web")
	closed := unused(t, agent.IP)
	script := filepath.Join(dir, "up")
	write(t, script, "")
	checks := map[string]*api.AgentServiceCheck{
		"http":   {HTTP: fmt.Sprintf("http://%s:%d/health", agent.IP, web), Interval: "1s", Timeout: "1s"},
		"tcp":    {TCP: fmt.Sprintf("%s:%d", agent.IP, web), Interval: "1s", Timeout: "1s"},
		"script": {Args: []string{"/bin/sh", "-c", "test -e " + script}, Interval: "1s"},
		"ttl":    {TTL: "10m", Status: api.HealthPassing},
		"none":   nil,
		"dead":   {TCP: closed, Interval: "1s", DeregisterCriticalServiceAfter: "1s"},
		"silent": {TTL: "1s", DeregisterCriticalServiceAfter: "1s"},
	}
	for kind, check := range checks {
		if err := consul.Agent().ServiceRegister(&api.AgentServiceRegistration{
			ID: "machine:" + kind + ":80", Name: "container", Address: agent.IP, Port: web, Tags: []string{kind}, Meta: map[string]string{"from": "registrator"},
			Check: check,
		}); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
	}
	passing(t, fed.Node("shanghai-s1"), "http", "none", "script", "tcp", "ttl")
	found, _, err := consul.Catalog().Service("container", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	registered(t, consul, "http", "none", "script", "tcp", "ttl") // those that were critical for a second are gone
	for _, each := range found {
		if each.Address != agent.IP || each.ServiceAddress != agent.IP || each.ServicePort != web || each.ServiceMeta["from"] != "registrator" {
			t.Errorf("found %+v", each)
		}
	}

	if err := os.Remove(script); err != nil {
		t.Fatal(err)
	}
	passing(t, fed.Node("shanghai-s1"), "http", "none", "tcp", "ttl")
	registered(t, consul, "http", "none", "script", "tcp", "ttl") // nothing says that the script's is to go

	// Now only one container is left. The registrator lists, and takes back.
	services, err := consul.Agent().Services()
	if err != nil {
		t.Fatal(err)
	}
	for id, s := range services {
		if s.Meta["from"] == "registrator" && id != "machine:tcp:80" {
			if err := consul.Agent().ServiceDeregister(id); err != nil {
				t.Error(err)
			}
		}
	}
	passing(t, fed.Node("shanghai-s1"), "tcp")
	registered(t, consul, "tcp")
}

// unused is an address where nothing listens.
func unused(t *testing.T, ip string) string {
	t.Helper()
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// passing waits until exactly the containers with these tags pass.
func passing(t *testing.T, n *lab.Node, tags ...string) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("%v pass", tags), func() error {
		found, _, err := n.API(t).Health().Service("container", "", true, nil)
		if err != nil {
			return err
		}
		var got []string
		for _, each := range found {
			got = append(got, each.Service.Tags...)
		}
		if slices.Sort(got); !slices.Equal(got, tags) {
			return fmt.Errorf("it is %v that do", got)
		}
		return nil
	})
}

// registered waits until exactly these containers are registered with the agent, and
// with them their checks.
func registered(t *testing.T, consul *api.Client, kinds ...string) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("%v are registered", kinds), func() error {
		services, err := consul.Agent().Services()
		if err != nil {
			return err
		}
		var got []string
		for id := range services {
			got = append(got, strings.Split(id, ":")[1])
		}
		if slices.Sort(got); !slices.Equal(got, kinds) {
			return fmt.Errorf("it is %v", got)
		}
		checks, err := consul.Agent().Checks()
		if err != nil {
			return err
		}
		for id, c := range checks {
			if services[c.ServiceID] == nil {
				return fmt.Errorf("the check %s is left of %s", id, c.ServiceID)
			}
		}
		return nil
	})
}
