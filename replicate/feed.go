package replicate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// probeTime is how long a source without a usable feed is followed by listings before
	// it is asked for one again.
	probeTime = time.Minute

	// idleMove is how long the checkpoint stands while the source changes elsewhere.
	// It is well below the time after which a source forgets its deletes.
	idleMove = 5 * time.Minute
)

// errAgain means that the feed cannot be followed from where it was: everything has to
// be compared again.
var errAgain = errors.New("the feed cannot be followed any further")

// feed is the source's half of a link that is followed by a change feed. Its zero value
// is that of a link that is not.
type feed struct {
	// cursor is where the next page begins; its Index is 0 when no feed is followed.
	cursor Cursor

	// begun is true until the first page behind a cursor that was just taken.
	begun bool

	// seen is the newest position known of the feed, and newest the index of the last
	// row: unlike seen.Index it compares with that of a listing.
	seen   Position
	newest uint64

	// waiting are the relative keys whose deletes were read and not carried out, with
	// their places in the feed. Those that a comparison found have none. The checkpoint
	// stands before the first of them.
	waiting map[string]Cursor

	// keys is how many keys the destination had before the first of them, and present
	// how many the source showed since everything was compared.
	keys, present int
}

// following reports whether the link is followed by the feed.
func (f *feed) following() bool { return f.cursor.Index != 0 }

// leave gives the feed up, but remembers how far it was seen.
func (f *feed) leave() { *f = feed{seen: f.seen} }

// begin asks for the cursor to begin with, nil when there is none or it must not be used.
func (f *follower) begin(ctx context.Context) *Page {
	page, err := f.source.Changes(ctx, FeedQuery{Prefix: f.scope.link.Source})
	if err == nil {
		switch seen := f.feed.seen; {
		case !page.KnownLeader:
			err = errNoLeader
		case page.Index == 0:
			err = errNoIndex
		case page.Datacenter == "":
			err = ErrNoFeed
		case page.sameHistory(seen) && page.Index < seen.Index:
			err = errOldIndex
		default:
			return page
		}
	}
	if errors.Is(err, ErrNoFeed) {
		f.noFeed = time.Now()
	}
	f.log.Debug("following by listings", "reason", err)
	return nil
}

// resume goes on from the checkpoint's cursor, if it has one that says enough.
func (f *follower) resume() {
	c := f.ledger.checkpoint
	f.feed = feed{cursor: c.cursor(f.scope.digest()), seen: f.feed.seen}
	if !f.feed.following() {
		return
	}
	at := c.position()
	at.Index = c.FeedIndex
	if !f.feed.seen.sameHistory(at) || f.feed.seen.Index < at.Index {
		f.feed.seen = at
	}
	f.log.Debug("going on from the checkpoint", "index", c.FeedIndex, "after", c.FeedAfter)
}

// pages brings the destination to the end of the feed, and waits for something when it
// is there already.
func (f *follower) pages(ctx context.Context) error {
	if len(f.feed.waiting) == 0 {
		f.feed.keys = len(f.ledger.mirror.keys)
	}
	for first := true; ; first = false {
		page, err := f.page(ctx)
		switch {
		case errors.Is(err, errAgain):
			f.log.Info("comparing everything", "reason", err)
			f.feed.leave()
			f.after = 0
			f.status.update(func(s *Status) { s.State = Syncing })
			return nil
		case err != nil:
			return fmt.Errorf("read changes of %q in %s: %w", f.scope.link.Source, f.scope.link.SourceDC, err)
		}
		arrived := time.Now()
		if first && (f.warned != "" || len(page.Changes) == 0) {
			if again, err := f.movedMeanwhile(ctx); again || err != nil {
				return err
			}
		}
		f.status.news(page, arrived)
		if err := f.take(ctx, page); err != nil {
			return err
		}
		f.feed.cursor, f.feed.begun = page.end(), false
		if !page.More {
			return f.arrive(ctx, page, arrived)
		}
		if err := f.ledger.pass(ctx); err != nil {
			return err
		}
	}
}

// page returns the next page once it is proven. One that cannot follow the last comes
// with errAgain.
func (f *follower) page(ctx context.Context) (*Page, error) {
	q := FeedQuery{Prefix: f.scope.link.Source, From: f.feed.cursor, Wait: f.heartbeat}
	for {
		page, err := f.quietPage(ctx, q)
		switch {
		case errors.Is(err, ErrNoFeed), errors.Is(err, ErrTooOld) && f.feed.begun:
			f.noFeed = time.Now() // at least for a while it is no good
			return nil, fmt.Errorf("%w: %w", errAgain, err)
		case errors.Is(err, ErrTooOld):
			return nil, fmt.Errorf("%w: %w", errAgain, err)
		case err != nil:
			return nil, err
		}
		seen := f.feed.seen
		if page.More {
			seen.Index = q.From.Index // it ends where it is full, not at the source's index
		}
		suspicion, err := prove(&Listing{Position: page.Position, KnownLeader: page.KnownLeader}, seen)
		switch {
		case err == nil && suspicion == "" && page.Filtered:
			// What the token may read can change, and the feed would not tell.
			f.noFeed = time.Now()
			return nil, fmt.Errorf("%w: the source's ACLs filter it", errAgain)
		case err == nil && suspicion == "":
			f.feed.seen.Index = max(f.feed.seen.Index, page.Index)
			return page, nil
		case !q.Fresh:
			q.Fresh = true // let the leader confirm it
		case err != nil:
			return nil, err
		default:
			return nil, fmt.Errorf("%w: %s", errAgain, suspicion)
		}
	}
}

