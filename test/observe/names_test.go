//go:build linux

package observe

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/hanse-project/hanse/test/lab"
)

// page is what one program shows to Prometheus, by name.
type page map[string]*dto.MetricFamily

func readPage(t *testing.T, url string) page {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return families
}

func metricsOf(t *testing.T, n *lab.Node) page {
	t.Helper()
	return readPage(t, n.URL("/v1/agent/metrics?format=prometheus"))
}

// documented returns the names in the tables of docs/metrics.md, each with its type and
// what else stands in that column.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+_[a-zA-Z0-9_]+)` \\| ((?:counter|gauge|summary|histogram)[^|]*) \\|").FindAllSubmatch(text, -1) {
		out[string(m[1])] = string(m[2])
	}
	if len(out) < 40 {
		t.Fatalf("docs/metrics.md documents only %v", out)
	}
	return out
}

// leaderOnly are the gauges that a server shows only while it leads.
var leaderOnly = []string{
	"consul_autopilot_healthy", "consul_autopilot_failure_tolerance", "consul_raft_peers", "consul_raft_commitNumLogs",
	"consul_raft_leader_dispatchNumLogs",
}

func TestAgentsShowWhatIsDocumented(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.QuickGossip(),
		lab.Servers("shanghai", 3), lab.Clients("shanghai", 1), lab.Servers("beijing", 1), lab.Clients("beijing", 1))
	shanghai := fed.DC("shanghai")
	_, link := replicate(t, fed)
	traffic(t, fed)
	pages := func() map[string]page {
		out := make(map[string]page)
		for _, n := range fed.Nodes() {
			out[n.Name] = metricsOf(t, n)
		}
		out["replicate"] = readPage(t, "http://"+link+"/metrics")
		return out
	}
	// What happens only on a day worse than this one.
	rare := []string{"consul_client_rpc_exceeded", "hanse_metrics_refused_total", "consul_dns_stale_queries", "hanse_dns_failures_total"}

	docs := documented(t)
	lab.Until(t, "everything documented is shown", func() error {
		all := pages()
		for name := range docs {
			shown := slices.Contains(rare, name)
			for _, p := range all {
				shown = shown || p[name] != nil
			}
			if !shown {
				return fmt.Errorf("nobody shows %s", name)
			}
		}
		return nil
	})
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for who, p := range pages() {
		for name, family := range p {
			if strings.HasPrefix(name, "hanse_") && docs[name] == "" {
				t.Errorf("%s shows %s, which docs/metrics.md does not know", who, name)
			}
			if kind, ok := docs[name]; ok && !strings.HasPrefix(kind, strings.ToLower(family.GetType().String())) {
				t.Errorf("%s shows %s as %v, documented as %s", who, name, family.GetType(), kind)
			}
			for _, of := range []string{host, who} {
				if clean := strings.NewReplacer("-", "_", ".", "_").Replace(of); strings.Contains(name, clean) && clean != "replicate" {
					t.Errorf("%s shows %s, in which the name %s is", who, name, of)
				}
			}
			checkNumbers(t, who, family)
		}
	}
	for _, name := range []string{"hanse_kv_entries", "hanse_rpc_calls_total", "consul_server_isLeader", "consul_raft_apply"} {
		if metricsOf(t, fed.Node("shanghai-c1"))[name] != nil {
			t.Errorf("a client agent shows %s, which says nothing about it", name)
		}
	}
	for _, name := range []string{"hanse_forward_seconds", "hanse_federation_servers", "consul_client_rpc"} {
		if metricsOf(t, fed.Node("shanghai-c1"))[name] == nil {
			t.Errorf("a client agent does not show %s", name)
		}
	}
	t.Run("an agent's JSON is what Consul's client reads", func(t *testing.T) { checkJSON(t, shanghai) })

	// A leader that was frozen has lost its lead when it goes on.
	old := shanghai.Leader(t)
	waitLeaderGauges(t, old)
	old.Freeze(t)
	waitLeaderGauges(t, shanghai.LeaderAmong(t, slices.DeleteFunc(shanghai.Servers(), func(n *lab.Node) bool { return n == old })...))
	old.Thaw(t)
	shanghai.WaitWhole(t)
	for _, n := range shanghai.Servers() {
		waitLeaderGauges(t, n)
	}
}

