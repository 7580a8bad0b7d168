// Package digest compares two large sets of keys by sums over ranges of them, so that only
// what differs has to cross the wire.
//
// A key's rank is decided by a hash of its name alone, so both sides cut their keys into
// the same ranges without having to agree on anything: a range of level n begins at a key
// whose rank is at least n, and holds [Fanout] ranges of level n-1 on average. The sum of a
// range is the sum of what stands for its entries, so a range's sum is that of its parts.
//
// Keys are relative here: without the prefix that they stand below, so that a prefix and its
// copy below another one have the same sums.
package digest

// Fanout is how many ranges one level make one of the next, on average.
const Fanout = 16

// Sum stands for a set of entries: their names, flags and values. The sum of nothing is zero.
type Sum [16]byte

// Span is the keys from From on and before To; "" as To is the end of all keys.
type Span struct {
	From, To string
}

// Range is one range of keys: it begins at Start, and ends where the next one of its level
// begins, or the span that was asked for ends.
type Range struct {
	Start string
	Count int
	Sum   Sum
}

// Query asks for the ranges of some spans.
type Query struct {
	// Prefix is what the keys begin with.
	Prefix string
	// Exclude are prefixes of relative keys that are left out.
	Exclude []string
	// Spans are what is asked about, nil for everything.
	Spans []Span
	// Level is that of the ranges in the answer. Above the highest there is, each span is one
	// range. At level 0 each key is a range of its own.
	Level int
}

// Reply is the answer to a [Query]: the ranges of each span, in its order. A span without keys
// has none. The first range of a span begins at its From or later.
type Reply struct {
	// Index is the log index of the state that was summed up.
	Index uint64
	// Levels is how many levels the keys below the prefix have: at that level they are one range.
	Levels int
	Ranges [][]Range
}
