package replicate

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/hanse-project/hanse/kv/digest"
)

// ErrMoved means that the checkpoint is no longer where this daemon left it, so
// that nothing of the batch was applied.
var ErrMoved = errors.New("somebody else moved the checkpoint")

// ErrNoFeed means that the source has no change feed, or none that was recognised. It
// is followed by listings then.
var ErrNoFeed = errors.New("the source has no change feed")

// ErrNoPages means that one side cannot be read in pages, nor summed up: it is listed as a
// whole then.
var ErrNoPages = errors.New("keys cannot be read in pages here")

// ErrTooOld means that the feed does not reach back to the cursor any more. Only a
// comparison of everything helps.
var ErrTooOld = errors.New("the cursor is too old for the source's change feed")

// Source is what replication asks of the datacenter it copies from.
type Source interface {
	// List answers with everything under the prefix. It waits for news when the
	// query has an After, and answers what there is when the wait is over.
	// The caller closes the listing.
	List(ctx context.Context, q Query) (*Listing, error)

	// Changes answers with a page of what changed behind a cursor, and waits for
	// something if there is nothing. Without a cursor it answers at once with an empty
	// page, whose end is the cursor to begin with: a fresh listing that is asked for
	// later contains everything up to there. It fails with [ErrNoFeed] or [ErrTooOld].
	Changes(ctx context.Context, q FeedQuery) (*Page, error)

	Reader
}

// Reader reads one side of a link in parts.
type Reader interface {
	// Entries answers with some of what is there, in the order of the keys, as of now. It
	// fails with [ErrNoPages] where there is no such thing.
	Entries(ctx context.Context, q EntriesQuery) (*EntryPage, error)

	// Digests sums ranges of keys up. It fails with [ErrNoPages] where there is no such
	// thing. A sink leaves out what the link did not write, unless the link prunes.
	Digests(ctx context.Context, q digest.Query) (*digest.Reply, error)
}

// Sink is what replication asks of the datacenter it copies to.
type Sink interface {
	// List answers with everything under prefix, as of now.
	List(ctx context.Context, prefix string) (*Listing, error)

	// Load returns the value at key and its modify index. Both are zero when
	// there is no such key.
	Load(ctx context.Context, key string) (value []byte, index uint64, err error)

	// Apply writes the record if it is still at its index, and then the
	// operations, all or nothing, and returns the record's new index. ErrMoved
	// means that the record was not at its index; after any other error the
	// outcome is unknown. An operation larger than the limits comes in a batch
	// of its own and may land after the record did.
	Apply(ctx context.Context, b Batch) (uint64, error)

	Reader

	// Limits returns how much a batch may hold.
	Limits() Limits

	// Cost is what an operation takes of Limits.Bytes.
	Cost(op Op) int
}

// Query is one question to a source.
type Query struct {
	Prefix string

	// After is the index of the last answer; 0 asks for an answer at once.
	After uint64

	// Wait bounds the wait for news, 0 leaves it to the source.
	Wait time.Duration

	// Fresh asks for an answer confirmed by the source's leader. It is asked
	// when another answer was suspicious.
	Fresh bool
}

// Cursor is a place in a source's change feed: behind the row of the key After at
// Index, or behind all of Index when After is empty. Index is not comparable with that
// of a listing: it moves with every change in the datacenter.
type Cursor struct {
	Index uint64
	After string
}

func (c Cursor) compare(d Cursor) int {
	return cmp.Or(cmp.Compare(c.Index, d.Index), cmp.Compare(c.After, d.After))
}

// FeedQuery is one question to a source's change feed.
type FeedQuery struct {
	Prefix string

	// From is the cursor; its zero value asks for the one to begin with.
	From Cursor

	// Wait bounds the wait for news, 0 stands for [Heartbeat].
	Wait time.Duration

	// Fresh asks for an answer of the source's leader.
	Fresh bool
}

