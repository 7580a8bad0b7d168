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

	verifications verifications

	// pagesOf is the destination for those who only read it, beside the follower, and life
	// the time that the link runs.
	pagesOf Reader
	life    context.Context

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
