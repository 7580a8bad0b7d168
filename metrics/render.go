package metrics

import (
	"cmp"
	"encoding/json"
	"math"
	"runtime"
	"slices"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
)

// Summary is the answer of /v1/agent/metrics. It holds what came over the bridge.
type Summary struct {
	// Timestamp is when the interval began that Counters and Samples are about.
	Timestamp string
	Gauges    []Gauge
	Points    []json.RawMessage // always empty; part of the documented shape
	Counters  []Sampled
	Samples   []Sampled
}

// Gauge is the last value of a gauge.
type Gauge struct {
	Name   string
	Value  float64
	Labels map[string]string
}

// Sampled is what was written to a counter or sample in one interval.
type Sampled struct {
	Name   string
	Count  uint64
	Rate   float64 // Sum per second
	Sum    float64
	Min    float64
	Max    float64
	Mean   float64
	Stddev float64
	Labels map[string]string
}

// JSON reports on the last finished interval of ten seconds, or on the running
// one while there is no other. Gauges are as they are now.
func (r *Registry) JSON() Summary {
	s := r.sink
	at := max(s.now()-1, 0)
	out := Summary{
		Timestamp: s.epoch.Add(time.Duration(at) * interval * time.Second).UTC().String(),
		Gauges:    []Gauge{},
		Points:    []json.RawMessage{},
		Counters:  []Sampled{},
		Samples:   []Sampled{},
	}
	for _, g := range runtimeGauges() {
		if name := s.prefix + ".runtime." + g.name; r.filter.shows(name) {
			out.Gauges = append(out.Gauges, Gauge{Name: name, Value: g.value, Labels: map[string]string{}})
		}
	}
	for _, each := range s.all() {
		if !r.filter.shows(each.name) {
			continue
		}
		each.mu.Lock()
		live, value := each.live, each.value
		recent, written := each.recent.in(at)
		each.mu.Unlock()
		switch {
		// JSON has no way to write what is not a number.
		case live && !math.IsNaN(value) && !math.IsInf(value, 0):
			out.Gauges = append(out.Gauges, Gauge{Name: each.name, Value: value, Labels: labelMap(each.labels)})
		case !written:
		case each.kind == counter:
			out.Counters = append(out.Counters, sampled(each, recent))
		default:
			out.Samples = append(out.Samples, sampled(each, recent))
		}
	}
	slices.SortStableFunc(out.Gauges, func(a, b Gauge) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func sampled(of *series, s slot) Sampled {
	out := Sampled{
		Name: of.name, Count: s.count, Rate: s.sum / interval, Sum: s.sum, Min: s.min, Max: s.max,
		Mean: s.sum / float64(s.count), Labels: labelMap(of.labels),
	}
	if n := float64(s.count); n > 1 {
		// Rounding can leave a little less than nothing of equal values.
		out.Stddev = math.Sqrt(max(0, (n*s.sumSq-s.sum*s.sum)/(n*(n-1))))
	}
	return out
}

func labelMap(labels []gometrics.Label) map[string]string {
	out := make(map[string]string, len(labels))
	for _, l := range labels {
		out[l.Name] = l.Value
	}
	return out
}

// Describe tells nothing: names appear as they are written.
func (s *sink) Describe(chan<- *prometheus.Desc) {}

// Collect shows every series of the bridge to Prometheus.
func (s *sink) Collect(out chan<- prometheus.Metric) {
	now := s.now()
	for _, each := range s.all() {
		each.mu.Lock()
		live, value, count := each.live, each.value, each.count
		var q map[float64]float64
		if each.kind == sample {
			q = each.recent.quantiles(now)
		}
		each.mu.Unlock()
		switch {
		case each.kind == sample:
			out <- prometheus.MustNewConstSummary(each.desc, count, value, q)
		case each.kind == counter:
			out <- prometheus.MustNewConstMetric(each.desc, prometheus.CounterValue, value)
		case live:
			out <- prometheus.MustNewConstMetric(each.desc, prometheus.GaugeValue, value)
		}
	}
	for _, g := range runtimeGauges() {
		desc := prometheus.NewDesc(cleanName(s.prefix+".runtime."+g.name), s.prefix+".runtime."+g.name, nil, nil)
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, g.value)
	}
}

type runtimeGauge struct {
	name  string
	value float64
}

// runtimeGauges are the facts on the process that existing boards chart. They are
// read when somebody asks, not on a timer.
func runtimeGauges() []runtimeGauge {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return []runtimeGauge{
		{"alloc_bytes", float64(m.Alloc)},
		{"free_count", float64(m.Frees)},
		{"heap_objects", float64(m.HeapObjects)},
		{"malloc_count", float64(m.Mallocs)},
		{"num_goroutines", float64(runtime.NumGoroutine())},
		{"sys_bytes", float64(m.Sys)},
		{"total_gc_pause_ns", float64(m.PauseTotalNs)},
		{"total_gc_runs", float64(m.NumGC)},
	}
}
