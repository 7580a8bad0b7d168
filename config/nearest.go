package config

import (
	"maps"
	"slices"
	"strings"
)

// nearest is the candidate that takes the fewest edits to reach from name.
func nearest(name string, candidates []string) string {
	best, least := "", -1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if n := edits(name, c); least < 0 || n < least {
			best, least = c, n
		}
	}
	return best
}

// nearestKey is the known key that an unknown one was probably meant to be: a
// sibling, or one of the same name in another section.
func nearestKey(path string) string {
	last := lastOf(path)
	best, least := "", -1
	for _, known := range slices.Sorted(maps.Keys(keys)) {
		n := edits(path, known)
		if elsewhere := edits(last, lastOf(known)) + 1; elsewhere < n {
			n = elsewhere
		}
		if least < 0 || n < least {
			best, least = known, n
		}
	}
	return best
}

func lastOf(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// edits is the number of insertions, deletions, replacements and swaps of
// neighbours between a and b, over at most their first 64 bytes.
func edits(a, b string) int {
	a, b = a[:min(len(a), 64)], b[:min(len(b), 64)]
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
