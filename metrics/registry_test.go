package metrics

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func fresh(t testing.TB) *Registry {
	t.Helper()
	r, err := New(DefaultPrefix, Filter{Default: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// families is one scrape, by name.
type families map[string]*dto.MetricFamily

// scrape asks as Prometheus does and reads the text with Prometheus's own parser.
func scrape(t testing.TB, r *Registry) families {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	got, err := parser.TextToMetricFamilies(strings.NewReader(text(t, r)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func text(t testing.TB, r *Registry) string {
	t.Helper()
	answer := httptest.NewRecorder()
	r.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("scrape: %d %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

func (f families) has(t testing.TB, name, kind string) *dto.MetricFamily {
	t.Helper()
	got := f[name]
	if got == nil {
		t.Fatalf("no %s", name)
	}
	if is := strings.ToLower(got.GetType().String()); is != kind {
		t.Fatalf("%s is a %s, want a %s", name, is, kind)
	}
	return got
}

// value returns what the only series of a gauge or counter says.
func (f families) value(t testing.TB, name string) float64 {
	t.Helper()
	got := f[name]
	if got == nil || len(got.Metric) != 1 {
		t.Fatalf("%s has not one series: %v", name, got)
	}
	if c := got.Metric[0].Counter; c != nil {
		return c.GetValue()
	}
	return got.Metric[0].GetGauge().GetValue()
}

func TestPrefixIsChecked(t *testing.T) {
	for _, bad := range []string{"", "9lives", "con sul", "consul{", "é"} {
		if _, err := New(bad, Filter{Default: true}); err == nil || !strings.Contains(err.Error(), "telemetry.metrics_prefix") {
			t.Errorf("prefix %q: got %v, want an error that names the key", bad, err)
		}
	}
	r, err := New("acme.consul", Filter{Default: true})
	if err != nil {
		t.Fatal(err)
	}
	r.sink.IncrCounter([]string{"raft", "apply"}, 1)
	scrape(t, r).has(t, "acme_consul_raft_apply", "counter")
	if name := r.JSON().Counters; len(name) != 0 && name[0].Name != "acme.consul.raft.apply" {
		t.Errorf("JSON says %q", name[0].Name)
	}
}

func TestOwnMetricsAndTheProcessStandBesideTheBridge(t *testing.T) {
	r := fresh(t)
	promauto.With(r).NewCounterVec(prometheus.CounterOpts{Name: "hanse_rpc_calls_total", Help: "h"},
		[]string{"method"}).WithLabelValues("KVS.Get").Inc()
	got := scrape(t, r)
	got.has(t, "hanse_rpc_calls_total", "counter")
	got.has(t, "go_goroutines", "gauge")
	got.has(t, "process_start_time_seconds", "gauge")
	if v := got.value(t, "consul_runtime_num_goroutines"); v < 1 {
		t.Errorf("consul_runtime_num_goroutines is %v", v)
	}
}

func TestSummaryForgetsAfterItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fresh(t)
		for i := range 1000 {
			r.sink.AddSample([]string{"kvs", "apply"}, float32(i+1))
		}
		time.Sleep(60 * time.Second) // of the bubble's clock
		if q := summary(t, r, "consul_kvs_apply").Quantile; len(q) != len(quantiles) {
			t.Fatalf("after a minute: quantiles %v, want all", q)
		}
		time.Sleep(10 * time.Second)
		s := summary(t, r, "consul_kvs_apply")
		if len(s.Quantile) != 0 {
			t.Errorf("after the window: quantiles %v, want none", s.Quantile)
		}
		if s.GetSampleCount() != 1000 || s.GetSampleSum() != 500500 {
			t.Errorf("after the window: count %d and sum %v, want them to stay", s.GetSampleCount(), s.GetSampleSum())
		}
		if strings.Contains(text(t, r), "NaN") {
			t.Error("the text contains NaN")
		}
		r.sink.AddSample([]string{"kvs", "apply"}, 5)
		for _, q := range summary(t, r, "consul_kvs_apply").Quantile {
			if q.GetValue() != 5 {
				t.Errorf("quantile %v is %v, want the only sample of the window", q.GetQuantile(), q.GetValue())
			}
		}
	})
}

func summary(t *testing.T, r *Registry, name string) *dto.Summary {
	t.Helper()
	return scrape(t, r).has(t, name, "summary").Metric[0].GetSummary()
}

func TestQuantilesAreCloseToTheSamples(t *testing.T) {
	for _, c := range []struct {
		name    string
		samples func(i int) float64
		want    [3]float64
	}{
		{"even steps", func(i int) float64 { return float64(i) }, [3]float64{500, 900, 990}},
		{"nanoseconds as milliseconds", func(i int) float64 { return float64(i) * 1e-5 }, [3]float64{500e-5, 900e-5, 990e-5}},
		{"hours as milliseconds", func(i int) float64 { return float64(i) * 3.6e6 }, [3]float64{500 * 3.6e6, 900 * 3.6e6, 990 * 3.6e6}},
		{"all zero", func(int) float64 { return 0 }, [3]float64{}},
		{"one value", func(int) float64 { return 7 }, [3]float64{7, 7, 7}},
		{"zero, and a tail", func(i int) float64 { return float64(max(0, i-950)) }, [3]float64{0, 0, 40}},
		{"beyond the buckets", func(int) float64 { return 1e30 }, [3]float64{1e30, 1e30, 1e30}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w window
			for i := range 1000 {
				w.add(int64(i/200), c.samples(i+1), true)
			}
			got := w.quantiles(6)
			for i, q := range quantiles {
				if math.Abs(got[q]-c.want[i]) > 0.02*c.want[i] {
					t.Errorf("quantile %v is %v, want %v within 2%%", q, got[q], c.want[i])
				}
			}
		})
	}
}

func TestDroppedGaugesAreAbsentUntilWrittenAgain(t *testing.T) {
	r := fresh(t)
	s := r.sink
	write := func() {
		s.SetGauge([]string{"leader"}, 1)
		s.SetGauge([]string{"leader", "links"}, 2)
		s.SetGaugeWithLabels([]string{"leader", "lag"}, 3, []gometrics.Label{{Name: "link", Value: "config"}})
		s.SetGauge([]string{"leadership"}, 4)
		s.IncrCounter([]string{"leader", "changes"}, 5)
	}
	names := func() []string {
		var out []string
		for name := range scrape(t, r) {
			if strings.HasPrefix(name, "consul_leader") {
				out = append(out, name)
			}
		}
		for _, g := range r.JSON().Gauges {
			if strings.HasPrefix(g.Name, "consul.leader") {
				out = append(out, g.Name)
			}
		}
		slices.Sort(out)
		return out
	}
	write()
	all := names()
	if len(all) != 9 {
		t.Fatalf("before: %v", all)
	}
	r.Drop("leader", "never.written")
	want := []string{"consul.leadership", "consul_leader_changes", "consul_leadership"}
	if got := names(); !slices.Equal(got, want) {
		t.Errorf("after the drop: %v, want %v", got, want)
	}
	write()
	if got := names(); !slices.Equal(got, all) {
		t.Errorf("written again: %v, want %v", got, all)
	}
}

func TestGaugesKeepWholeIndexes(t *testing.T) {
	r := fresh(t)
	const index = 1<<24 + 1 // the first that a float32 cannot hold
	r.sink.SetPrecisionGauge([]string{"index"}, index)
	if v := scrape(t, r).value(t, "consul_index"); v != index {
		t.Errorf("got %v, want %v", v, float64(index))
	}
}

func TestHostileNamesHarmNothing(t *testing.T) {
	r := fresh(t)
	s := r.sink
	s.IncrCounter([]string{"serf", "events", "deploy now! é"}, 1)
	s.IncrCounterWithLabels([]string{"x"}, 1, []gometrics.Label{{Name: "", Value: "v"}})
	s.IncrCounterWithLabels([]string{"x"}, 1, []gometrics.Label{{Name: "a b", Value: "\xff"}, {Name: "a.b", Value: "2"}})
	s.SetGauge([]string{"x"}, 1)                    // taken by a counter
	s.AddSample([]string{"y"}, float32(math.NaN())) // would poison the sum
	s.AddSample([]string{"y"}, float32(math.Inf(1)))
	s.SetPrecisionGauge([]string{"z"}, math.NaN())
	s.EmitKey([]string{"point"}, 1)

	got := scrape(t, r)
	got.has(t, "consul_serf_events_deploy_now___", "counter")
	if m := got.has(t, "consul_x", "counter").Metric; len(m) != 1 || m[0].Label[0].GetName() != "a_b" {
		t.Errorf("consul_x: %v", m)
	}
	want := map[string]float64{"name": 1, "type": 1, "value": 2}
	for _, m := range got.has(t, "hanse_metrics_refused_total", "counter").Metric {
		if reason := m.Label[0].GetValue(); m.GetCounter().GetValue() != want[reason] {
			t.Errorf("refused for %s: %v, want %v", reason, m.GetCounter().GetValue(), want[reason])
		} else {
			delete(want, reason)
		}
	}
	if len(want) != 0 {
		t.Errorf("not counted as refused: %v", want)
	}
	if _, err := json.Marshal(r.JSON()); err != nil {
		t.Error(err)
	}
}

func TestNamesAreBounded(t *testing.T) {
	r := fresh(t)
	const over = 10
	for i := range maxSeries + over {
		r.sink.IncrCounter([]string{"serf", "events", fmt.Sprint(i)}, 1)
	}
	r.sink.IncrCounter([]string{"serf", "events", "0"}, 1)
	got := scrape(t, r)
	if v := got.value(t, "hanse_metrics_refused_total"); v != over {
		t.Errorf("refused %v, want %d", v, over)
	}
	if v := got.value(t, "consul_serf_events_0"); v != 2 {
		t.Errorf("a name that is known counted %v, want 2", v)
	}
}

func TestSpellingsOfOneNameAreOneSeries(t *testing.T) {
	r := fresh(t)
	a, b := gometrics.Label{Name: "a", Value: "1"}, gometrics.Label{Name: "b", Value: "2"}
	r.sink.IncrCounterWithLabels([]string{"x-y"}, 1, []gometrics.Label{a, b})
	r.sink.IncrCounterWithLabels([]string{"x.y"}, 1, []gometrics.Label{b, a})
	r.sink.IncrCounterWithLabels([]string{"x", "y"}, 1, []gometrics.Label{a, b})
	if v := scrape(t, r).value(t, "consul_x_y"); v != 3 {
		t.Errorf("got %v, want 3", v)
	}
}

func TestJSONHasTheDocumentedShape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := fresh(t)
		s := r.sink
		time.Sleep(3 * time.Second)
		s.IncrCounterWithLabels([]string{"cache", "fetch_success"}, 1, []gometrics.Label{{Name: "result_not_modified", Value: "false"}})
		s.IncrCounter([]string{"rpc", "request"}, 1)
		s.IncrCounter([]string{"rpc", "request"}, 2)
		s.AddSampleWithLabels([]string{"api", "http"}, 0.5, []gometrics.Label{{Name: "path", Value: "v1_kv__"}, {Name: "method", Value: "GET"}})
		s.AddSample([]string{"kvs", "apply"}, 2)
		s.AddSample([]string{"kvs", "apply"}, 4)
		s.AddSample([]string{"kvs", "apply"}, 6)
		s.SetPrecisionGauge([]string{"raft", "peers"}, 3)
		running := r.JSON()
		time.Sleep(8 * time.Second)
		s.AddSample([]string{"kvs", "apply"}, 100) // in an interval that is not finished
		finished := r.JSON()

		golden(t, "agent-metrics.json", marshal(t, finished))
		if a, b := marshal(t, running), marshal(t, finished); !bytes.Equal(a, b) {
			t.Errorf("the first interval read differently while it ran:\n%s", a)
		}
		time.Sleep(20 * time.Second)
		if quiet := r.JSON(); len(quiet.Counters) != 0 || len(quiet.Samples) != 0 || quiet.Timestamp != "2000-01-01 00:00:20 +0000 UTC" {
			t.Errorf("an interval without writes: %+v", quiet)
		}
	})
}

// marshal leaves out the facts on this process, which nobody can foretell.
func marshal(t *testing.T, s Summary) []byte {
	t.Helper()
	all := len(s.Gauges)
	s.Gauges = slices.DeleteFunc(slices.Clone(s.Gauges), func(g Gauge) bool { return strings.HasPrefix(g.Name, "consul.runtime.") })
	if all-len(s.Gauges) != len(runtimeGauges()) {
		t.Errorf("%d gauges of the runtime, want %d", all-len(s.Gauges), len(runtimeGauges()))
	}
	out, err := json.MarshalIndent(s, "", "    ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func TestWritersAndReadersAtOnce(t *testing.T) {
	r := fresh(t)
	const writers, each = 4, 500
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				r.sink.AddSample([]string{"rpc", "seconds"}, float32(i))
				r.sink.IncrCounter([]string{"rpc", fmt.Sprint(i % 7)}, 1)
				r.sink.SetGauge([]string{"rpc", "writer", fmt.Sprint(w)}, float32(i))
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			scrape(t, r)
			r.JSON()
			r.Drop("rpc.writer.0")
		}
	})
	wg.Wait()
	if n := scrape(t, r).has(t, "consul_rpc_seconds", "summary").Metric[0].GetSummary().GetSampleCount(); n != writers*each {
		t.Errorf("%d samples arrived, want %d", n, writers*each)
	}
}

