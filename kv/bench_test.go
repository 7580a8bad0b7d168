package kv

import (
	"context"
	"fmt"
	"testing"

	"github.com/hanse-project/hanse/store/storetest"
)

func BenchmarkApplySets(b *testing.B) {
	tb := newTable(b)
	value := make([]byte, 128)
	var entries [][]byte
	for i := range 64 {
		entries = append(entries, storetest.Encode(b, opApply, &write{Verb: Set, Key: fmt.Sprintf("bench/%02d", i), Value: value}))
	}
	b.ReportAllocs()
	for b.Loop() {
		tb.log.Batch(entries...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(entries)), "ns/set")
}

func BenchmarkGet(b *testing.B) {
	tb := newTable(b)
	for i := range 10_000 {
		tb.write(Set, fmt.Sprintf("bench/%05d", i), "value", 0)
	}
	call, req := anyone(), &KeyRequest{Key: "bench/05000"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tb.Endpoint.get(context.Background(), call, req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkList1000(b *testing.B) {
	tb := newTable(b)
	for i := range 10_000 {
		tb.write(Set, fmt.Sprintf("bench/%05d", i), "value", 0)
	}
	call, req := anyone(), &KeyRequest{Key: "bench/05"}
	b.ReportAllocs()
	for b.Loop() {
		if rep, err := tb.Endpoint.list(context.Background(), call, req); err != nil || len(rep.Entries) != 1000 {
			b.Fatalf("%d entries, %v", len(rep.Entries), err)
		}
	}
}
