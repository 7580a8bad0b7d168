package deploy

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed grafana/federation.json
var dashboard []byte

// Query is what one panel of the dashboard asks of Prometheus.
type Query struct {
	Panel string // its title
	Expr  string // as Prometheus takes it: Grafana's variables are filled in
}

// Queries returns what the panels of the dashboard ask, for all datacenters, in the
// order in which they stand. rateInterval takes the place of $__rate_interval: four
// times the scrape interval is what Grafana would choose.
func Queries(rateInterval string) ([]Query, error) {
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(dashboard, &d); err != nil {
		return nil, fmt.Errorf("read grafana/federation.json: %w", err)
	}
	fill := strings.NewReplacer("$__rate_interval", rateInterval, "$dc", ".*")
	var out []Query
	for _, p := range d.Panels {
		for _, t := range p.Targets {
			out = append(out, Query{Panel: p.Title, Expr: fill.Replace(t.Expr)})
		}
	}
	return out, nil
}
