package dnsserver

import (
	"time"

	gometrics "github.com/hashicorp/go-metrics"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hanse-project/hanse/rpc"
)

// metrics is what the face counts.
type metrics struct {
	node      []gometrics.Label
	replies   *prometheus.CounterVec
	failures  *prometheus.CounterVec
	recursors prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, node string) *metrics {
	auto := promauto.With(reg)
	return &metrics{
		node: []gometrics.Label{{Name: "node", Value: node}},
		replies: auto.NewCounterVec(prometheus.CounterOpts{
			Namespace: "hanse", Subsystem: "dns", Name: "replies_total",
			Help: "Questions over DNS, by the kind of name and how they were answered.",
		}, []string{"kind", "rcode"}),
		failures: auto.NewCounterVec(prometheus.CounterOpts{
			Namespace: "hanse", Subsystem: "dns", Name: "failures_total",
			Help: "Lookups for DNS that failed, by reason.",
		}, []string{"reason"}),
		recursors: auto.NewCounter(prometheus.CounterOpts{
			Namespace: "hanse", Subsystem: "dns", Name: "recursor_failures_total",
			Help: "Recursors that were asked and gave no answer.",
		}),
	}
}

// observe counts a reply, and times it under the names that existing dashboards chart.
func (m *metrics) observe(k kind, rcode int, start time.Time) {
	m.replies.WithLabelValues(string(k), dns.RcodeToString[rcode]).Inc()
	switch k {
	case kindReverse:
		gometrics.MeasureSinceWithLabels([]string{"dns", "ptr_query"}, start, m.node)
	case kindRecursion:
	default:
		gometrics.MeasureSinceWithLabels([]string{"dns", "domain_query"}, start, m.node)
	}
}

// fail counts a lookup that failed.
func (m *metrics) fail(err error) {
	reason := rpc.ReasonOf(err)
	if reason == "" {
		reason = rpc.ReasonFailed
	}
	m.failures.WithLabelValues(string(reason)).Inc()
}

func (m *metrics) recursorFailed() { m.recursors.Inc() }
