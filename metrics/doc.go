// Package metrics holds what one agent tells about itself, and renders it for
// Prometheus and as the JSON of /v1/agent/metrics.
//
// Two kinds of names meet in a [Registry]:
//
//   - hanse_*: histograms, counters and gauges that each package makes for itself,
//     with promauto.With(reg) and the registry it is handed.
//   - consul_*: the names that existing dashboards chart. raft, serf and memberlist
//     write them to the process-wide instance of github.com/hashicorp/go-metrics,
//     and so does our own code for the names it measures itself:
//     gometrics.MeasureSince([]string{"kvs", "apply"}, start) shows as consul_kvs_apply.
//     [Registry.Bridge] connects that instance to one registry.
//
// What comes over the bridge is shown so:
//
//   - A sample is a summary of at least the last minute (quantiles 0.5, 0.9, 0.99,
//     each within 2% of a value that was seen) with _sum and _count since the start.
//     A minute without samples leaves the quantiles out: they would be NaN, and a
//     dashboard draws a gap either way. _sum and _count stay.
//   - A gauge is a float64. It stays until it is written again or dropped with
//     [Registry.Drop]; it does not age, since raft writes some gauges only when they
//     change. Whoever writes a gauge that only a leader knows drops it when leadership
//     ends, so that it is absent on followers, not 0 and not the last value.
//   - A counter keeps its name, without _total. Key-value points are not kept.
//   - No name contains a host name, and times are in milliseconds, as they always were.
//
// JSON shows the same names with dots, over the last finished interval of ten seconds.
//
// The first write of a series makes it; later writes find it without allocating.
// go-metrics is global, so a process has one bridge: of several agents in one process
// only the one that holds it shows consul_* names of its libraries.
package metrics