// Heartbeat is how long a question to a feed waits for news. Its empty answer proves
// that there was none, so this is how old what is known of a quiet source may be.
const Heartbeat = 10 * time.Second

// Page is an answer of a change feed. It is whole: a page that breaks off is an error.
type Page struct {
	// Position has the index of the page's end, After the rest of the cursor of the
	// next page.
	Position
	After string

	// More says that there is a next page already. Without it, and without an After,
	// whoever applied all pages has what the source had at the page's index.
	More bool

	KnownLeader, Filtered bool // as in Listing

	// Changes are in the order of their ModifyIndex, then of their keys.
	Changes []Change
}

func (p *Page) end() Cursor { return Cursor{Index: p.Index, After: p.After} }

// Change is the last change of a key; Value and Flags are empty when it was deleted.
type Change struct {
	Entry
	Deleted bool

	// Time is when the source's leader logged the change, by its own clock.
	Time time.Time
}

// EntriesQuery asks for a page of keys.
type EntriesQuery struct {
	// Prefix is what the keys begin with. The page has those behind After, and before To if
	// that is not "". Both are whole keys.
	Prefix    string
	After, To string

	// Keys, if it is not nil, asks for these keys instead, those of them that exist.
	Keys []string

	// Count asks how many keys there are below the prefix, too.
	Count bool
}

// EntryPage is the answer to an [EntriesQuery]. It is whole: a page that breaks off is an
// error.
type EntryPage struct {
	Position

	KnownLeader, Filtered bool // as in Listing

	Entries []Entry

	// More says that there are keys behind the last one here.
	More bool

	// Total is how many keys there are below the prefix, if that was asked.
	Total int
}

// Listing is a source's or a destination's answer. It holds a connection until it
// is closed.
type Listing struct {
	Position

	// KnownLeader says that the answering server knew its leader.
	KnownLeader bool

	// Filtered says that the token was not allowed to see all that there is.
	Filtered bool

	// Entries can be ranged over once. An error ends it: only a loop without one
	// has seen the whole answer.
	Entries iter.Seq2[Entry, error]

	// Close releases the connection, whether or not the entries were read.
	Close func()
}

// Position is a point in the history of one datacenter.
type Position struct {
	// Index is the source's index of the prefix.
	Index uint64

	// Datacenter and Incarnation identify the history the index belongs to. Both
	// are empty when the source does not tell.
	Datacenter, Incarnation string
}

func (p Position) sameHistory(q Position) bool {
	return p.Datacenter == q.Datacenter && p.Incarnation == q.Incarnation
}

// Entry is a key as it is stored. Its value belongs to whoever received it.
type Entry struct {
	Key         string
	Value       []byte
	Flags       uint64
	CreateIndex uint64
	ModifyIndex uint64

	// Foreign says, at a destination, that somebody else than the link wrote the entry last.
	Foreign bool
}

// OpKind is what an operation does.
type OpKind uint8

// The kinds. The last two change nothing that a client sees.
const (
	SetKey OpKind = iota
	DeleteKey
	// AdoptKey takes over a key that has the source's value already: the link is then the one
	// that wrote it.
	AdoptKey
	// ReleaseKey gives a key up: it stays, and is the destination's own.
	ReleaseKey
)

// Op is one change at the destination. A sink that does not keep who wrote a key is given
// none that adopts or releases.
type Op struct {
	Kind  OpKind
	Key   string
	Value []byte
	Flags uint64

	// Spare leaves a key alone that somebody else wrote by the time the operation lands, unless
	// it has this value and flags. What is adopted has to have them in any case.
	Spare bool
}

// Batch is a set of operations that land together, after their record.
type Batch struct {
	Record Record
	Ops    []Op
}

// Record is a link's checkpoint as it stands, or shall stand, at the destination.
type Record struct {
	Key   string
	Value []byte

	// Index is the modify index the key must have for the batch to land; 0 means
	// that it must not exist.
	Index uint64
}

// Limits bound a batch. The record is part of it.
type Limits struct {
	Ops   int
	Bytes int
}
