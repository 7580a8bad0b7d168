package digest

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"golang.org/x/sync/errgroup"
)

const (
	// maxDiffering is how many ranges are looked into at most.
	maxDiffering = 1024
	// few keys are told one by one without looking at the levels between.
	few = 64
)

// Side is one of the two sets of keys that are compared.
type Side struct {
	// Prefix is what its keys begin with.
	Prefix string
	// Ask answers questions about it.
	Ask func(ctx context.Context, q Query) (*Reply, error)
}

// Result is what a comparison found. The two sides are not of one moment, nor are the
// answers of one side: what changed meanwhile may be among the differences.
type Result struct {
	// Keys are relative keys that only one side has, or that have other values or flags, in order.
	// Among them is the key that a stretch is behind, whatever that is.
	Keys []string
	// Stretches are where more differs than was looked into, in order.
	Stretches []Stretch
	// Source and Destination are what both sides had to begin with.
	Source, Destination Extent
}

// Stretch is the relative keys behind After and before To, "" as To being the end: pages of
// keys are asked for by the key that they are behind.
type Stretch struct{ After, To string }

// Extent is how many keys one side had, at which index.
type Extent struct {
	Index uint64
	Keys  int
}

// Equal tells whether nothing differs.
func (r *Result) Equal() bool { return len(r.Keys) == 0 && len(r.Stretches) == 0 }

// Compare finds out what differs between two sets of keys, without what has one of the
// excluded prefixes. If nothing does, it asks each side one question.
func Compare(ctx context.Context, source, destination Side, exclude ...string) (*Result, error) {
	c := &comparison{source: source, destination: destination, exclude: exclude}
	pair, err := c.ask(ctx, nil, MaxLevel)
	if err != nil {
		return nil, err
	}
	r := &c.result
	r.Source, r.Destination = pair.source.extent(), pair.destination.extent()
	level := max(pair.source.Levels, pair.destination.Levels)
	differing := pair.differing(Spans{{}})
	for len(differing) > 0 {
		if len(differing) > maxDiffering {
			for _, d := range differing {
				r.leave(d.Span)
			}
			break
		}
		level--
		if count(differing) <= few {
			level = 0
		}
		spans := spansOf(differing)
		if pair, err = c.ask(ctx, spans, max(level, 0)); err != nil {
			return nil, err
		}
		if level <= 0 {
			pair.keys(spans, r)
			break
		}
		differing = pair.differing(spans)
	}
	return r, nil
}

// leave notes a span that is not looked into.
func (r *Result) leave(s Span) {
	if n := len(r.Stretches); n > 0 && r.Stretches[n-1].To == s.From {
		r.Stretches[n-1].To = s.To
		return
	}
	r.Keys = append(r.Keys, s.From)
	r.Stretches = append(r.Stretches, Stretch{After: s.From, To: s.To})
}

type comparison struct {
	source, destination Side
	exclude             []string
	result              Result
}

// answers are those of both sides to one question.
type answers struct{ source, destination *Reply }

func (c *comparison) ask(ctx context.Context, spans Spans, level int) (both answers, err error) {
	group, ctx := errgroup.WithContext(ctx)
	one := func(name string, side Side, into **Reply) {
		group.Go(func() error {
			q := Query{Prefix: side.Prefix, Exclude: c.exclude, Spans: spans, Level: level}
			rep, err := side.Ask(ctx, q)
			if err == nil {
				err = rep.check(&q)
			}
			if err != nil {
				return fmt.Errorf("sums of level %d of %q at the %s: %w", level, side.Prefix, name, err)
			}
			*into = rep
			return nil
		})
	}
	one("source", c.source, &both.source)
	one("destination", c.destination, &both.destination)
	return both, group.Wait()
}

// check refuses an answer that is none to the question.
func (r *Reply) check(q *Query) error {
	spans := q.Spans
	if len(spans) == 0 {
		spans = Spans{{}}
	}
	if len(r.Ranges) != len(spans) {
		return fmt.Errorf("%d spans were asked about and %d answered", len(spans), len(r.Ranges))
	}
	for i, s := range spans {
		for j, part := range r.Ranges[i] {
			if part.Start < s.From || s.To != "" && part.Start >= s.To || j > 0 && part.Start <= r.Ranges[i][j-1].Start {
				return fmt.Errorf("the range at %q is out of order in the span from %q to %q", part.Start, s.From, s.To)
			}
		}
	}
	if r.Levels < 0 || r.Levels > MaxLevel {
		return errors.New("it has no such number of levels")
	}
	return nil
}

func (r *Reply) extent() Extent {
	e := Extent{Index: r.Index}
	for _, part := range r.Ranges[0] {
		e.Keys += part.Count
	}
	return e
}

// difference is a span that differs, and how many keys it has on the side that has more.
type difference struct {
	Span
	count int
}

func count(all []difference) (n int) {
	for _, d := range all {
		n += d.count
	}
	return n
}

func spansOf(all []difference) Spans {
	spans := make(Spans, len(all))
	for i, d := range all {
		spans[i] = d.Span
	}
	return spans
}

// differing are the parts of the spans in which the two sides differ. They are cut where
// both sides cut: at a key that only one side has, the other one does not.
func (a answers) differing(spans Spans) (all []difference) {
	for i, s := range spans {
		from, ours, theirs := s.From, total{}, total{}
		end := func(to string) {
			if ours != theirs {
				all = append(all, difference{Span{from, to}, max(ours.count, theirs.count)})
			}
			from, ours, theirs = to, total{}, total{}
		}
		for x, y := range merge(a.source.Ranges[i], a.destination.Ranges[i]) {
			if x != nil && y != nil && x.Start > from {
				end(x.Start)
			}
			if x != nil {
				ours.add(x.total())
			}
			if y != nil {
				theirs.add(y.total())
			}
		}
		end(s.To)
	}
	return all
}

// keys notes the keys that differ, where each is a range of its own.
func (a answers) keys(spans Spans, r *Result) {
	for i, s := range spans {
		if !single(a.source.Ranges[i]) || !single(a.destination.Ranges[i]) {
			r.leave(s)
			continue
		}
		for x, y := range merge(a.source.Ranges[i], a.destination.Ranges[i]) {
			switch {
			case y == nil:
				r.Keys = append(r.Keys, x.Start)
			case x == nil || *x != *y:
				r.Keys = append(r.Keys, y.Start)
			}
		}
	}
}

func single(parts []Range) bool {
	for i := range parts {
		if parts[i].Count != 1 {
			return false
		}
	}
	return true
}

// merge goes through the ranges of both sides by where they start, those that start at the
// same key together.
func merge(ours, theirs []Range) iter.Seq2[*Range, *Range] {
	return func(yield func(x, y *Range) bool) {
		for len(ours) > 0 || len(theirs) > 0 {
			var x, y *Range
			if len(theirs) == 0 || len(ours) > 0 && ours[0].Start <= theirs[0].Start {
				x = &ours[0]
			}
			if len(ours) == 0 || len(theirs) > 0 && theirs[0].Start <= ours[0].Start {
				y = &theirs[0]
			}
			if x != nil {
				ours = ours[1:]
			}
			if y != nil {
				theirs = theirs[1:]
			}
			if !yield(x, y) {
				return
			}
		}
	}
}
