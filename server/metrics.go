package server

import (
	"time"

	gometrics "github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics counts and times the calls of the [Table].
type metrics struct {
	calls   *prometheus.CounterVec
	errors  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		calls: f.NewCounterVec(prometheus.CounterOpts{Namespace: "hanse", Subsystem: "rpc", Name: "calls_total",
			Help: "Calls that this server took, by method."}, []string{"method"}),
		errors: f.NewCounterVec(prometheus.CounterOpts{Namespace: "hanse", Subsystem: "rpc", Name: "errors_total",
			Help: "Calls that ended with an error, by method."}, []string{"method"}),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{Namespace: "hanse", Subsystem: "rpc", Name: "seconds",
			Help:    "How long calls took, by method, with the wait of blocking queries.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"method"}),
	}
}

// methodMetrics are those of one method, found once.
type methodMetrics struct {
	calls   prometheus.Counter
	errors  prometheus.Counter
	seconds prometheus.Observer
}

func (m *metrics) of(method string) methodMetrics {
	return methodMetrics{m.calls.WithLabelValues(method), m.errors.WithLabelValues(method), m.seconds.WithLabelValues(method)}
}

func (m *methodMetrics) observe(took time.Duration, err error) {
	m.calls.Inc()
	m.seconds.Observe(took.Seconds())
	if err != nil {
		m.errors.Inc()
	}
}

// The counts and times below are charted by existing dashboards under these names.

func countCrossDC() { gometrics.IncrCounter([]string{"rpc", "cross-dc"}, 1) }

func countRequest(err error) {
	gometrics.IncrCounter([]string{"rpc", "request"}, 1)
	if err != nil {
		gometrics.IncrCounter([]string{"rpc", "request_error"}, 1)
	}
}

func timed(name []string, start time.Time) {
	if name != nil {
		gometrics.MeasureSince(name, start)
	}
}
