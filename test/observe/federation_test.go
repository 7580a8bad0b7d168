//go:build linux

package observe

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/deploy"
	"github.com/hanse-project/hanse/test/lab"
	"github.com/hanse-project/hanse/test/programs"
)

// beside is an address in the network of the federation that no agent has.
func beside(fed *lab.Federation, n, port int) string {
	ip := fed.Nodes()[0].IP
	return fmt.Sprintf("%s.%d:%d", ip[:strings.LastIndexByte(ip, '.')], n, port)
}

// keepServers has a dead server stay in sight as a failed one: otherwise it is cleaned up
// with the next round of autopilot, which may be the moment after.
var keepServers = lab.Flags("-hcl", "autopilot { cleanup_dead_servers = false }")

// replicate keeps config/ of shanghai in beijing. It returns where its metrics are, once
// they are there.
func replicate(t *testing.T, fed *lab.Federation) (p *programs.Process, metrics string) {
	t.Helper()
	metrics = beside(fed, 200, 19107)
	p = programs.Start(t, lab.Binary(t), nil, "replicate", "-http-addr="+fed.Node("beijing-c1").Addr(lab.HTTPPort),
		"-prefix=config/@shanghai", "-verify-interval=1s", "-metrics-addr="+metrics)
	lab.Until(t, "the replicator shows its metrics", func() error {
		resp, err := http.Get("http://" + metrics + "/metrics")
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	})
	return p, metrics
}

