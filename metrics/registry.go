package metrics

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"time"

	gometrics "github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// DefaultPrefix is what the names of the bridge begin with unless
// telemetry.metrics_prefix says otherwise.
const DefaultPrefix = "consul"

// ErrBridged means that another registry holds the process's only bridge.
var ErrBridged = errors.New("go-metrics already writes to another registry")

// Registry is the metrics of one agent. Packages register in it what they measure.
type Registry struct {
	*prometheus.Registry
	sink   *sink
	filter Filter
}

// prefixes are those from which a Prometheus name can be made.
var prefixes = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_.-]*$`)

// New returns a registry that shows what filter lets through: the names of the bridge
// under prefix, and the Go runtime and this process beside them.
func New(prefix string, filter Filter) (*Registry, error) {
	if !prefixes.MatchString(prefix) {
		return nil, fmt.Errorf("telemetry.metrics_prefix is %q: use a letter followed by letters, digits and any of _ . -", prefix)
	}
	r := &Registry{Registry: prometheus.NewRegistry(), sink: newSink(prefix), filter: filter}
	for _, c := range []prometheus.Collector{
		r.sink, r.sink.refused,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of the process: %w", err)
		}
	}
	return r, nil
}

// Handler serves everything in the registry to Prometheus, in the format and
// compression that the request accepts.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(filtered{r.Registry, r.filter}, promhttp.HandlerOpts{
		// One bad series must not hide all the others.
		ErrorHandling: promhttp.ContinueOnError,
		Registry:      r.Registry,
	})
}

// Drop takes gauges of the bridge away until they are written again: those named,
// without the prefix and with dots (leader.replication), and all below them.
// Counters and summaries stay, since what has been counted remains true.
func (r *Registry) Drop(names ...string) {
	for _, name := range names {
		r.sink.drop(name)
	}
}

// bridge is the registry that go-metrics writes to.
var bridge struct {
	mu     sync.Mutex
	holder *Registry
}

// Bridge makes go-metrics, and with it raft, serf and memberlist, write to r until
// release is called. It fails with [ErrBridged] while another registry holds the
// bridge; for the holder it is a further name for the same bridge.
func (r *Registry) Bridge() (release func(), err error) {
	bridge.mu.Lock()
	defer bridge.mu.Unlock()
	if bridge.holder == r {
		return r.release, nil
	}
	if bridge.holder != nil {
		return nil, ErrBridged
	}
	// No host name, no service name and no runtime collector: the first two change
	// names, and the third is a goroutine that never ends.
	conf := &gometrics.Config{TimerGranularity: time.Millisecond, FilterDefault: true}
	if _, err := gometrics.NewGlobal(conf, r.sink); err != nil {
		return nil, fmt.Errorf("bridge go-metrics: %w", err)
	}
	bridge.holder = r
	return r.release, nil
}

// release lets another registry have the bridge. What is written meanwhile is lost.
func (r *Registry) release() {
	bridge.mu.Lock()
	defer bridge.mu.Unlock()
	if bridge.holder == r {
		gometrics.Shutdown()
		bridge.holder = nil
	}
}
