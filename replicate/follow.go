package replicate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
)

// follower keeps one link in step. Its fields belong to the goroutine that runs it.
type follower struct {
	scope  scope
	source Source
	ledger ledger
	guard  Guard
	rules  rules
	quiet  Quiet
	log    hclog.Logger
	status *tracker
	wishes wishes

	// toAllow says how an operator lets held deletes pass.
	toAllow string

	// heartbeat is how long a question to the feed waits for news.
	heartbeat time.Duration
	hold      *Hold // nil while the link is not known to be this daemon's

	// after is the index to wait beyond, 0 to be answered at once.
	after uint64

	// seen is the newest position known of the source. suspect says why an
	// earlier history was given up, until no deletes wait because of it.
	seen    Position
	suspect string

	// base is the checkpoint's position when suspect was last decided on.
	base Position

	warned string // the last hold that was logged

	// feed is followed once everything was compared, where the source has one. noFeed is
	// when it last turned out to have none of use, and mayHave whether its last listing
	// lets hope for one.
	feed    feed
	noFeed  time.Time
	mayHave bool

	// paged says that source and destination are read in pages. unpaged is when that last
	// turned out not to work, and pagesOnly that there is no other way.
	paged, pagesOnly bool
	unpaged          time.Time

	// names are deletes that a pass found, in order, and maxNames how many there are at most. anew says that the next one is not to go
	// on where the last was.
	names    []change
	maxNames int
	anew     bool

	// afresh says that the checkpoint's cursor is not to be used: once because
	// another daemon moved it, always where a run is to put everything right.
	afresh, always bool

	// verifying is the verification that goes on, nil if none does. verifyEvery is how often one
	// begins, 0 for never, and verifyNext when the next does. repair says whether it puts
	// right what differs. pagesOf is the destination for those who only read it, and life
	// the time that the link runs.
	verifying   *verification
	verifyEvery time.Duration
	verifyNext  time.Time
	repair      bool
	pagesOf     Reader
	life        context.Context
	noSums      bool // there are no sums on one side

	mangled map[string]bool // the names of keys that cannot be copied
}

// step brings the destination to the source's next answer.
func (f *follower) step(ctx context.Context) error {
	for tries := 0; ; tries++ {
		err := f.attempt(ctx)
		if errors.Is(err, ErrMoved) {
			f.afresh = true
		}
		if !errors.Is(err, errAgain) || tries == 3 {
			return err
		}
		f.log.Info("comparing everything", "reason", err)
		f.feed.leave()
		f.after = 0
		f.status.update(func(s *Status) { s.State = Syncing })
	}
}

func (f *follower) attempt(ctx context.Context) error {
	if f.ledger.mirror == nil {
		if err := f.open(ctx); err != nil {
			return err
		}
	}
	f.takeOrders()
	if !f.paged {
		f.wishes.allowVerify(errNoVerify)
		if f.feed.following() {
			return f.pages(ctx)
		}
		return f.listing(ctx)
	}
	err := f.advance(ctx)
	if !errors.Is(err, ErrNoFeed) && !errors.Is(err, ErrNoPages) && !errors.Is(err, errFiltered) {
		return err
	}
	if f.pagesOnly {
		return fmt.Errorf("read %q in %s: %w", f.scope.link.Source, f.scope.link.SourceDC, err)
	}
	f.unpaged = time.Now()
	f.ledger.mirror = nil
	return fmt.Errorf("%w: by listings, %w", errAgain, err)
}

// advance brings a link that is read in pages to the end of the feed.
func (f *follower) advance(ctx context.Context) error {
	if !f.feed.following() {
		f.status.update(func(s *Status) { s.State = Syncing })
		if err := f.comparePages(ctx); err != nil {
			return err
		}
	} else if f.feed.reached != 0 {
		if err := f.verify(ctx); err != nil {
			return err
		}
	}
	return f.pages(ctx)
}

