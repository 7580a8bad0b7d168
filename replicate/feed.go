package replicate

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// probeTime is how long a source without a usable feed is followed by listings before
	// it is asked for one again.
	probeTime = time.Minute

	// idleMove is how long the checkpoint stands while the source changes elsewhere.
	// It is well below the time after which a source forgets its deletes.
	idleMove = 5 * time.Minute

	// noWait is how long a question waits that is to be answered at once.
	noWait = time.Millisecond
)

// errAgain means that everything has to be compared again, for example because the feed
// cannot be followed from where it was.
var errAgain = errors.New("there is nothing to go on from")

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

	// reached is the index up to which all that the source set is here, 0 until the end of
	// the feed was first reached.
	reached uint64

	// hurry says that the next question is not to wait for news.
	hurry bool

	// waiting are deletes that were read and not carried out, by relative key, each with its
	// place in the feed. Those that a comparison found have none. unnamed counts more of
	// them. The checkpoint stands before the first of them.
	waiting map[string]change
	unnamed int

	// keys is how many keys the destination had before the first of them, and present
	// how many the source showed since everything was compared.
	keys, present int

	// carry is the end of the last page if that was within an index: what changed at one
	// index is written together.
	carry []Change
}

// following reports whether the link is followed by the feed.
func (f *feed) following() bool { return f.cursor.Index != 0 }

// leave gives the feed up, but remembers how far it was seen.
func (f *feed) leave() { *f = feed{seen: f.seen} }

// pending is how many deletes are not carried out.
func (f *feed) pending() int { return len(f.waiting) + f.unnamed }

func (f *feed) wait(c change) {
	if f.waiting == nil {
		f.waiting = map[string]change{}
	}
	f.waiting[c.rel] = c
}

// begin asks for the cursor to begin with. It fails with ErrNoFeed when there is none or it
// must not be used. proven says that the answer is to be judged as it is in a pass: there
// no listing follows whose history counts.
func (f *follower) begin(ctx context.Context, proven bool) (*Page, error) {
	q := FeedQuery{Prefix: f.scope.link.Source}
	for {
		page, err := f.source.Changes(ctx, q)
		if err == nil && page.Datacenter == "" {
			err = ErrNoFeed
		}
		if errors.Is(err, ErrNoFeed) {
			f.noFeed = time.Now()
		}
		if err != nil {
			return nil, err
		}
		suspicion, err := prove(page.Position, page.KnownLeader, f.feed.seen)
		switch {
		case err == nil && suspicion == "" || !proven && err == nil:
			return page, nil
		case !q.Fresh && proven:
			q.Fresh = true // let the leader confirm it
		case err != nil:
			return nil, err
		default:
			f.suspect = suspicion
			return page, nil
		}
	}
}

// resume goes on from the checkpoint's cursor, if it has one that says enough. What was held
// is found again by comparing.
func (f *follower) resume() {
	c := f.ledger.checkpoint
	at := c.position()
	at.Index = c.FeedIndex
	cursor := c.cursor(f.scopeID())
	if p := c.Pass; p.active() {
		at, cursor = p.history(p.Seen), Cursor{}
		if p.Ended && p.Deletes == 0 && p.Scope == f.scopeID() {
			cursor = p.cursor()
		}
	}
	if f.paged && c.Held != "" {
		cursor = Cursor{}
	}
	if at.Index != 0 && (!f.feed.seen.sameHistory(at) || f.feed.seen.Index < at.Index) {
		f.feed.seen = at
	}
	f.feed = feed{cursor: cursor, hurry: true, seen: f.feed.seen}
	if f.feed.following() {
		f.log.Debug("going on from the checkpoint", "index", cursor.Index, "after", cursor.After)
	}
}

