package kv

import (
	"strings"

	"github.com/hanse-project/hanse/store"
)

// Lookup finds one key.
func Lookup(v *store.View, key string) (*Entry, bool) {
	return store.First[*Entry](v, tableEntries, "id", key)
}

// tableIndex is what a query answers with when nothing of its own has an index.
func tableIndex(v *store.View) uint64 { return v.TouchedAt(tableEntries) }

// list returns the entries below prefix that keep lets through, and the index of the
// list: the highest of the entries, of the tombstones among them, and of the floor. It
// is 0 if there is neither an entry nor a tombstone.
func list(v *store.View, prefix string, keep func(key string) bool) ([]*Entry, uint64) {
	var entries []*Entry
	index := deletedBelow(v, prefix)
	for e := range store.Rows[*Entry](v, tableEntries, "id_prefix", prefix) {
		index = max(index, e.ModifyIndex)
		if keep(e.Key) {
			entries = append(entries, e)
		}
	}
	return entries, aboveFloor(v, index)
}

// listKeys is [list] for names alone, each cut after the first separator behind prefix.
func listKeys(v *store.View, prefix, separator string, keep func(key string) bool) ([]string, uint64) {
	keys := []string{}
	index := deletedBelow(v, prefix)
	for e := range store.Rows[*Entry](v, tableEntries, "id_prefix", prefix) {
		index = max(index, e.ModifyIndex)
		if !keep(e.Key) {
			continue
		}
		key := cut(e.Key, prefix, separator)
		if len(keys) == 0 || keys[len(keys)-1] != key {
			keys = append(keys, key)
		}
	}
	return keys, aboveFloor(v, index)
}

func cut(key, prefix, separator string) string {
	if separator == "" {
		return key
	}
	if at := strings.Index(key[len(prefix):], separator); at >= 0 {
		return key[:len(prefix)+at+len(separator)]
	}
	return key
}

// deletedBelow is the highest index of a tombstone below prefix, 0 if there is none. It
// watches nothing: with every tombstone goes an entry, and those are watched.
func deletedBelow(v *store.View, prefix string) uint64 {
	var index uint64
	for t := range store.Rows[*Tombstone](v.Unwatched(), tableTombstones, "id_prefix", prefix) {
		index = max(index, t.ModifyIndex)
	}
	return index
}

// aboveFloor raises the index of a list to that of the tombstones which are no more.
// Where there is nothing to list, and nothing is known to have been, it stays 0: the
// table's index, which the answer then gets, is above the floor.
func aboveFloor(v *store.View, index uint64) uint64 {
	if index == 0 {
		return 0
	}
	return max(index, v.TouchedAt(floorName))
}

// absentSince is the index from which on there certainly was nothing, where there is
// nothing now and the last known delete was at deleted: after it nothing was reaped, nor
// was another state restored.
func absentSince(v *store.View, deleted uint64) uint64 {
	return max(deleted, v.TouchedAt(floorName), v.ForgottenAt())
}

// deletedAt is the index at which one key was deleted, 0 if no tombstone of it is left.
func deletedAt(v *store.View, key string) uint64 {
	if t, found := store.First[*Tombstone](v.Unwatched(), tableTombstones, "id", key); found {
		return t.ModifyIndex
	}
	return 0
}

// Count is how many keys there are.
func Count(v *store.View) int {
	n := 0
	for range store.Rows[*Entry](v, tableEntries, "id") {
		n++
	}
	return n
}
