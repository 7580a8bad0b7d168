package forwarder

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// counts are the counters and the counts of the histograms of a family, by the values
// of their two labels.
func counts(t *testing.T, reg prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			n := m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if f.GetName() == name && n > 0 {
				out[fmt.Sprint(m.GetLabel()[0].GetValue(), " ", m.GetLabel()[1].GetValue())] = n
			}
		}
	}
	return out
}

func wantCounts(t *testing.T, reg prometheus.Gatherer, name string, want map[string]float64) {
	t.Helper()
	if got := counts(t, reg, name); !maps.Equal(got, want) {
		t.Errorf("%s is %v, want %v", name, got, want)
	}
}

func TestOnlyFailuresOfTheDatacenterAreCounted(t *testing.T) {
	b := startBackend(t, "b1")
	reg := prometheus.NewRegistry()
	r := startRouter(t, Config{Registerer: reg, Picker: fixedPicker{"there": servers(b.addr), "empty": nil}})
	call := func(ctx context.Context, dc, what string) {
		if _, err := echo.Call(ctx, toDC{r, dc}, text(what)); (err == nil) != (what == "fine") {
			t.Errorf("%s in %s: %v", what, dc, err)
		}
	}
	call(t.Context(), "there", "fine")
	call(t.Context(), "there", "error: the handler minds")
	call(t.Context(), "empty", "there is no server")
	call(t.Context(), "nowhere", "there is no such datacenter")
	gone, goes := context.WithCancel(t.Context())
	goes()
	call(gone, "there", "the caller has gone")

	wantCounts(t, reg, "hanse_forward_errors_total", map[string]float64{"empty no_live_server": 1, "unknown unknown_dc": 1})
	wantCounts(t, reg, "hanse_forward_seconds", map[string]float64{"point there": 3, "point empty": 1})
}

func TestClientMeasuresItsServers(t *testing.T) {
	b := startBackend(t, "b1")
	for what, c := range map[string]struct {
		picker fixedPicker
		errors map[string]float64
	}{
		"one that answers, whatever it says": {fixedPicker{"here": servers(b.addr)}, map[string]float64{}},
		"none that is known":                 {fixedPicker{}, map[string]float64{"here no_servers": 2}},
	} {
		t.Run(what, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			client := startClient(t, Config{Registerer: reg, Picker: c.picker, Hold: 1})
			for _, say := range []string{"fine", "error: the handler minds"} {
				if _, err := echo.Call(t.Context(), client, text(say)); err == nil && (say != "fine" || len(c.errors) > 0) {
					t.Errorf("%s: no error", say)
				}
			}
			wantCounts(t, reg, "hanse_forward_errors_total", c.errors)
			wantCounts(t, reg, "hanse_forward_seconds", map[string]float64{"point here": 2})
		})
	}
}
