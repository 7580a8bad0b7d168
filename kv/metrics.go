package kv

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/hanse-project/hanse/store"
)

// Measure registers what this domain tells about itself.
func Measure(reg prometheus.Registerer, s *store.Store) {
	promauto.With(reg).NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "hanse", Subsystem: "kv", Name: "entries", Help: "Keys in this server's store.",
	}, func() float64 { return float64(Count(s.Read(nil))) })
}
