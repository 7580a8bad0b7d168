package metrics

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
)

// maxSeries bounds what names made from outside (user events, peers) can cost.
const maxSeries = 10_000

type kind byte

const (
	gauge kind = iota
	counter
	sample
)

// sink takes what go-metrics is told and keeps it for the two renderers.
// It is a gometrics.MetricSink and a prometheus.Collector.
type sink struct {
	prefix  string
	refused *prometheus.CounterVec

	// epoch is when interval 0 began: the ten seconds of wall time that hold started.
	epoch   time.Time
	started time.Time
	ahead   time.Duration // started - epoch

	mu     sync.RWMutex
	bySpec map[string]*series // by kind, key and labels as the caller wrote them
	byID   map[string]*series // by Prometheus name and sorted labels
	kinds  map[string]kind    // by Prometheus name, which has one kind
}

// series is one name with one set of labels.
type series struct {
	name   string            // with dots and the prefix
	metric string            // as Prometheus knows it
	labels []gometrics.Label // sorted by name
	kind   kind
	desc   *prometheus.Desc

	mu     sync.Mutex
	live   bool    // a gauge that was written and not dropped since
	value  float64 // a gauge's value; the sum of all that was written otherwise
	count  uint64
	recent window
}

func newSink(prefix string) *sink {
	now := time.Now()
	epoch := now.Truncate(interval * time.Second)
	return &sink{
		prefix: prefix,
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "hanse", Subsystem: "metrics", Name: "refused_total",
			Help: "Writes to the bridge that were lost: the name is taken by another type, not a name, or one too many; or the value is not a number.",
		}, []string{"reason"}),
		epoch:   epoch,
		started: now,
		ahead:   now.Sub(epoch),
		bySpec:  make(map[string]*series),
		byID:    make(map[string]*series),
		kinds:   make(map[string]kind),
	}
}

// now is the number of the running interval. It reads the monotonic clock alone,
// which is what a hot path can afford.
func (s *sink) now() int64 {
	return int64((time.Since(s.started) + s.ahead) / (interval * time.Second))
}

// series finds or makes what the caller writes to. It is nil for a write that
// has to be refused.
func (s *sink) series(k kind, key []string, labels []gometrics.Label) *series {
	var buf [256]byte
	spec := append(buf[:0], byte(k))
	for _, part := range key {
		spec = append(append(spec, part...), 0)
	}
	for _, l := range labels {
		spec = append(append(append(append(spec, 1), l.Name...), 0), l.Value...)
	}
	s.mu.RLock()
	found := s.bySpec[string(spec)]
	s.mu.RUnlock()
	if found != nil {
		return found
	}
	return s.open(string(spec), k, key, labels)
}

// open makes the series for a spec that was not seen before, or finds it under the
// name that another spec gave it.
func (s *sink) open(spec string, k kind, key []string, labels []gometrics.Label) *series {
	fresh := &series{
		name: s.prefix + "." + strings.Join(key, "."), labels: cleanLabels(labels), kind: k,
	}
	fresh.metric = cleanName(fresh.name)
	id := fresh.metric
	fixed := make(prometheus.Labels, len(fresh.labels))
	for _, l := range fresh.labels {
		fixed[l.Name] = l.Value
		id += "\x00" + l.Name + "\x00" + l.Value
	}
	fresh.desc = prometheus.NewDesc(fresh.metric, fresh.name, nil, fixed)
	if fresh.desc.Err() != nil {
		s.refused.WithLabelValues("name").Inc()
		return nil
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.kinds[fresh.metric]; ok && known != k {
		s.refused.WithLabelValues("type").Inc()
		return nil
	}
	found := s.byID[id]
	if found == nil {
		found = fresh
	}
	if len(s.bySpec) >= maxSeries && s.bySpec[spec] == nil {
		s.refused.WithLabelValues("limit").Inc()
		return nil
	}
	s.kinds[fresh.metric] = k
	s.byID[id] = found
	s.bySpec[spec] = found
	return found
}

// write records one observation of a counter or sample.
func (s *sink) write(k kind, key []string, v float32, labels []gometrics.Label) {
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		s.refused.WithLabelValues("value").Inc() // a sum would never recover from it
		return
	}
	to := s.series(k, key, labels)
	if to == nil {
		return
	}
	now := s.now()
	to.mu.Lock()
	to.value += float64(v)
	to.count++
	to.recent.add(now, float64(v), k == sample)
	to.mu.Unlock()
}

func (s *sink) drop(name string) {
	name = s.prefix + "." + name
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, found := range s.byID {
		if found.kind != gauge {
			continue
		}
		if rest, ok := strings.CutPrefix(found.name, name); ok && (rest == "" || rest[0] == '.') {
			found.mu.Lock()
			found.live = false
			found.mu.Unlock()
		}
	}
}

// all returns the series in order of name and labels.
func (s *sink) all() []*series {
	s.mu.RLock()
	out := make([]*series, 0, len(s.byID))
	for _, found := range s.byID {
		out = append(out, found)
	}
	s.mu.RUnlock()
	slices.SortFunc(out, func(a, b *series) int {
		return cmp.Or(cmp.Compare(a.name, b.name), slices.CompareFunc(a.labels, b.labels, compareLabels))
	})
	return out
}

func (s *sink) SetPrecisionGaugeWithLabels(key []string, v float64, labels []gometrics.Label) {
	to := s.series(gauge, key, labels)
	if to == nil {
		return
	}
	to.mu.Lock()
	to.value, to.live = v, true
	to.mu.Unlock()
}

func (s *sink) SetPrecisionGauge(key []string, v float64) {
	s.SetPrecisionGaugeWithLabels(key, v, nil)
}

func (s *sink) SetGaugeWithLabels(key []string, v float32, labels []gometrics.Label) {
	s.SetPrecisionGaugeWithLabels(key, float64(v), labels)
}

func (s *sink) SetGauge(key []string, v float32) {
	s.SetPrecisionGaugeWithLabels(key, float64(v), nil)
}

func (s *sink) IncrCounterWithLabels(key []string, v float32, labels []gometrics.Label) {
	s.write(counter, key, v, labels)
}

func (s *sink) IncrCounter(key []string, v float32) { s.write(counter, key, v, nil) }

func (s *sink) AddSampleWithLabels(key []string, v float32, labels []gometrics.Label) {
	s.write(sample, key, v, labels)
}

func (s *sink) AddSample(key []string, v float32) { s.write(sample, key, v, nil) }

// EmitKey does nothing: a point is neither a rate nor a level, and nobody charts one.
func (s *sink) EmitKey([]string, float32) {}

func compareLabels(a, b gometrics.Label) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
}

// cleanLabels returns labels that Prometheus accepts: one of each name, sorted.
func cleanLabels(labels []gometrics.Label) []gometrics.Label {
	out := make([]gometrics.Label, 0, len(labels))
	for _, l := range labels {
		out = append(out, gometrics.Label{
			Name: cleanName(l.Name), Value: strings.ToValidUTF8(l.Value, "\uFFFD"),
		})
	}
	slices.SortFunc(out, compareLabels)
	return slices.CompactFunc(out, func(a, b gometrics.Label) bool { return a.Name == b.Name })
}

// cleanName puts an underscore wherever Prometheus allows neither letter nor digit.
func cleanName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, name)
}
