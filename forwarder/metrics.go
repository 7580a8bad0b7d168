package forwarder

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hanse-project/hanse/rpc"
)

// unknownDatacenter is the label of calls to datacenters that do not exist, whose
// names are whatever a user typed.
const unknownDatacenter = "unknown"

type metrics struct {
	seconds  *prometheus.HistogramVec
	errors   *prometheus.CounterVec
	inFlight *prometheus.GaugeVec
	sessions *prometheus.GaugeVec
	breaker  *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	opts := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: "hanse", Subsystem: "forward", Name: name, Help: help}
	}
	return &metrics{
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "hanse", Subsystem: "forward", Name: "seconds",
			Help:    "Duration of calls to servers of a datacenter, with all their attempts, until their answer or failure.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 60, 300},
		}, []string{"datacenter", "class"}),
		errors: f.NewCounterVec(prometheus.CounterOpts{
			Namespace: "hanse", Subsystem: "forward", Name: "errors_total",
			Help: "Calls that no server of a datacenter answered, by reason.",
		}, []string{"datacenter", "reason"}),
		inFlight: f.NewGaugeVec(opts("in_flight", "Calls to servers of a datacenter that wait for their answer."), []string{"datacenter"}),
		sessions: f.NewGaugeVec(opts("sessions", "Open connections to servers of a datacenter."), []string{"datacenter"}),
		breaker:  f.NewGaugeVec(opts("breaker_state", "Breaker of a datacenter: 0 closed, 1 half-open, 2 open."), []string{"datacenter"}),
	}
}

// failed counts a call that failed.
func (m *metrics) failed(dc string, err error) {
	reason := rpc.ReasonOf(err)
	if reason == "" {
		reason = "other"
	}
	m.errors.WithLabelValues(dc, string(reason)).Inc()
}

// drop removes what was said of a datacenter that is gone. The number of its sessions
// goes with the last one.
func (m *metrics) drop(dc string) {
	of := prometheus.Labels{"datacenter": dc}
	m.seconds.DeletePartialMatch(of)
	m.errors.DeletePartialMatch(of)
	m.inFlight.DeletePartialMatch(of)
	m.breaker.DeletePartialMatch(of)
}
