package session

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hanse-project/hanse/store"
)

// Measure registers what this domain tells about itself.
func Measure(reg prometheus.Registerer, s *store.Store) {
	promauto.With(reg).NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "hanse", Subsystem: "session", Name: "sessions", Help: "Sessions in this server's store.",
	}, func() float64 { return float64(count(s.Read(nil))) })
}

func count(v *store.View) int {
	n := 0
	for range store.Rows[*Session](v, table, "id") {
		n++
	}
	return n
}
