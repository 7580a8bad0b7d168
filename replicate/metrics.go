package replicate

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metric is one series per link, read from its status. ok is false while there is
// no value: what is not known is not shown as 0.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(s Status) (value float64, ok bool)
}

func linkMetric(name, help string, kind prometheus.ValueType, read func(s Status) float64) metric {
	return metric{
		desc: prometheus.NewDesc("hanse_replicate_"+name, help, []string{"link"}, nil),
		kind: kind,
		read: func(s Status) (float64, bool) { return read(s), true },
	}
}

func onlyIf(known func(s Status) bool, m metric) metric {
	read := m.read
	m.read = func(s Status) (float64, bool) {
		v, _ := read(s)
		return v, known(s)
	}
	return m
}

var linkMetrics = []metric{
	onlyIf(func(s Status) bool { return !s.State.Rests() }, linkMetric("lag_seconds", "Time since the destination last held all that the source was known to have, 0 while it does.",
		prometheus.GaugeValue, func(s Status) float64 { return s.Lag.Seconds() })),
	linkMetric("lag_entries", "Differences known and not yet written, held deletes among them.",
		prometheus.GaugeValue, func(s Status) float64 { return float64(s.Pending) }),
	linkMetric("held_deletes", "Deletes that wait for an operator.",
		prometheus.GaugeValue, func(s Status) float64 { return float64(s.HeldDeletes) }),
	onlyIf(func(s Status) bool { return s.SourceIndex != 0 }, linkMetric("source_index", "Newest index seen at the source.",
		prometheus.GaugeValue, func(s Status) float64 { return float64(s.SourceIndex) })),
	onlyIf(func(s Status) bool { return s.AppliedIndex != 0 }, linkMetric("applied_index", "Index of the source up to which everything is at the destination.",
		prometheus.GaugeValue, func(s Status) float64 { return float64(s.AppliedIndex) })),
	onlyIf(func(s Status) bool { return !s.LastSuccess.IsZero() }, linkMetric("last_success_timestamp_seconds", "When the destination was last brought in step.",
		prometheus.GaugeValue, func(s Status) float64 { return float64(s.LastSuccess.UnixMilli()) / 1000 })),
	linkMetric("applied_total", "Keys set at the destination.",
		prometheus.CounterValue, func(s Status) float64 { return float64(s.Applied) }),
	linkMetric("deleted_total", "Keys deleted at the destination.",
		prometheus.CounterValue, func(s Status) float64 { return float64(s.Deleted) }),
	linkMetric("bytes_total", "Bytes of values copied.",
		prometheus.CounterValue, func(s Status) float64 { return float64(s.Bytes) }),
	linkMetric("conflicts_total", "Keys of the source that somebody else had written at the destination.",
		prometheus.CounterValue, func(s Status) float64 { return float64(s.Conflicts) }),
	onlyIf(func(s Status) bool { return !s.LastVerify.IsZero() }, linkMetric("divergent_keys", "Keys that differed at the last verification.",
		prometheus.GaugeValue, func(s Status) float64 { return float64(s.DivergentKeys) })),
	linkMetric("keys", "Keys of the link at the destination.",
		prometheus.GaugeValue, func(s Status) float64 { return float64(s.Keys) }),
	linkMetric("first_pass_done", "Keys compared by the comparison of everything that is going on.",
		prometheus.GaugeValue, func(s Status) float64 { return float64(s.Done) }),
	linkMetric("first_pass_total", "Keys that the comparison of everything will compare, 0 when none is going on.",
		prometheus.GaugeValue, func(s Status) float64 { return float64(s.Total) }),
	linkMetric("errors_total", "Attempts that failed.",
		prometheus.CounterValue, func(s Status) float64 { return float64(s.Errors) }),
	linkMetric("unreadable_keys", "Keys of the source that cannot be copied because their names are not UTF-8.",
		prometheus.GaugeValue, func(s Status) float64 { return float64(s.Unreadable) }),
}

var stateDesc = prometheus.NewDesc("hanse_replicate_state", "1 for the state the link is in, 0 for the others.", []string{"link", "state"}, nil)

// Statuses makes what reports on links a prometheus.Collector.
type Statuses func() []Status

// Describe implements prometheus.Collector.
func (Statuses) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range linkMetrics {
		ch <- m.desc
	}
	ch <- stateDesc
}

// Collect implements prometheus.Collector.
func (all Statuses) Collect(ch chan<- prometheus.Metric) {
	for _, s := range all() {
		for _, m := range linkMetrics {
			if v, ok := m.read(s); ok {
				ch <- prometheus.MustNewConstMetric(m.desc, m.kind, v, s.Link)
			}
		}
		for _, state := range States() {
			v := 0.0
			if s.State == state {
				v = 1
			}
			ch <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, v, s.Link, string(state))
		}
	}
}