// pages brings the destination to the end of the feed, and waits for something when it
// is there already.
func (f *follower) pages(ctx context.Context) error {
	if f.feed.pending() == 0 {
		f.feed.keys = f.ledger.plan.Keys
	}
	for first := true; ; first = false {
		page, err := f.page(ctx)
		switch {
		case errors.Is(err, errWoken):
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
		rows, carry := f.join(page)
		changes, err := f.take(ctx, rows)
		if err != nil {
			return err
		}
		if f.hold != nil && len(rows) > 0 && len(changes) == 0 {
			// Somebody may have been faster, who has the lock.
			if again, err := f.movedMeanwhile(ctx); again || err != nil {
				return err
			}
		}
		f.feed.cursor, f.feed.carry, f.feed.begun, f.feed.hurry = page.end(), carry, false, false
		if !page.More {
			return f.arrive(ctx, page, changes, arrived)
		}
		stand := f.feed.stand()
		if err := f.write(ctx, changes, stand); err != nil {
			return err
		}
		if stand == nil && len(f.feed.carry) == 0 {
			if err := f.ledger.reach(ctx, page.end()); err != nil {
				return err
			}
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
	if f.feed.hurry {
		q.Wait = noWait
	}
	for {
		page, err := f.quietPage(ctx, q)
		switch {
		case errors.Is(err, ErrNoFeed), errors.Is(err, ErrTooOld) && f.feed.begun && !f.paged:
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
		suspicion, err := prove(page.Position, page.KnownLeader, seen)
		switch {
		case err == nil && suspicion == "" && page.Filtered && f.paged:
			return nil, errFiltered
		case err == nil && suspicion == "" && page.Filtered:
			// What the token may read can change, and the feed would not tell.
			f.noFeed = time.Now()
			return nil, fmt.Errorf("%w: %w", errAgain, errFiltered)
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
	page, err := f.waitForNews(ctx, q)
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

// waitForNews asks the feed, and stops waiting for an answer when there are new orders.
func (f *follower) waitForNews(ctx context.Context, q FeedQuery) (*Page, error) {
	ctx, done := f.wishes.interrupt(ctx)
	defer done()
	page, err := f.source.Changes(ctx, q)
	if err != nil && errors.Is(context.Cause(ctx), errWoken) {
		return nil, errWoken
	}
	return page, err
}

// join puts what was carried over before the page's changes, and keeps back their end if that
// is within an index. What is too large for one batch is not kept.
func (f *follower) join(page *Page) (changes, carry []Change) {
	again := map[string]bool{}
	for _, c := range page.Changes {
		again[c.Key] = true
	}
	for _, c := range f.feed.carry {
		if !again[c.Key] {
			changes = append(changes, c)
		}
	}
	changes = append(changes, page.Changes...)
	if page.After == "" {
		return changes, nil
	}
	from, bytes, limits := len(changes), 0, f.ledger.limits("")
	for from > 0 && changes[from-1].ModifyIndex == page.Index {
		from--
		bytes += f.ledger.sink.Cost(Op{Key: changes[from].Key, Value: changes[from].Value})
	}
	if len(changes)-from > limits.Ops || bytes > limits.Bytes {
		return changes, nil
	}
	return changes[:from], changes[from:]
}

// take makes changes of what the rows set, and notes what they delete until all of the feed
// was read.
func (f *follower) take(ctx context.Context, rows []Change) ([]change, error) {
	rels := make([]string, 0, len(rows))
	for _, row := range rows {
		if rel, ok := f.scope.fromSource(row.Key); ok {
			rels = append(rels, rel)
		} else if f.scope.unreadable(row.Key) {
			f.unreadable(row)
		}
	}
	m := f.ledger.mirror
	if err := m.look(ctx, f.ledger.sink, f.scope, rels); err != nil {
		return nil, err
	}
	var changes []change
	for _, row := range rows {
		f.feed.newest = max(f.feed.newest, row.ModifyIndex)
		rel, ok := f.scope.fromSource(row.Key)
		if !ok {
			continue
		}
		have, there := m.keys[rel]
		c := change{rel: rel, next: have, op: Op{Key: f.scope.destination(rel)}, at: Cursor{Index: row.ModifyIndex, After: row.Key}}
		v := keep
		if row.Deleted && there {
			v = f.rules.absent(have, true)
		} else if !row.Deleted {
			delete(f.feed.waiting, rel)
			f.feed.present++
			c.next = known{print: fingerprintOf(row.Flags, row.Value), create: row.CreateIndex}
			c.op.Value, c.op.Flags = row.Value, row.Flags
			v = f.rules.present(there && have.print == c.next.print, there, have)
		}
		// What somebody else wrote over is still counted as the link's.
		c.owned = v.owned(there && (!have.foreign || row.CreateIndex != row.ModifyIndex))
		f.noteConflict(v, rel)
		switch {
		case !f.rules.carry(v, &c):
		case c.op.Kind != DeleteKey:
			changes = append(changes, c)
		case f.paged && len(f.feed.waiting) >= f.maxNames:
			f.feed.unnamed++
		default:
			f.feed.wait(c)
		}
	}
	return changes, nil
}

// stand is the place of the first delete that waits, before which the checkpoint has to
// stand, nil when none does.
func (f *feed) stand() *Cursor {
	if f.unnamed > 0 {
		return &Cursor{}
	}
	var first *Cursor
	for _, c := range f.waiting {
		if first == nil || c.at.compare(*first) < 0 {
			first = &c.at
		}
	}
	return first
}

// write queues changes in the order of the feed, those of one index together. Those behind
// the place where the checkpoint stands do not move it.
func (f *follower) write(ctx context.Context, changes []change, stand *Cursor) error {
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && changes[n].at.Index == changes[0].at.Index {
			n++
		}
		group := changes[:n]
		changes = changes[n:]
		for i := range group {
			if stand == nil || group[i].at.compare(*stand) < 0 {
				continue
			}
			group[i].at = Cursor{}
			if f.ledger.plan.FeedIndex != f.ledger.checkpoint.FeedIndex {
				// Where the checkpoint moves to, there is nothing yet that came later.
				if err := f.ledger.flush(ctx); err != nil {
					return err
				}
			}
		}
		if err := f.ledger.add(ctx, group...); err != nil {
			return err
		}
	}
	return nil
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