// traffic asks every agent of everything until the test ends, of datacenters that do not
// exist too, and makes mistakes.
func traffic(t *testing.T, fed *lab.Federation) {
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); wg.Wait() })
	requests := []struct{ method, path, body string }{
		{http.MethodPut, "/v1/kv/config/%d?dc=shanghai", "value"},
		{http.MethodGet, "/v1/kv/config/%d?dc=shanghai", ""},
		{http.MethodGet, "/v1/kv/config/%d?dc=beijing", ""},
		{http.MethodGet, "/v1/kv/config/?recurse&dc=beijing&x=%d", ""},
		{http.MethodDelete, "/v1/kv/config/%d?dc=shanghai", ""},
		{http.MethodGet, "/v1/kv/config/%d?dc=nowhere", ""},
		{http.MethodPut, "/v1/txn?x=%d", `[{"KV":{"Verb":"set","Key":"txn","Value":"YQ=="}}]`},
		{http.MethodPut, "/v1/catalog/register?x=%d", `{"Node":"elsewhere","Address":"127.1.2.3"}`},
		{http.MethodPut, "/v1/catalog/register?x=%d", `{"Node":""}`},
		{http.MethodPut, "/v1/catalog/deregister?x=%d", `{"Node":"elsewhere"}`},
	}
	questions := []struct {
		name  string
		qtype uint16
	}{{"consul.service.consul.", dns.TypeSRV}, {"4.3.2.1.in-addr.arpa.", dns.TypePTR}}
	for _, n := range fed.Nodes() {
		wg.Go(func() {
			pause := time.NewTicker(20 * time.Millisecond)
			defer pause.Stop()
			for i := 0; ; i++ {
				r := requests[i%len(requests)]
				within, end := context.WithTimeout(ctx, 5*time.Second)
				// What becomes of it is what the metrics are about.
				_, _ = n.Do(within, r.method, fmt.Sprintf(r.path, i/len(requests)), r.body)
				q := questions[i%len(questions)]
				_, _ = dns.ExchangeContext(within, new(dns.Msg).SetQuestion(q.name, q.qtype), n.Addr(lab.DNSPort))
				end()
				select {
				case <-pause.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
}

func addresses(nodes []*lab.Node, servers bool) (out []string) {
	for _, n := range nodes {
		if n.Server == servers {
			out = append(out, n.Addr(lab.HTTPPort))
		}
	}
	return out
}

func TestDashboardAndAlertsShowALiveFederation(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.QuickGossip(), keepServers,
		lab.Servers("shanghai", 3), lab.Clients("shanghai", 1), lab.Servers("beijing", 1), lab.Clients("beijing", 1))
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	link, linkMetrics := replicate(t, fed)
	traffic(t, fed)
	p := startPrometheus(t, programs.Installed(t, "prometheus", "prometheus"), beside(fed, 201, 19090), retarget(t, readDeploy(t, "prometheus/scrape.yml"), targets{
		"hanse-server":    {"shanghai": addresses(shanghai.Nodes, true), "beijing": addresses(beijing.Nodes, true)},
		"hanse-client":    {"shanghai": addresses(shanghai.Nodes, false), "beijing": addresses(beijing.Nodes, false)},
		"hanse-replicate": {"beijing": {linkMetrics}},
	}))
	p.wait(t, "everything is scraped", "count(up == 1) == 7")

	t.Run("every panel has data", func(t *testing.T) {
		queries, err := deploy.Queries(rateInterval)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range queries {
			p.wait(t, "panel "+q.Panel+" has data", q.Expr)
		}
	})
	t.Run("numbers tell what happens", func(t *testing.T) {
		for what, expr := range map[string]string{
			"one leader in each datacenter":          `count(sum by (dc) (consul_server_isLeader) == 1) == 2`,
			"its servers are seen by shanghai":       `max(hanse_federation_servers{dc="shanghai", datacenter="beijing", state="alive"}) == 1`,
			"its servers are seen by beijing":        `max(hanse_federation_servers{dc="beijing", datacenter="shanghai", state="alive"}) == 3`,
			"calls from shanghai to beijing":         `sum(rate(hanse_forward_seconds_count{dc="shanghai", datacenter="beijing"}[2s])) > 0`,
			"calls of client agents":                 `sum by (dc) (rate(consul_client_rpc{job="hanse-client"}[2s])) > 0`,
			"a datacenter that does not exist":       `sum(rate(hanse_forward_errors_total{datacenter="unknown", reason="unknown_dc"}[2s])) > 0`,
			"mistakes are counted by method":         `sum(rate(hanse_rpc_errors_total{method="Catalog.Register"}[2s])) > 0`,
			"no errors of a healthy datacenter":      `(sum(rate(hanse_forward_errors_total{datacenter=~"shanghai|beijing"}[2s])) or vector(0)) == 0`,
			"what is written there is copied":        `sum(rate(hanse_replicate_applied_total[2s])) > 0`,
			"what is deleted there is deleted":       `sum(rate(hanse_replicate_deleted_total[2s])) > 0`,
			"the link follows, or reads the change":  `max(hanse_replicate_state{state=~"following|syncing"}) == 1`,
			"the round trip is that of one machine":  `max(hanse_federation_rtt_seconds) < 1`,
			"connections to the server port":         `min(consul_rpc_accept_conn) > 0`,
			"nothing was refused for want of a name": `(sum(hanse_metrics_refused_total) or vector(0)) == 0`,
		} {
			p.wait(t, what, expr)
		}
	})
	t.Run("every rule is well", func(t *testing.T) { p.checkRules(t) })

	p.waitQuiet(t)
	lost := shanghai.Followers(t)[0]
	lost.Kill(t)
	p.waitFiring(t, "HanseServerDown", map[string]string{"dc": "shanghai", "instance": lost.Addr(lab.HTTPPort)})
	p.waitFiring(t, "HanseServersUnhealthy", map[string]string{"dc": "shanghai"})
	lost.Start(t)
	p.waitQuiet(t)

	beijing.Servers()[0].Kill(t)
	p.waitFiring(t, "HanseServerDown", map[string]string{"dc": "beijing"})
	p.waitFiring(t, "HanseDatacenterUnreachable", map[string]string{"dc": "shanghai", "datacenter": "beijing"})
	p.waitFiring(t, "HanseBreakerOpen", map[string]string{"dc": "shanghai", "datacenter": "beijing"})
	p.waitFiring(t, "HanseForwardErrors", map[string]string{"dc": "shanghai", "datacenter": "beijing"})
	p.waitFiring(t, "HanseReplicationLag", map[string]string{"dc": "beijing", "link": "config/@shanghai"})
	p.waitFiring(t, "HanseReplicationFailing", map[string]string{"dc": "beijing", "link": "config/@shanghai"})
	beijing.Servers()[0].Start(t)
	p.wait(t, "the link is in step again", `hanse_replicate_lag_seconds < 2`)

	link.End(t, syscall.SIGTERM)
	p.waitFiring(t, "HanseReplicationDown", map[string]string{"dc": "beijing", "instance": linkMetrics})

	shanghai.KillLeader(t)
	shanghai.KillLeader(t)
	p.waitFiring(t, "HanseNoLeader", map[string]string{"dc": "shanghai"})
}

// checkRules waits until every alert was evaluated without an error.
func (p *prometheus) checkRules(t *testing.T) {
	t.Helper()
	lab.Until(t, "every rule was evaluated", func() error {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
		if err := p.ask("/api/v1/rules", nil, &data); err != nil {
			return err
		}
		n := 0
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				n++
				if r.LastError != "" || r.Health != "ok" {
					return fmt.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
				}
			}
		}
		if n == 0 {
			return fmt.Errorf("there are none")
		}
		return nil
	})
}
