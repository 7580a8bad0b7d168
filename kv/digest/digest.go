// Package digest compares two large sets of keys by sums over ranges of them, so that only
// what differs has to cross the wire.
//
// A key's rank is decided by a hash of its name alone, so both sides cut their keys into
// the same ranges without having to agree on anything: a range of level n begins at a key
// whose rank is at least n, and holds [Fanout] ranges of level n-1 on average. The sum of a
// range is the sum of what stands for its entries, so a range's sum is that of its parts.
//
// Keys are relative here: without the prefix that they stand below, so that a prefix and its
// copy below another one have the same sums. They are bytes, and ordered as such.
//
// A [Tree] remembers the ranges of level 2, of 256 keys on average, and looks at the entries
// themselves for less. It never changes: [Tree.Update] makes the next one, and sums up only
// those ranges again in which something changed.
//
// [Compare] goes down from the sum of everything into those ranges that differ, one question
// to each side for a level: a million keys have six. It names up to about a thousand keys one
// by one. Where more differs it stops at the level that shows it and answers with stretches of
// keys, which are cheaper to read through than to name: what it takes, in memory and on the
// wire, is bounded however much differs, and however odd the keys are.
//
// Sums are truncated SHA-256, added up. That two sides differ and have the same sums does not
// happen by itself. Who can write both sides could contrive it, and has no need to.
package digest

import "fmt"

// Fanout is how many ranges one level make one of the next, on average.
const Fanout = 16

// MaxLevel is a level above any that there is: there each span is one range.
const MaxLevel = 17

const (
	// MaxSpans and MaxExclude are how many spans and excluded prefixes a question may have.
	MaxSpans   = 4096
	MaxExclude = 1024
	// maxParts is how many ranges a span is cut into at most. One that would have more is
	// answered as one range, as is one with which the answer would have more than maxRanges
	// ranges or maxBytes of keys.
	maxParts  = 1024
	maxRanges = 1 << 16
	maxBytes  = 8 << 20
)

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
	// Spans are what is asked about, in order and apart from each other; none for everything.
	Spans Spans
	// Level is that of the ranges in the answer. Above the highest there is, each span is one
	// range. At level 0 each key is a range of its own.
	Level int
}

// Check refuses a question that is wrong in itself.
func (q *Query) Check() error {
	switch {
	case q.Level < 0:
		return fmt.Errorf("the level is %d: use 0 to %d", q.Level, MaxLevel)
	case len(q.Spans) > MaxSpans:
		return fmt.Errorf("%d spans are asked about: use at most %d", len(q.Spans), MaxSpans)
	case len(q.Exclude) > MaxExclude:
		return fmt.Errorf("%d prefixes are excluded: use at most %d", len(q.Exclude), MaxExclude)
	}
	for i, s := range q.Spans {
		if s.To != "" && s.From >= s.To {
			return fmt.Errorf("the span from %q to %q is empty: it ends before its second key", s.From, s.To)
		}
		if i > 0 && (q.Spans[i-1].To == "" || q.Spans[i-1].To > s.From) {
			return fmt.Errorf("the span from %q begins before the end of the one before it", s.From)
		}
	}
	return nil
}

// Reply is the answer to a [Query].
type Reply struct {
	// Index is the log index of the state that was summed up.
	Index uint64
	// Levels is how many levels the keys below the prefix have: at that level they are one range.
	Levels int
	// Ranges are those of each span, in the order of the spans. A span without keys has none.
	// The first range of a span begins at its From or later, and holds all keys from From on. One
	// of several keys at level 0 says that the span has too many keys to be told one by one.
	Ranges Ranges
}
