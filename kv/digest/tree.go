package digest

import (
	"iter"
	"sort"
)

// cached is the level of the ranges that a tree remembers.
const cached = 2

// Entries reads the keys from a key on and before another, "" for the end, in order.
type Entries func(from, to string) iter.Seq[Entry]

// Tree remembers the sums of a set of keys as of one moment. It is never changed, so any
// number of questions may be answered at once.
type Tree struct {
	// nodes are the ranges of level 2, in order. The first begins at "", whatever the rank of
	// that, and may be empty.
	nodes []node
	// levels is how many levels there are.
	levels int
}

type node struct {
	start string
	rank  int
	total
}

// Build makes the tree of all the entries there are.
func Build(entries Entries) *Tree {
	return newTree(appendNodes(nil, "", "", entries))
}

func newTree(nodes []node) *Tree {
	t := &Tree{nodes: nodes}
	for i, n := range nodes {
		switch {
		case n.count == 0:
		case i == 0:
			t.levels = cached // it begins at "", whatever the rank of that
		default:
			t.levels = max(t.levels, n.rank+1)
		}
	}
	return t
}

// appendNodes sums up what is from a key on, which begins a node even if it is not there,
// and before another.
func appendNodes(nodes []node, from, to string, entries Entries) []node {
	nodes = append(nodes, node{start: from, rank: rank(from)})
	var hash hasher
	for e := range entries(from, to) {
		if e.Key != from {
			if r := rank(e.Key); r >= cached {
				nodes = append(nodes, node{start: e.Key, rank: r})
			}
		}
		nodes[len(nodes)-1].add(hash.entry(&e))
	}
	return nodes
}

// at finds the node that a key belongs to.
func (t *Tree) at(key string) int {
	return sort.Search(len(t.nodes), func(i int) bool { return t.nodes[i].start > key }) - 1
}

// end is where a node ends.
func (t *Tree) end(i int) string {
	if i+1 < len(t.nodes) {
		return t.nodes[i+1].start
	}
	return ""
}

// Update makes the tree of the entries as they are now, when none but the changed keys were
// set or deleted since t was made.
func (t *Tree) Update(changed iter.Seq[string], entries Entries) *Tree {
	dirty, any := make([]bool, len(t.nodes)), false
	for key := range changed {
		i := t.at(key)
		dirty[i], any = true, true
		if i > 0 && t.nodes[i].start == key {
			dirty[i-1] = true // which goes on there, if the key is gone
		}
	}
	if !any {
		return t
	}
	nodes := make([]node, 0, len(t.nodes)+1)
	for i := 0; i < len(t.nodes); i++ {
		if !dirty[i] {
			nodes = append(nodes, t.nodes[i])
			continue
		}
		first := i
		for i+1 < len(t.nodes) && dirty[i+1] {
			i++
		}
		nodes = appendNodes(nodes, t.nodes[first].start, t.end(i), entries)
	}
	return newTree(nodes)
}

// Answer answers a question that passed [Query.Check], except for its prefix, its excludes
// and the index, which the entries imply. They must be those that the tree was made of.
func (t *Tree) Answer(q *Query, entries Entries) *Reply {
	spans := q.Spans
	if len(spans) == 0 {
		spans = Spans{{}}
	}
	rep := &Reply{Levels: t.levels, Ranges: make(Ranges, len(spans))}
	room := room{maxRanges, maxBytes}
	for i, s := range spans {
		parts := &parts{room: room.forSpan(), start: s.From}
		if q.Level < cached {
			t.cutFine(s, q.Level, entries, parts)
		} else {
			t.cut(s, q.Level, entries, parts)
		}
		if parts.full {
			parts.start, parts.sum, parts.full, parts.done = s.From, total{}, false, nil
			t.cut(s, MaxLevel, entries, parts) // one range, which begins at s.From
		}
		parts.close()
		rep.Ranges[i] = parts.done
		room.take(parts.done)
	}
	return rep
}

// cut cuts a span into ranges of nodes.
func (t *Tree) cut(s Span, level int, entries Entries, parts *parts) {
	for i := t.at(s.From); i < len(t.nodes); i++ {
		n := &t.nodes[i]
		if s.To != "" && n.start >= s.To || n.rank >= level && !parts.begin(n.start) {
			return
		}
		parts.sum.add(t.within(i, s, entries))
	}
}

// within sums up what a node and a span have in common.
func (t *Tree) within(i int, s Span, entries Entries) total {
	n, end := &t.nodes[i], t.end(i)
	if s.From <= n.start && (s.To == "" || end != "" && end <= s.To) {
		return n.total
	}
	if s.To != "" && (end == "" || s.To < end) {
		end = s.To
	}
	var sum total
	var hash hasher
	for e := range entries(max(s.From, n.start), end) {
		sum.add(hash.entry(&e))
	}
	return sum
}

// cutFine is [Tree.cut] below the level that the tree remembers.
func (t *Tree) cutFine(s Span, level int, entries Entries, parts *parts) {
	if level == 0 && t.atLeast(s) > maxParts {
		parts.full = true
		return
	}
	var hash hasher
	for e := range entries(s.From, s.To) {
		if rank(e.Key) >= level && !parts.begin(e.Key) {
			return
		}
		parts.sum.add(hash.entry(&e))
	}
}

// atLeast is how many keys are in those nodes that are in the span as a whole.
func (t *Tree) atLeast(s Span) int {
	count := 0
	for i := t.at(s.From); i < len(t.nodes); i++ {
		end := t.end(i)
		if s.To != "" && (end == "" || end > s.To) {
			break
		}
		if t.nodes[i].start >= s.From {
			count += t.nodes[i].count
		}
	}
	return count
}