// quietPage asks the source, and where there is news lets it settle first.
func (f *follower) quietPage(ctx context.Context, q FeedQuery) (*Page, error) {
	page, err := f.source.Changes(ctx, q)
	if err != nil || f.quiet.Min <= 0 || q.Fresh || q.From.After != "" || len(page.Changes) == 0 {
		return page, err
	}
	f.status.news(page, time.Now())
	for until := time.Now().Add(f.quiet.Max); len(page.Changes) > 0; {
		wait := min(f.quiet.Min, time.Until(until))
		if wait <= 0 {
			break
		}
		if page, err = f.source.Changes(ctx, FeedQuery{Prefix: q.Prefix, From: page.end(), Wait: wait}); err != nil {
			return nil, err
		}
	}
	return f.source.Changes(ctx, q)
}

// take queues what the page sets, and notes what it deletes until all of the feed was
// read. While deletes wait nothing moves the checkpoint.
func (f *follower) take(ctx context.Context, page *Page) error {
	m := f.ledger.mirror
	for _, c := range page.Changes {
		f.feed.newest = max(f.feed.newest, c.ModifyIndex)
		at := Cursor{Index: c.ModifyIndex, After: c.Key}
		rel, ok := f.scope.fromSource(c.Key)
		switch {
		case !ok:
			if f.scope.unreadable(c.Key) {
				f.unreadable(c)
			}
		case c.Deleted:
			if _, there := m.keys[rel]; there {
				if f.feed.waiting == nil {
					f.feed.waiting = map[string]Cursor{}
				}
				f.feed.waiting[rel] = at
			}
		default:
			delete(f.feed.waiting, rel)
			f.feed.present++
			if err := f.set(ctx, rel, c.Entry, at); err != nil {
				return err
			}
		}
		if len(f.feed.waiting) > 0 {
			continue
		}
		if err := f.ledger.reach(ctx, at); err != nil {
			return err
		}
	}
	return nil
}

// set queues an entry that differs at the destination.
func (f *follower) set(ctx context.Context, rel string, e Entry, at Cursor) error {
	next := known{print: fingerprintOf(e.Flags, e.Value), create: e.CreateIndex}
	if have, there := f.ledger.mirror.keys[rel]; there && have.print == next.print {
		return nil
	}
	if len(f.feed.waiting) > 0 {
		at = Cursor{}
	}
	op := Op{Key: f.scope.destination(rel), Value: e.Value, Flags: e.Flags}
	return f.ledger.add(ctx, change{rel: rel, op: op, next: next, at: at})
}

// arrive is at the end of the feed: it carries the deletes out or holds them, and moves
// the checkpoint as far as it may go.
func (f *follower) arrive(ctx context.Context, page *Page, arrived time.Time) error {
	waiting := f.feed.waiting
	held := f.guard.Judge(Pending{
		Deletes: len(waiting), Keys: f.feed.keys, Present: f.feed.present,
		First: f.ledger.checkpoint.LastReplicated == 0, Suspect: f.suspect,
	})
	next := func() Checkpoint { return f.ledger.reached() }
	if held == "" {
		for _, rel := range inFeedOrder(waiting) {
			op := Op{Key: f.scope.destination(rel), Kind: DeleteKey}
			if err := f.ledger.add(ctx, change{rel: rel, op: op, at: waiting[rel]}); err != nil {
				return err
			}
		}
		waiting = nil
		next = func() Checkpoint {
			c := f.ledger.checkpoint
			to := page.Position
			to.Index = max(c.LastReplicated, f.feed.newest)
			c.moveTo(to, page.end(), f.scope.digest())
			return c
		}
	}
	if err := f.ledger.arrive(ctx, next(), held, f.suspect); err != nil {
		return err
	}
	f.feed.waiting = waiting
	at := f.ledger.checkpoint
	applied := at.applied()
	if held == "" {
		f.suspect, f.base, applied = "", at.position(), page.Index
	}
	if f.seen.sameHistory(page.Position) {
		f.seen.Index = max(f.seen.Index, f.feed.newest)
	}
	f.report(held, inFeedOrder(waiting), f.feed.keys)
	f.status.compared(arrived, applied, len(waiting), held, f.heartbeat)
	return nil
}

// inFeedOrder sorts relative keys by their places in the feed, those without one first.
func inFeedOrder(waiting map[string]Cursor) []string {
	return slices.SortedFunc(maps.Keys(waiting), func(a, b string) int {
		return cmp.Or(waiting[a].compare(waiting[b]), cmp.Compare(a, b))
	})
}

// unreadable keeps count of the keys that cannot be copied.
func (f *follower) unreadable(c Change) {
	if c.Deleted {
		delete(f.mangled, c.Key)
	} else {
		f.mangled[c.Key] = true
	}
	f.noteUnreadable(len(f.mangled))
}
