package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
)

// Rows remember their JSON, and must never show an older one.
func TestRowsShowWhatTheyAre(t *testing.T) {
	d := newDC(t)
	for i := range 20 {
		d.service(fmt.Sprintf("n%02d", i), "w", "web", Passing)
	}
	for _, change := range []func(){
		func() {},
		func() { d.service("n03", "w", "web", Critical) },
		func() { d.service("n04", "w", "web", Passing, "tag<&>") },
		func() { d.put(&RegisterRequest{Node: "n05", Address: "10.9.9.9"}) },
		func() {
			d.put(&RegisterRequest{Node: "n06", SkipNodeUpdate: true, Check: &HealthCheck{Name: "host", Status: Warning}})
		},
		func() { d.remove(&DeregisterRequest{Node: "n07", ServiceID: "w"}) },
		func() { d.remove(&DeregisterRequest{Node: "n08", CheckID: "check:w"}) },
		func() { d.service("n07", "w", "web", Passing) },
	} {
		change()
		req := &ServiceSpecificRequest{ServiceName: "web"}
		instances := must(d.healthServiceNodes(t.Context(), anyone(), req)).Nodes
		flat := must(d.serviceNodes(t.Context(), anyone(), req)).ServiceNodes
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range instances {
					expectJSON(t, instances[i], instances[i].AppendJSON)
				}
				for _, row := range flat {
					expectJSON(t, row, row.AppendJSON)
				}
			})
		}
		wg.Wait()
	}
}

func expectJSON(t *testing.T, row any, appendJSON func([]byte) ([]byte, error)) {
	t.Helper()
	want, err := json.Marshal(row)
	if err != nil {
		t.Error(err)
	}
	if got, err := appendJSON(nil); err != nil || !bytes.Equal(got, want) {
		t.Errorf("a row shows %s (%v), and is %s", got, err, want)
	}
}

func TestUnchangedInstancesKeepTheirJSON(t *testing.T) {
	d := newDC(t)
	for i := range 10 {
		d.service(fmt.Sprintf("n%02d", i), "w", "web", Passing)
	}
	ask := func() []CheckServiceNode {
		return must(d.healthServiceNodes(t.Context(), anyone(), &ServiceSpecificRequest{ServiceName: "web"})).Nodes
	}
	before := ask()
	d.service("n03", "w", "web", Critical)
	for i, row := range ask() {
		if kept := row.encoded == before[i].encoded; kept != (i != 3) {
			t.Errorf("instance %d kept its JSON: %v", i, kept)
		}
	}
}
