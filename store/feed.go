package store

import (
	"cmp"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/hanse-project/hanse/rpc"
)

// Change is one row of a feed: the thing called Key changed at the log index Index, and
// not since.
type Change struct {
	Index uint64
	Key   string
}

func (c Change) compare(other Change) int {
	return cmp.Or(cmp.Compare(c.Index, other.Index), cmp.Compare(c.Key, other.Key))
}

// FeedOf declares that a module keeps its rows in the order of their last change too.
//
// A memdb index would do the same for half as much memory again, and nearly twice the
// time of a write. The feed is a list that only grows at its end, beside the database,
// and loses rows that a later one supersedes in small steps.
type FeedOf struct {
	// Name is the name under which the module touches every change.
	Name string
	// Latest is the index of the last change of a key, 0 if it is not known any more.
	Latest func(v *View, key string) uint64
	// All are the last changes of all keys, in any order.
	All func(v *View) iter.Seq[Change]
}

// feed is the list of one generation. It has one writer, the state machine.
type feed struct {
	of   *FeedOf
	head atomic.Pointer[feedHead]
	// rows is how many there are, and dead how many were superseded, at least, since the
	// last sweep began. During one sweep is the chunk that it has come to, otherwise -1.
	rows, dead int
	sweep      int
}

// chunkRows is how many rows a chunk of the list has at most.
const chunkRows = 512

// feedHead is the list as of one index. It never changes: later heads share its chunks,
// and append behind the end that it knows.
type feedHead struct {
	index uint64
	full  [][]Change
	tail  []Change
	// before is the head that this one replaced, for readers whose snapshot of the
	// database is the one before.
	before *feedHead
}

func newFeed(of *FeedOf) *feed {
	f := &feed{of: of, sweep: -1}
	f.head.Store(&feedHead{})
	return f
}

// Changed notes a change for the feed of the module. again says that the key has changed
// before, which makes an older row of the feed void.
func (tx *Tx) Changed(key string, again bool) {
	tx.changes = append(tx.changes, Change{tx.Index, key})
	if again {
		tx.superseded++
	}
}

// publish makes the changes of a transaction the end of the list. It is called before the
// transaction is committed.
func (f *feed) publish(tx *Tx) {
	if f.of == nil {
		return
	}
	index, touched := tx.touched[f.of.Name]
	if !touched {
		return
	}
	slices.SortFunc(tx.changes, Change.compare)
	fresh := slices.CompactFunc(tx.changes, func(a, b Change) bool { return a == b })
	old := f.head.Load()
	next := &feedHead{
		index: index, full: old.full, tail: old.tail,
		before: &feedHead{index: old.index, full: old.full, tail: old.tail},
	}
	f.rows += len(fresh)
	f.dead += tx.superseded
	for len(fresh) > 0 {
		if cap(next.tail) == 0 {
			next.tail = make([]Change, 0, chunkRows)
		}
		n := min(len(fresh), cap(next.tail)-len(next.tail))
		next.tail = append(next.tail, fresh[:n]...)
		fresh = fresh[n:]
		if len(next.tail) == cap(next.tail) {
			next.full, next.tail = append(next.full, next.tail), nil
			f.tidy(&tx.View, next)
		}
	}
	f.head.Store(next)
}

// tidy looks through two chunks for rows that are superseded, for each chunk that was
// filled, once a quarter of the list is: so at most about half of it ever is.
func (f *feed) tidy(v *View, h *feedHead) {
	if f.sweep < 0 && 4*f.dead > f.rows {
		f.sweep, f.dead = 0, 0
	}
	for range 2 {
		switch {
		case f.sweep < 0:
			return
		case f.sweep >= len(h.full):
			f.sweep = -1
			return
		}
		chunk := h.full[f.sweep]
		live := make([]Change, 0, len(chunk))
		for _, c := range chunk {
			if f.of.Latest(v, c.Key) == c.Index {
				live = append(live, c)
			}
		}
		if 4*len(live) > 3*len(chunk) {
			f.sweep++
			continue
		}
		f.rows -= len(chunk) - len(live)
		f.shrink(h, live)
	}
}

// shrink puts live in the place of the chunk under the sweep, or into the one before it.
func (f *feed) shrink(h *feedHead, live []Change) {
	at := f.sweep
	h.full = slices.Clone(h.full) // older heads keep theirs
	switch {
	case len(live) == 0:
		h.full = slices.Delete(h.full, at, at+1)
	case at > 0 && len(h.full[at-1])+len(live) <= chunkRows:
		h.full[at-1] = slices.Concat(h.full[at-1], live)
		h.full = slices.Delete(h.full, at, at+1)
	default:
		h.full[at] = slices.Clip(live)
		f.sweep++
	}
}

// build makes the list of a database that was loaded as a whole.
func (f *feed) build(v *View) {
	if f.of == nil {
		return
	}
	rows := slices.SortedFunc(f.of.All(v), Change.compare)
	h := &feedHead{index: v.TouchedAt(f.of.Name)}
	f.rows, f.dead, f.sweep = len(rows), 0, -1
	for chunk := range slices.Chunk(rows, chunkRows) {
		h.full = append(h.full, slices.Clip(chunk))
	}
	f.head.Store(h)
}

// Feed is the list of changes that belongs to a snapshot.
type Feed struct{ head *feedHead }

// ReadFeed is [Store.Read] together with the feed as of the same moment.
func (s *Store) ReadFeed(ws rpc.WatchSet) (*View, Feed) {
	for {
		g := s.current.Load()
		v := &View{txn: g.db.Txn(false), ws: ws}
		index := v.TouchedAt(g.feed.of.Name)
		// The head is published just before its transaction is committed.
		for h := g.feed.head.Load(); h != nil; h = h.before {
			if h.index == index {
				ws.Add(g.replaced)
				return v, Feed{h}
			}
		}
	}
}

// Index is the last index at which anything changed.
func (f Feed) Index() uint64 { return f.head.index }

// After returns the changes behind the given one in order, superseded ones among them. A
// Change without a key stands for all of its index.
func (f Feed) After(from Change) iter.Seq[Change] {
	behind := func(c Change) bool {
		return c.Index > from.Index || c.Index == from.Index && from.Key != "" && c.Key > from.Key
	}
	return func(yield func(Change) bool) {
		first, _ := slices.BinarySearchFunc(f.head.full, true, func(chunk []Change, _ bool) int {
			if behind(chunk[len(chunk)-1]) {
				return 1
			}
			return -1
		})
		for i := first; i <= len(f.head.full); i++ {
			chunk := f.head.tail
			if i < len(f.head.full) {
				chunk = f.head.full[i]
			}
			at, _ := slices.BinarySearchFunc(chunk, true, func(c Change, _ bool) int {
				if behind(c) {
					return 1
				}
				return -1
			})
			for _, c := range chunk[at:] {
				if !yield(c) {
					return
				}
			}
		}
	}
}
