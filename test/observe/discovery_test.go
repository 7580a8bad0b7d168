//go:build linux

package observe

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
	"github.com/hanse-project/hanse/test/programs"
)

// The discovery of Prometheus asks one agent for both datacenters.
func TestPrometheusDiscoversTheServicesOfTwoDatacenters(t *testing.T) {
	prometheus := programs.Built(t, programs.Prometheus)
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 1), lab.Clients("shanghai", 1), lab.Servers("beijing", 1))
	here, there := fed.Node("shanghai-c1"), fed.Node("beijing-s1")
	p := startPrometheus(t, prometheus, beside(fed, 201, 19090), []byte(strings.NewReplacer(
		"AGENT", here.Addr(lab.HTTPPort), "EVERY", scrapeEvery, "\t", "    ").Replace(`
global: {scrape_interval: EVERY}
scrape_configs:
- job_name: local
  consul_sd_configs: [{server: AGENT, refresh_interval: 1s, services: [web]}]
  relabel_configs: &labels
  - {source_labels: [__meta_consul_dc], target_label: dc}
  - {source_labels: [__meta_consul_node], target_label: node}
  - {source_labels: [__meta_consul_health], target_label: health}
- job_name: remote
  consul_sd_configs: [{server: AGENT, refresh_interval: 1s, services: [web], datacenter: beijing}]
  relabel_configs: *labels
- job_name: tagged
  consul_sd_configs: [{server: AGENT, refresh_interval: 1s, services: [web], tags: [v2, canary]}]
- job_name: filtered
  consul_sd_configs: [{server: AGENT, refresh_interval: 1s, filter: 'ServiceMeta.team == "blue"', health_filter: 'Service.Meta.team == "blue"'}]
- job_name: everything
  consul_sd_configs: [{server: AGENT, refresh_interval: 1s, allow_stale: false}]
  relabel_configs: [{source_labels: [__meta_consul_service], regex: web, action: keep}]
`)))
	instances := 0
	start := func(n *lab.Node, r api.AgentServiceRegistration) (id, addr string) {
		t.Helper()
		instances++
		addr = serveMetrics(t, beside(fed, 100+instances, 0))
		host, port, _ := strings.Cut(addr, ":")
		r.ID, r.Name, r.Address = fmt.Sprintf("web-%d", instances), "web", host
		r.Check = &api.AgentServiceCheck{CheckID: r.ID, TTL: "10m", Status: api.HealthPassing}
		var err error
		if r.Port, err = strconv.Atoi(port); err != nil {
			t.Fatal(err)
		}
		if err := n.API(t).Agent().ServiceRegister(&r); err != nil {
			t.Fatal(err)
		}
		return r.ID, addr
	}
	first, one := start(here, api.AgentServiceRegistration{Tags: []string{"v1"}})
	second, two := start(here, api.AgentServiceRegistration{Tags: []string{"v2", "canary"}, Meta: map[string]string{"team": "blue"}})
	third, three := start(there, api.AgentServiceRegistration{Tags: []string{"v2", "canary"}})
	p.waitTargets(t, map[string][]string{"local": {one, two}, "remote": {three}, "tagged": {two}, "filtered": {two}, "everything": {one, two}})
	p.wait(t, "the target there is up", `up{job="remote", dc="beijing", node="beijing-s1", health="passing"} == 1`)
	p.wait(t, "those here are up", `count(up{job="local", dc="shanghai", node="shanghai-c1", health="passing"} == 1) == 2`)

	if err := here.API(t).Agent().UpdateTTL(first, "tired", api.HealthWarning); err != nil {
		t.Fatal(err)
	}
	_, four := start(there, api.AgentServiceRegistration{})
	for n, id := range map[*lab.Node]string{here: second, there: third} {
		if err := n.API(t).Agent().ServiceDeregister(id); err != nil {
			t.Fatal(err)
		}
	}
	p.waitTargets(t, map[string][]string{"local": {one}, "remote": {four}, "everything": {one}})
	p.wait(t, "its health is seen", `up{job="local", health="warning"} == 1`)

	there.Kill(t) // what was found there stays, and what is here is found as before
	_, five := start(here, api.AgentServiceRegistration{Tags: []string{"canary", "v3", "v2"}})
	p.waitTargets(t, map[string][]string{"local": {one, five}, "remote": {four}, "everything": {one, five}, "tagged": {five}})
	there.Start(t)
	there.WaitReaches(t, "shanghai")
	_, six := start(there, api.AgentServiceRegistration{})
	p.waitTargets(t, map[string][]string{"local": {one, five}, "remote": {four, six}, "everything": {one, five}, "tagged": {five}})
}

// serveMetrics is an instance that can be scraped. It returns its address.
func serveMetrics(t *testing.T, addr string) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "requests_total 1\n") })}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// waitTargets returns once Prometheus scrapes exactly these addresses, by their job.
func (p *prometheus) waitTargets(t *testing.T, want map[string][]string) {
	t.Helper()
	for _, addresses := range want {
		slices.Sort(addresses)
	}
	lab.Until(t, fmt.Sprintf("Prometheus has the targets %v", want), func() error {
		var data struct {
			ActiveTargets []struct {
				ScrapePool       string
				DiscoveredLabels map[string]string
			}
		}
		if err := p.ask("/api/v1/targets", nil, &data); err != nil {
			return err
		}
		got := map[string][]string{}
		for _, each := range data.ActiveTargets {
			got[each.ScrapePool] = append(got[each.ScrapePool], each.DiscoveredLabels["__address__"])
		}
		for _, addresses := range got {
			slices.Sort(addresses)
		}
		if !maps.EqualFunc(got, want, slices.Equal) {
			return fmt.Errorf("they are %v", got)
		}
		return nil
	})
}
