package replicate

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// arrive is at the end of the feed: it carries the deletes out or holds them, and moves
// the checkpoint as far as it may go.
func (f *follower) arrive(ctx context.Context, page *Page, changes []change, arrived time.Time) error {
	l := &f.ledger
	deletes := inFeedOrder(f.feed.waiting)
	held, decided := f.judge()
	switch {
	case f.feed.unnamed > 0 && len(deletes) == 0:
		if err := f.write(ctx, changes, f.feed.stand()); err != nil {
			return err
		}
		f.anew = true
		return fmt.Errorf("%w: to find which keys are still to be deleted", errAgain)
	case held != "":
		if err := f.write(ctx, changes, f.feed.stand()); err != nil {
			return err
		}
	case f.feed.unnamed > 0:
		if err := f.write(ctx, changes, f.feed.stand()); err != nil {
			return err
		}
		if err := l.pass(ctx); err != nil {
			return err
		}
		if err := f.startPass(ctx, allowance{deletes: f.feed.pending(), release: decided.reject, decision: decided.order}); err != nil {
			return err
		}
		return fmt.Errorf("%w: to find all %d keys that may be deleted", errAgain, l.plan.Pass.Budget)
	default:
		if decided.reject {
			deletes = giveUp(deletes)
		}
		changes = append(changes, deletes...)
		slices.SortStableFunc(changes, func(a, b change) int { return a.at.compare(b.at) })
		if err := f.write(ctx, changes, nil); err != nil {
			return err
		}
	}
	l.plan.Held, l.plan.Suspect = held, f.suspect
	l.plan.DecisionDone = max(l.plan.DecisionDone, decided.order)
	if held == "" {
		l.plan.Suspect = ""
		to, last := page.Position, l.plan.position()
		to.Index = max(f.feed.newest, 1)
		if last.sameHistory(to) {
			to.Index = max(to.Index, last.Index)
		}
		l.plan.moveTo(to, page.end(), f.scopeID())
	}
	if err := l.arrive(ctx); err != nil {
		return err
	}
	f.feed.reached = page.Index
	if f.paged && f.verifications.now == nil && !f.verifications.noSums {
		f.wishes.allowVerify(nil)
	}
	n := 0
	if held == "" {
		f.feed.waiting = nil
		f.suspect, f.base = "", l.plan.position()
	} else {
		n = f.feed.pending()
	}
	if f.seen.sameHistory(page.Position) {
		f.seen.Index = max(f.seen.Index, f.feed.newest)
	}
	applied := l.checkpoint.applied()
	if held == "" {
		applied = page.Index
		deletes = nil
	}
	f.report(held, deletes, n, f.feed.keys)
	f.status.compared(arrived, applied, n, held, f.heartbeat)
	return nil
}

// decision is what was decided on the deletes at hand, if anything was: order is its number.
type decision struct {
	order  uint64
	reject bool
}

// judge asks the guard about the deletes that wait, and the operator about those that it
// holds. A decision on anything else than what the checkpoint says is held is void.
func (f *follower) judge() (held string, decided decision) {
	held = f.guard.Judge(Pending{
		Deletes: f.feed.pending(), Keys: f.feed.keys, Present: f.feed.present,
		First: f.ledger.checkpoint.LastReplicated == 0, Suspect: f.suspect,
	})
	o := f.wishes.read()
	if o.Decision <= f.ledger.checkpoint.DecisionDone {
		return held, decision{}
	}
	if held != "" && f.ledger.checkpoint.Held != "" {
		return "", decision{order: o.Decision, reject: !o.Approved}
	}
	return held, decision{order: o.Decision}
}

// giveUp makes deletes keep their keys.
func giveUp(deletes []change) []change {
	var kept []change
	for _, c := range deletes {
		if !c.next.foreign {
			c.op.Kind = ReleaseKey
			kept = append(kept, c)
		}
	}
	return kept
}

// inFeedOrder sorts deletes by their places in the feed, those without one first.
func inFeedOrder(waiting map[string]change) []change {
	return slices.SortedFunc(maps.Values(waiting), func(a, b change) int {
		return cmp.Or(a.at.compare(b.at), cmp.Compare(a.rel, b.rel))
	})
}