// takeOrders prepares what was ordered and not carried out.
func (f *follower) takeOrders() {
	o, done := f.wishes.read(), f.ledger.checkpoint
	if !f.paged {
		return
	}
	if o.Resync > done.ResyncDone {
		f.anew = true
		f.feed.leave()
	}
	if o.Decision > done.DecisionDone {
		f.feed.hurry = true
	}
}

// open reads what the destination remembers of the link.
func (f *follower) open(ctx context.Context) error {
	f.status.update(func(s *Status) { s.State = Syncing })
	f.after, f.names = 0, nil
	f.feed.leave()
	if err := f.choose(ctx); err != nil {
		return err
	}
	if err := f.ledger.open(ctx, f.scope, f.paged); err != nil {
		return err
	}
	f.remember(f.ledger.checkpoint)
	if f.always {
		f.anew = true
	} else if !f.afresh {
		f.resume()
	}
	f.afresh = false
	return nil
}

// choose decides whether the link is read in pages.
func (f *follower) choose(ctx context.Context) error {
	f.paged = f.pagesOnly
	if f.paged || time.Since(f.unpaged) < probeTime {
		return nil
	}
	// It is asked for at most one key.
	to := f.scope.link.Destination
	_, err := f.ledger.sink.Entries(ctx, EntriesQuery{Prefix: to, To: to + "\x00"})
	if err != nil && !errors.Is(err, ErrNoPages) {
		return fmt.Errorf("read below %q at the destination: %w", to, err)
	}
	f.paged = err == nil
	return nil
}

// scopeID stands for all that decides which keys the link copies, and how.
func (f *follower) scopeID() string {
	if !f.paged {
		return f.scope.digest()
	}
	return fmt.Sprintf("%s/%s/%v/%v/%v", f.scope.digest(), f.rules.conflict, f.rules.prune, f.rules.delete, f.scope.binary)
}

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

// movedMeanwhile looks whether the checkpoint is where it was left. If it is not,
// everything is to be compared again, by whoever has the link's lock then.
func (f *follower) movedMeanwhile(ctx context.Context) (bool, error) {
	moved, err := f.ledger.moved(ctx)
	if err != nil || !moved {
		return false, err
	}
	f.ledger.mirror, f.afresh = nil, true
	if f.hold != nil {
		return true, ErrLost
	}
	return true, nil
}

// remember takes over what the checkpoint says of the source, unless more is known.
// A checkpoint that another daemon moved settles what was suspected before.
func (f *follower) remember(c Checkpoint) {
	at := c.position()
	if f.seen == (Position{}) || f.seen.sameHistory(at) && f.seen.Index < at.Index {
		f.seen = at
	}
	if f.suspect == "" || f.base != at {
		f.suspect = c.Suspect
	}
	f.base = at
	f.status.update(func(s *Status) { s.AppliedIndex, s.Keys = c.applied(), f.ledger.plan.Keys })
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

// report logs a hold once, and again when it changes or ends. Of the n deletes those of
// which the names are known are given.
func (f *follower) report(held string, deletes []change, n, keys int) {
	now := ""
	if held != "" {
		now = fmt.Sprintf("%d %s", n, held)
	}
	f.status.held(deletes)
	if now == f.warned {
		return
	}
	f.warned = now
	if held == "" {
		f.log.Info("deletes are no longer held")
		return
	}
	f.log.Warn("deletes held: nothing is deleted until they are allowed, everything else is copied",
		"reason", held, "would_delete", n, "of_keys", keys, "for_example", deletes[0].op.Key, "to_allow", f.toAllow)
}

// noteConflict counts a key that somebody else wrote.
func (f *follower) noteConflict(v verdict, rel string) {
	if v.conflicts() {
		f.status.conflict(f.scope.destination(rel))
	}
}

func (f *follower) noteUnreadable(n int) {
	changed := false
	f.status.update(func(s *Status) {
		changed = s.Unreadable != n
		s.Unreadable = n
	})
	if changed && n > 0 {
		f.log.Warn("keys whose names are not UTF-8 are not copied: the HTTP API cannot carry them", "keys", n)
	}
}
