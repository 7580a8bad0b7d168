package replicate

import (
	"context"
	"fmt"
	"time"
)

// A source without pages is read whole, and again whenever it has changed.

// listing compares with a listing of the source, the next one if there was one before.
func (f *follower) listing(ctx context.Context) error {
	var begin *Page
	if (f.after == 0 || f.mayHave) && time.Since(f.noFeed) >= probeTime {
		var err error
		if begin, err = f.begin(ctx, false); err != nil {
			f.log.Debug("following by listings", "reason", err)
		} else {
			f.after = 0
		}
	}
	listing, suspicion, err := f.ask(ctx, begin != nil)
	if err != nil {
		f.after = 0
		return fmt.Errorf("read %q in %s: %w", f.scope.link.Source, f.scope.link.SourceDC, err)
	}
	defer listing.Close()
	if suspicion != "" {
		f.suspect = suspicion
	}
	if f.warned != "" || f.after != 0 && listing.Index == f.after {
		// An operator may have allowed held deletes in a run of its own, or the
		// destination may have been restored while nothing happened at the source.
		if again, err := f.movedMeanwhile(ctx); again || err != nil {
			return err
		}
	}
	f.mayHave = listing.Datacenter != "" && !listing.Filtered
	if begin != nil && (!f.mayHave || !begin.sameHistory(listing.Position)) {
		begin = nil
	}
	if err := f.compare(ctx, listing, begin); err != nil {
		f.ledger.drop()
		f.after = 0
		return err
	}
	f.after = listing.Index
	return nil
}

// ask returns the source's next answer once it is proven. An answer that seems to
// come from another history is asked for again, from the leader, before it is believed.
func (f *follower) ask(ctx context.Context, fresh bool) (*Listing, string, error) {
	q := Query{Prefix: f.scope.link.Source, After: f.after, Fresh: fresh}
	listing, err := f.list(ctx, q)
	if err != nil {
		return nil, "", err
	}
	suspicion, err := prove(listing.Position, listing.KnownLeader, f.seen)
	if suspicion == "" && err == nil {
		return listing, "", nil
	}
	listing.Close()
	if listing, err = f.source.List(ctx, Query{Prefix: q.Prefix, Fresh: true}); err != nil {
		return nil, "", err
	}
	if suspicion, err = prove(listing.Position, listing.KnownLeader, f.seen); err != nil {
		listing.Close()
		return nil, "", err
	}
	return listing, suspicion, nil
}

// list asks the source, and where there is news lets it settle first.
func (f *follower) list(ctx context.Context, q Query) (*Listing, error) {
	listing, err := f.source.List(ctx, q)
	if err != nil || f.quiet.Min <= 0 || q.After == 0 || listing.Index <= q.After {
		return listing, err
	}
	f.status.answered(listing.Index)
	for until := time.Now().Add(f.quiet.Max); ; {
		listing.Close()
		at := listing.Index
		wait := min(f.quiet.Min, time.Until(until))
		if wait <= 0 {
			return f.source.List(ctx, Query{Prefix: q.Prefix})
		}
		listing, err = f.source.List(ctx, Query{Prefix: q.Prefix, After: at, Wait: wait})
		if err != nil || listing.Index <= at {
			return listing, err
		}
	}
}

// compare writes what differs between the listing and the destination. begin, if there
// is one, is the end of the feed at a time before the listing: the link is followed from
// there afterwards.
func (f *follower) compare(ctx context.Context, listing *Listing, begin *Page) error {
	arrived := time.Now()
	f.status.answered(listing.Index)
	m := f.ledger.mirror
	m.pass++
	births := &rebirths{seen: f.seen.Index}
	pending := Pending{Keys: len(m.keys), First: f.ledger.checkpoint.LastReplicated == 0, Filtered: listing.Filtered}
	f.mangled = map[string]bool{}
	for e, err := range listing.Entries {
		if err != nil {
			return fmt.Errorf("read %q in %s: %w", f.scope.link.Source, f.scope.link.SourceDC, err)
		}
		f.status.update(func(s *Status) { s.Compared++ })
		rel, ok := f.scope.fromSource(e.Key)
		if !ok {
			if f.scope.unreadable(e.Key) {
				f.mangled[e.Key] = true
			}
			continue
		}
		pending.Present++
		next, differs := m.meet(rel, e, births)
		if !differs {
			continue
		}
		c := change{rel: rel, op: Op{Key: f.scope.destination(rel), Value: e.Value, Flags: e.Flags}, next: next}
		if _, there := m.keys[rel]; !there {
			c.owned = 1
		}
		if err := f.ledger.add(ctx, c); err != nil {
			return err
		}
	}
	f.noteUnreadable(len(f.mangled))
	if listing.Incarnation == "" && f.suspect == "" {
		f.suspect = births.suspicion()
	}
	f.seen = listing.Position
	return f.settle(ctx, listing.Position, begin, pending, arrived)
}

// settle carries out the deletes or holds them, and moves the checkpoint as far as
// it may go.
func (f *follower) settle(ctx context.Context, to Position, begin *Page, pending Pending, arrived time.Time) error {
	var cursor Cursor
	if begin != nil {
		// What changed up to the listing's index is in it, wherever the feed was then.
		cursor.Index = max(begin.Index, to.Index)
	}
	var deletes []change
	for _, rel := range f.ledger.mirror.unmet() { // what is only queued is not in the mirror yet
		deletes = append(deletes, change{rel: rel, op: Op{Key: f.scope.destination(rel), Kind: DeleteKey}, owned: -1})
	}
	pending.Deletes, pending.Suspect = len(deletes), f.suspect
	held := f.guard.Judge(pending)
	f.ledger.plan.Held, f.ledger.plan.Suspect = held, f.suspect
	if held == "" {
		for _, c := range deletes {
			if err := f.ledger.add(ctx, c); err != nil {
				return err
			}
		}
		deletes = nil
		f.ledger.plan.Suspect = ""
		f.ledger.plan.moveTo(to, cursor, f.scopeID())
	}
	if err := f.ledger.finish(ctx); err != nil {
		return err
	}
	if held == "" {
		f.suspect, f.base = "", to
	}
	f.report(held, deletes, len(deletes), pending.Keys)
	f.status.compared(arrived, f.ledger.checkpoint.applied(), len(deletes), held, 0)
	if begin != nil {
		f.feed = feed{cursor: cursor, begun: true, seen: begin.Position, newest: to.Index, keys: pending.Keys, present: pending.Present}
		for _, c := range deletes {
			f.feed.wait(c)
		}
	}
	return nil
}
