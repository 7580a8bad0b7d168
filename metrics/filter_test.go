package metrics

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

func TestFilterShowsByTheLongestRuleThatFits(t *testing.T) {
	for what, c := range map[string]struct {
		filter Filter
		want   []string // of the four names below
	}{
		"all, without rules":            {Filter{Default: true}, []string{"consul_raft_apply", "consul_raft_commitTime", "consul_serf_events", "hanse_rpc_calls_total"}},
		"none, if that is the default":  {Filter{}, nil},
		"what a rule adds to none":      {Filter{Rules: []string{"+consul.raft"}}, []string{"consul_raft_apply", "consul_raft_commitTime"}},
		"what rules leave of all":       {Filter{Default: true, Rules: []string{"-consul.raft", "-hanse_rpc"}}, []string{"consul_serf_events"}},
		"a longer rule against a short": {Filter{Default: true, Rules: []string{"+consul.raft.apply", "-consul"}}, []string{"consul_raft_apply", "hanse_rpc_calls_total"}},
	} {
		t.Run(what, func(t *testing.T) {
			// JSON is about ten seconds of the clock, which stands still in a bubble.
			synctest.Test(t, func(t *testing.T) {
				r, err := New(DefaultPrefix, c.filter)
				if err != nil {
					t.Fatal(err)
				}
				r.sink.IncrCounter([]string{"raft", "apply"}, 1)
				r.sink.AddSample([]string{"raft", "commitTime"}, 1)
				r.sink.SetGauge([]string{"serf", "events"}, 1)
				promauto.With(r).NewCounter(prometheus.CounterOpts{Name: "hanse_rpc_calls_total"}).Inc()

				page := scrape(t, r)
				json := r.JSON()
				inJSON := func(name string) bool {
					return slices.ContainsFunc(json.Gauges, func(g Gauge) bool { return cleanName(g.Name) == name }) ||
						slices.ContainsFunc(slices.Concat(json.Counters, json.Samples), func(s Sampled) bool { return cleanName(s.Name) == name })
				}
				for _, name := range []string{"consul_raft_apply", "consul_raft_commitTime", "consul_serf_events", "hanse_rpc_calls_total"} {
					want := slices.Contains(c.want, name)
					if got := page[name] != nil; got != want {
						t.Errorf("%s on the page: %v, want %v", name, got, want)
					}
					if got := inJSON(name); got != (want && name != "hanse_rpc_calls_total") {
						t.Errorf("%s in JSON: %v, want %v", name, got, want)
					}
				}
				if got := page["go_goroutines"] != nil; got != c.filter.Default {
					t.Errorf("go_goroutines on the page: %v", got)
				}
			})
		})
	}
}
