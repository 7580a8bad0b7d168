package kv

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// The table against a map: every answer and every index must agree.
func TestTableAgreesWithAModel(t *testing.T) {
	type row struct {
		value          string
		create, modify uint64
	}
	random := rand.New(rand.NewPCG(1, 2))
	tb := newTable(t)
	model, deleted := map[string]row{}, map[string]uint64{}
	names := []string{"a", "a/", "a/b", "a/b/c", "b", "b\x00", "c/d"}
	pick := func() string { return names[random.IntN(len(names))] }
	lists := map[string]uint64{}
	for step := uint64(1); step <= 3000; step++ {
		key, value := pick(), fmt.Sprint(step)
		old, found := model[key]
		index := old.modify
		if random.IntN(2) == 0 {
			index = random.Uint64N(step + 1)
		}
		matches := index == old.modify // both 0 if it is not there
		put := func() {
			create := step
			if found {
				create = old.create
			}
			model[key] = row{value, create, step}
		}
		remove := func(key string) {
			if _, found := model[key]; found {
				delete(model, key)
				deleted[key] = step
			}
		}
		switch random.IntN(8) {
		case 0, 1, 2:
			tb.write(Set, key, value, 0)
			put()
		case 3:
			if got := tb.write(CAS, key, value, index); got != matches {
				t.Fatalf("step %d: cas of %q at %d returned %v", step, key, index, got)
			} else if got {
				put()
			}
		case 4:
			if got := tb.write(DeleteCAS, key, "", index); got != matches {
				t.Fatalf("step %d: delete-cas of %q at %d returned %v", step, key, index, got)
			} else if got {
				remove(key)
			}
		case 5:
			tb.write(Delete, key, "", 0)
			remove(key)
		case 6:
			tb.write(DeleteTree, key, "", 0)
			for other := range maps.Clone(model) {
				if strings.HasPrefix(other, key) {
					remove(other)
				}
			}
		case 7:
			if _, err := tb.Reap(t.Context(), -time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range names {
			e, _ := tb.read(key)
			want, found := model[key]
			if (e != nil) != found || found && (string(e.Value) != want.value || e.CreateIndex != want.create || e.ModifyIndex != want.modify) {
				t.Fatalf("step %d: %q is %+v, want %+v", step, key, e, want)
			}
			got, index := tb.below(key)
			var keys []string
			lowest := uint64(0)
			for other, r := range model {
				if strings.HasPrefix(other, key) {
					keys, lowest = append(keys, other), max(lowest, r.modify)
				}
			}
			for other, at := range deleted {
				if strings.HasPrefix(other, key) {
					lowest = max(lowest, at)
				}
			}
			slices.Sort(keys)
			if !slices.Equal(got, keys) || index < lowest || index > step {
				t.Fatalf("step %d: below %q: %q at %d, want %q at %d or later", step, key, got, index, keys, lowest)
			}
			if index < lists[key] {
				t.Fatalf("step %d: the index below %q fell from %d to %d", step, key, lists[key], index)
			}
			lists[key] = index
		}
	}
}
