package cache

import (
	gometrics "github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	entries  prometheus.Gauge
	bytes    prometheus.Gauge
	fetching prometheus.Gauge
	evicted  prometheus.Counter
	// The children of two vectors: of hanse_cache_requests_total and hanse_cache_fetches_total.
	hit, stale, miss, bypass prometheus.Counter
	fetchOK, fetchFailed     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Namespace: "hanse", Subsystem: "cache", Name: name, Help: help})
	}
	requests := f.NewCounterVec(prometheus.CounterOpts{Namespace: "hanse", Subsystem: "cache", Name: "requests_total",
		Help: "Requests that the cache answered: hit, stale (a hit while the servers could not be reached), miss, or bypass (there was no room)."}, []string{"result"})
	fetches := f.NewCounterVec(prometheus.CounterOpts{Namespace: "hanse", Subsystem: "cache", Name: "fetches_total",
		Help: "Calls to the servers that the cache made, by how they ended: ok or error."}, []string{"result"})
	return &metrics{
		entries:  gauge("entries", "Answers that the cache keeps."),
		bytes:    gauge("bytes", "Estimated memory of the answers that the cache keeps."),
		fetching: gauge("fetching", "Answers that the cache fetches or keeps up to date at the moment."),
		evicted: f.NewCounter(prometheus.CounterOpts{Namespace: "hanse", Subsystem: "cache", Name: "evictions_total",
			Help: "Answers that were dropped to make room."}),
		hit: requests.WithLabelValues("hit"), stale: requests.WithLabelValues("stale"),
		miss: requests.WithLabelValues("miss"), bypass: requests.WithLabelValues("bypass"),
		fetchOK: fetches.WithLabelValues("ok"), fetchFailed: fetches.WithLabelValues("error"),
	}
}

// Each of these also counts under the name that existing dashboards chart.

func (m *metrics) answered(from From) {
	switch {
	case !from.Hit:
		m.miss.Inc()
	case from.old:
		m.stale.Inc()
	default:
		m.hit.Inc()
	}
}

func (m *metrics) bypassed() {
	m.bypass.Inc()
	gometrics.IncrCounter([]string{"cache", "bypass"}, 1)
}

func (m *metrics) fetched(err error) {
	if err != nil {
		m.fetchFailed.Inc()
		gometrics.IncrCounter([]string{"cache", "fetch_error"}, 1)
		return
	}
	m.fetchOK.Inc()
	gometrics.IncrCounter([]string{"cache", "fetch_success"}, 1)
}

func (m *metrics) expired() { gometrics.IncrCounter([]string{"cache", "evict_expired"}, 1) }
