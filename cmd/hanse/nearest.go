package main

import (
	"cmp"
	"slices"
	"strings"
)

// similar is the known word that word was probably meant to be: the first that begins
// with it, or else the nearest if no more than half of the letters differ. It is "" if
// there is none, since a guess that is far off helps nobody.
func similar(word string, known []string) string {
	begins := func(k string) bool { return len(word) > 1 && strings.HasPrefix(k, word) }
	if i := slices.IndexFunc(known, begins); i >= 0 {
		return known[i]
	}
	best := nearest(word, known)
	if editDistance(word, best) > len(word)/2 {
		return ""
	}
	return best
}

// nearest returns the known word that takes the fewest single-letter changes to
// reach from word, the first of several, or "" if none is known.
func nearest(word string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	return slices.MinFunc(known, func(a, b string) int {
		return cmp.Compare(editDistance(word, a), editDistance(word, b))
	})
}

// editDistance is the Levenshtein distance in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // distances from a[:i] to every b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
