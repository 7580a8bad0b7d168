package store

import (
	"fmt"
	"iter"
	"slices"
	"testing"

	memdb "github.com/hashicorp/go-memdb"
)

// The feed of these tests has the last index of each key in a map beside the database.
type tally struct {
	feed *feed
	db   *memdb.MemDB
	last map[string]uint64
	at   uint64
}

func newTally(t *testing.T) *tally {
	c := &tally{last: map[string]uint64{}}
	c.feed = newFeed(&FeedOf{
		Name:   "keys",
		Latest: func(_ *View, key string) uint64 { return c.last[key] },
		All: func(*View) iter.Seq[Change] {
			return func(yield func(Change) bool) {
				for key, index := range c.last {
					if !yield(Change{index, key}) {
						return
					}
				}
			}
		},
	})
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	c.db = s.current.Load().db
	return c
}

func (c *tally) change(keys ...string) {
	c.at++
	tx := &Tx{View: View{txn: c.db.Txn(false), touched: map[string]uint64{}}, Index: c.at, feed: c.feed}
	tx.Touch("keys")
	for _, key := range keys {
		tx.Changed(key, c.last[key] != 0)
		c.last[key] = c.at
	}
	c.feed.publish(tx)
}

// live are the rows behind a change that nothing supersedes.
func (c *tally) live(from Change) (all []Change) {
	for row := range (Feed{c.feed.head.Load()}).After(from) {
		if c.last[row.Key] == row.Index {
			all = append(all, row)
		}
	}
	return all
}

func (c *tally) length() int {
	h := c.feed.head.Load()
	n := len(h.tail)
	for _, chunk := range h.full {
		n += len(chunk)
	}
	return n
}

func TestFeedStaysInProportion(t *testing.T) {
	c := newTally(t)
	for i := range 5000 {
		c.change(fmt.Sprintf("still-%04d", i))
	}
	for i := range 100_000 {
		c.change(fmt.Sprintf("busy-%03d", i%700))
		if n := c.length(); n > 3*5700 {
			t.Fatalf("after %d changes of 700 keys beside 5,000 there are %d rows", i, n)
		}
	}
	if rows := c.live(Change{}); len(rows) != 5700 || !slices.IsSortedFunc(rows, Change.compare) {
		t.Fatalf("%d rows, in order: %v", len(rows), slices.IsSortedFunc(rows, Change.compare))
	}
	if c.feed.rows != c.length() {
		t.Errorf("%d rows are counted as %d", c.length(), c.feed.rows)
	}
}

func TestReadersKeepTheirHead(t *testing.T) {
	c := newTally(t)
	var keys []string
	for i := range 3000 {
		keys = append(keys, fmt.Sprintf("k%04d", i))
	}
	c.change(keys...)
	old := Feed{c.feed.head.Load()}
	for range 20 {
		c.change(keys...)
	}
	n := 0
	for row := range old.After(Change{}) {
		if row != (Change{1, keys[n]}) {
			t.Fatalf("row %d of an old head has become %+v", n, row)
		}
		n++
	}
	if n != 3000 {
		t.Fatalf("an old head has %d rows", n)
	}
}

func TestACursorWithinAnIndex(t *testing.T) {
	c := newTally(t)
	c.change("a", "b", "c")
	c.change("b", "d")
	for _, step := range []struct {
		from Change
		want []Change
	}{
		{Change{}, []Change{{1, "a"}, {1, "c"}, {2, "b"}, {2, "d"}}},
		{Change{1, "a"}, []Change{{1, "c"}, {2, "b"}, {2, "d"}}},
		{Change{1, "bb"}, []Change{{1, "c"}, {2, "b"}, {2, "d"}}},
		{Change{1, ""}, []Change{{2, "b"}, {2, "d"}}},
		{Change{2, "b"}, []Change{{2, "d"}}},
		{Change{2, ""}, nil},
		{Change{9, ""}, nil},
	} {
		if got := c.live(step.from); !slices.Equal(got, step.want) {
			t.Errorf("after %+v come %v, want %v", step.from, got, step.want)
		}
	}
}