// waitLeaderGauges returns once the server shows what leaders show if it leads, and
// nothing of it otherwise.
func waitLeaderGauges(t *testing.T, n *lab.Node) {
	t.Helper()
	lab.Until(t, n.Name+" shows the gauges of a leader, and leads, or neither", func() error {
		p := metricsOf(t, n)
		leads := p["consul_server_isLeader"].GetMetric()[0].GetGauge().GetValue() == 1
		for _, name := range leaderOnly {
			if (p[name] != nil) != leads {
				return fmt.Errorf("it leads: %v, %s is there: %v", leads, name, p[name] != nil)
			}
		}
		return nil
	})
}

// checkNumbers finds values that dashboards cannot draw.
func checkNumbers(t *testing.T, who string, family *dto.MetricFamily) {
	t.Helper()
	for _, m := range family.GetMetric() {
		numbers := []float64{
			m.GetGauge().GetValue(), m.GetCounter().GetValue(), m.GetUntyped().GetValue(),
			m.GetSummary().GetSampleSum(), m.GetHistogram().GetSampleSum(),
		}
		for _, q := range m.GetSummary().GetQuantile() {
			numbers = append(numbers, q.GetValue())
		}
		for _, n := range numbers {
			// The runtime tells by +Inf that it has no limit of memory.
			if math.IsNaN(n) || math.IsInf(n, 0) && !strings.HasPrefix(family.GetName(), "go_") {
				t.Errorf("%s: %s%v is %v", who, family.GetName(), m.GetLabel(), n)
			}
		}
	}
}

func checkJSON(t *testing.T, dc *lab.DC) {
	t.Helper()
	if body := dc.Leader(t).Get(t, "/v1/agent/metrics").Body; !bytes.Contains(body, []byte(`"Points":[]`)) {
		t.Errorf("no empty list of points in %s", body)
	}
	lab.Until(t, "the last ten seconds have counters and samples", func() error {
		info, err := dc.Leader(t).API(t).Agent().Metrics() // whoever that is now
		if err != nil {
			return err
		}
		gauge := slices.IndexFunc(info.Gauges, func(g api.GaugeValue) bool { return g.Name == "consul.server.isLeader" })
		if gauge < 0 || info.Gauges[gauge].Value != 1 {
			return fmt.Errorf("the leader does not say that it leads: %v", info.Gauges)
		}
		for what, of := range map[string][]api.SampledValue{"consul.raft.apply": info.Counters, "consul.raft.commitTime": info.Samples} {
			i := slices.IndexFunc(of, func(s api.SampledValue) bool { return s.Name == what })
			if i < 0 {
				return fmt.Errorf("no %s in %v", what, of)
			}
			if s := of[i]; s.Count <= 0 || s.Sum <= 0 || s.Min > s.Mean || s.Mean > s.Max {
				return fmt.Errorf("%s is %+v", what, s)
			}
		}
		return nil
	})
}

func TestTelemetrySettings(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 1), lab.Flags("-hcl", `telemetry {
		metrics_prefix = "acme" disable_hostname = true prometheus_retention_time = "0s"
		prefix_filter = ["-acme.raft", "+acme.raft.apply", "-go_", "-hanse_rpc"]
	}`))
	p := metricsOf(t, fed.Nodes()[0])
	for name, want := range map[string]bool{
		"acme_raft_apply": true, "acme_server_isLeader": true, "acme_runtime_alloc_bytes": true, "hanse_kv_entries": true,
		"acme_raft_commitTime": false, "go_goroutines": false, "hanse_rpc_calls_total": false, "consul_raft_apply": false,
	} {
		if got := p[name] != nil; got != want {
			t.Errorf("%s is shown: %v, want %v", name, got, want)
		}
	}
}
