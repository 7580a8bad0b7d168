package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Filter says which names are shown. The zero value shows none.
type Filter struct {
	// Default is what happens to names that no rule is about: they are shown if it is true.
	Default bool
	// Rules are a + or - before the beginning of a name, with dots or underscores: + shows
	// and everything else hides. Of two that fit, the longer one counts.
	Rules []string
}

// shows tells whether a name is shown. It knows Prometheus's names, and those with dots.
func (f Filter) shows(name string) bool {
	name = cleanName(name)
	shown, longest := f.Default, 0
	for _, rule := range f.Rules {
		if len(rule) > longest && strings.HasPrefix(name, cleanName(rule[1:])) {
			shown, longest = rule[0] == '+', len(rule)
		}
	}
	return shown
}

// filtered is a Gatherer that leaves out what its filter does not show.
type filtered struct {
	prometheus.Gatherer
	filter Filter
}

// Gather implements prometheus.Gatherer.
func (f filtered) Gather() ([]*dto.MetricFamily, error) {
	all, err := f.Gatherer.Gather()
	return slices.DeleteFunc(all, func(m *dto.MetricFamily) bool { return !f.filter.shows(m.GetName()) }), err
}