func BenchmarkSink(b *testing.B) {
	r := fresh(b)
	key := []string{"raft", "rpc", "appendEntries"}
	labels := []gometrics.Label{{Name: "method", Value: "KVS.Get"}, {Name: "server", Value: "true"}}
	now := time.Now()
	global, err := gometrics.New(&gometrics.Config{TimerGranularity: time.Millisecond, FilterDefault: true}, r.sink)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		write func(i int)
	}{
		{"counter", func(int) { r.sink.IncrCounter([]string{"rpc", "request"}, 1) }},
		{"counter with labels", func(int) { r.sink.IncrCounterWithLabels([]string{"rpc", "calls"}, 1, labels) }},
		{"gauge", func(i int) { r.sink.SetGauge([]string{"raft", "peers"}, float32(i)) }},
		{"sample", func(i int) { r.sink.AddSample(key, float32(i%1000)/10) }},
		{"sample with labels", func(i int) { r.sink.AddSampleWithLabels([]string{"rpc", "s"}, float32(i%1000)/10, labels) }},
		{"through go-metrics", func(int) { global.MeasureSince(key, now) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				c.write(i)
				i++
			}
		})
	}
	b.Run("sample from all cores", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				r.sink.AddSample(key, 1.5)
			}
		})
	})
}

func BenchmarkScrape(b *testing.B) {
	r := fresh(b)
	for i := range 200 {
		for v := range 1000 {
			r.sink.AddSample([]string{"series", fmt.Sprint(i)}, float32(v))
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		text(b, r)
	}
}
