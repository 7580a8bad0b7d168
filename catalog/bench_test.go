package catalog

import (
	"context"
	"fmt"
	"testing"
)

func benchmarkHealth(b *testing.B, instances int) {
	d := newDC(b)
	for i := range instances {
		d.service(fmt.Sprintf("n%04d", i), "w", "web", Passing, "v1")
	}
	b.ReportAllocs()
	for b.Loop() {
		rep, err := d.healthServiceNodes(context.Background(), anyone(), &ServiceSpecificRequest{ServiceName: "web", HealthFilterType: OnlyPassing})
		if err != nil || len(rep.Nodes) != instances {
			b.Fatalf("%d instances, %v", len(rep.Nodes), err)
		}
	}
}

func BenchmarkHealthOf10(b *testing.B) { benchmarkHealth(b, 10) }

func BenchmarkHealthOf1000(b *testing.B) { benchmarkHealth(b, 1000) }

func BenchmarkRegisterIntoAServiceOf1000(b *testing.B) {
	d := newDC(b)
	for i := range 1000 {
		d.service(fmt.Sprintf("n%04d", i), "w", "web", Passing)
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		d.service("n0500", "w", "web", []string{Passing, Critical}[n%2])
	}
}
