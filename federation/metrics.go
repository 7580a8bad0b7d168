package federation

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	servers *prometheus.GaugeVec
	rtt     *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		servers: f.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "hanse", Subsystem: "federation", Name: "servers",
			Help: "Servers of a datacenter, by state: alive or failed, as gossip sees them.",
		}, []string{"datacenter", "state"}),
		rtt: f.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "hanse", Subsystem: "federation", Name: "rtt_seconds",
			Help: "Median round trip to the servers of a datacenter.",
		}, []string{"datacenter"}),
	}
}

func (m *metrics) set(dc string, alive, failed int, rtt time.Duration) {
	m.servers.WithLabelValues(dc, "alive").Set(float64(alive))
	m.servers.WithLabelValues(dc, "failed").Set(float64(failed))
	if rtt > 0 {
		m.rtt.WithLabelValues(dc).Set(rtt.Seconds())
	}
}

// drop removes what was said of a datacenter that is gone.
func (m *metrics) drop(dc string) {
	m.servers.DeletePartialMatch(prometheus.Labels{"datacenter": dc})
	m.rtt.DeleteLabelValues(dc)
}
