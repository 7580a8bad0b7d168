package config

import (
	"maps"
	"slices"
	"strings"
)

// Nearest is the candidate that takes the fewest edits to reach from name, "" if none is
// near enough to have been meant.
func Nearest(name string, candidates []string) string {
	best, least := "", -1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if n := distance(name, c); least < 0 || n < least {
			best, least = c, n
		}
	}
	return ifNear(best, least, name)
}

// ifNear is the best candidate if most of what was written is in it, "" otherwise.
func ifNear(best string, edits int, written string) string {
	if edits > 1+len(written)/3 {
		return ""
	}
	return best
}

// nearestKey is the known key that an unknown one was probably meant to be: a
// neighbour, or one of almost the same name in another section; "" if none is near.
func nearestKey(path string) string {
	last := lastOf(path)
	best, least := "", -1
	consider := func(known string) {
		n := distance(path, known)
		if elsewhere := distance(last, lastOf(known)); elsewhere <= 2 && elsewhere < len(last)/2 {
			n = min(n, elsewhere+1)
		}
		if least < 0 || n < least {
			best, least = known, n
		}
	}
	for _, known := range slices.Sorted(maps.Keys(keys)) {
		consider(known)
	}
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		consider(section)
	}
	return ifNear(best, least, path)
}

// distance is edits, but a word that was cut short is near its whole.
func distance(name, known string) int {
	if len(name) >= 3 && strings.HasPrefix(known, name) {
		return 1
	}
	return edits(name, known)
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
