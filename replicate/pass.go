package replicate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hanse-project/hanse/kv/digest"
)

// A pass compares source and destination page by page in the order of the keys, writes what
// differs, and keeps nothing but its place: memory does not grow with the keys.
//
// The pages of the source are of different indexes. Before the first one the pass takes a
// cursor C of the feed, and no page is used that is older than C. So each key gets a value
// that the source had at C or later, and everything that changed behind C is in the feed,
// which is followed from C once the pass is through. A key that the feed then shows at an
// older change than its page did gets the newer one again further on: the feed ends with
// the last change of each key. The destination equals the source once the feed was followed
// to the newest index of a page, and not before: only then the checkpoint leaves the pass.
//
// A pass never undoes what was written before: its cursor is not below the newest index
// seen of the source, which the checkpoint keeps, so its pages are at least as new as
// all that the feed brought. Nor does one that is resumed: it goes on behind the last
// key that was written, still with C, and the feed was not followed in between.

const (
	// maxNames is how many keys to be deleted are remembered by name. When more are allowed
	// to go, another pass finds and deletes them.
	maxNames = 10_000

	// tellEvery is after how many keys a pass tells how far it has come.
	tellEvery = 100

	// passSave is how long a pass that has nothing to write goes on without noting how far
	// it has come.
	passSave = 30 * time.Second
)

// errFiltered means that a page does not show all that there is.
var errFiltered = errors.New("the source's ACLs filter its answers: give the token read access to all of the prefix")

// allowance is what a pass may do with the deletes that it finds, and the orders that are
// carried out by its beginning.
type allowance struct {
	deletes  int
	release  bool
	decision uint64
}

// startPass takes a cursor, and plans a pass from the first key on.
func (f *follower) startPass(ctx context.Context, may allowance) error {
	if time.Since(f.noFeed) < probeTime {
		return ErrNoFeed
	}
	page, err := f.begin(ctx, true)
	if err != nil {
		return err
	}
	f.names = nil
	f.feed = feed{seen: page.Position}
	l := &f.ledger
	l.drop()
	l.plan.Pass = Pass{
		Index: page.Index, DatacenterID: page.Datacenter, Incarnation: page.Incarnation, Scope: f.scopeID(),
		Seen: page.Index, Budget: may.deletes, Release: may.release,
	}
	l.plan.Suspect = f.suspect
	l.plan.ResyncDone = max(l.plan.ResyncDone, f.wishes.read().Resync)
	l.plan.DecisionDone = max(l.plan.DecisionDone, may.decision)
	if may.deletes > 0 || l.plan.ResyncDone != l.checkpoint.ResyncDone || l.checkpoint.Pass.active() {
		if err := l.flush(ctx); err != nil {
			return err
		}
	} // otherwise it is as if it had not begun, until it writes something
	f.anew = false
	return nil
}

// comparePages runs a pass to its end, from where it is or from the beginning. The feed is to
// be followed afterwards.
func (f *follower) comparePages(ctx context.Context) error {
	l := &f.ledger
	l.drop()
	l.plan.Pass = l.checkpoint.Pass
	if !f.resumable(l.plan.Pass) {
		if err := f.startPass(ctx, allowance{}); err != nil {
			return err
		}
	}
	f.endVerify()
	f.wishes.allowVerify(errNotInStep)
	p := l.plan.Pass
	f.names = slices.DeleteFunc(f.names, func(c change) bool { return c.rel > string(p.After) })
	f.status.progress(p.Done, p.Total)
	f.log.Debug("comparing by pages", "index", p.Index, "done", p.Done, "deletes", p.Deletes)
	if err := f.merge(ctx, &p); err != nil {
		return err
	}
	p.Ended = true
	l.plan.Pass, l.plan.Keys = p, p.Owned
	if err := l.pass(ctx); err != nil {
		return err
	}
	if lost := p.Deletes - len(f.names); lost > 0 && len(f.names) < f.maxNames {
		f.anew = true
		return fmt.Errorf("%w: to find %d keys that may have to be deleted, whose names were lost by a restart", errAgain, lost)
	}
	f.feed = feed{
		cursor: p.cursor(), hurry: true,
		seen: p.history(p.Seen), newest: f.feed.newest, keys: p.Keys, present: p.Present,
		unnamed: p.Deletes - len(f.names),
	}
	for _, c := range f.names {
		f.feed.wait(c)
	}
	f.names = nil
	f.status.progress(0, 0)
	return nil
}

// resumable reports whether a pass goes on where it is. One whose deletes were held, and are
// not known by name any more, begins anew.
func (f *follower) resumable(p Pass) bool {
	return p.active() && !p.Ended && p.Scope == f.scopeID() && !f.anew
}

// merge goes through both sides side by side.
func (f *follower) merge(ctx context.Context, p *Pass) error {
	s := f.scope
	span := digest.Stretch{After: string(p.After)}
	source := newStream(ctx, f.source, s.link.Source, span, p.Total == 0, func(page *EntryPage) error { return f.acceptPage(p, page) })
	defer source.close()
	destination := newStream(ctx, f.ledger.sink, s.link.Destination, span, false, nil)
	defer destination.close()
	saved := time.Now()
	return s.sideBySide(source, destination, func(rel string, theirs, ours *Entry) error {
		if err := f.meet(ctx, p, rel, theirs, ours); err != nil {
			return err
		}
		if theirs != nil {
			p.Done++
			if p.Done%tellEvery == 0 { // a page may take long where a rate is limited
				f.status.progress(p.Done, p.Total)
			}
		}
		p.After = octets(rel)
		if err := f.ledger.makeRoom(ctx, rel); err != nil {
			return err
		}
		f.ledger.plan.Pass = *p
		if time.Since(saved) > passSave && time.Since(f.ledger.written) > passSave {
			saved = time.Now()
			return f.ledger.flush(ctx)
		}
		return nil
	})
}

// walk reads a stretch of both sides, for one who does not follow the link.
func (f *follower) walk(ctx context.Context, span digest.Stretch, meet func(rel string, theirs, ours *Entry) error) error {
	source := newStream(ctx, f.source, f.scope.link.Source, span, false, nil)
	defer source.close()
	destination := newStream(ctx, f.pagesOf, f.scope.link.Destination, span, false, nil)
	defer destination.close()
	return f.scope.sideBySide(source, destination, meet)
}

// sideBySide calls meet for each key that one of the sides has, in order; the entry of a side
// that does not have it is nil.
func (s scope) sideBySide(source, destination *stream, meet func(rel string, theirs, ours *Entry) error) error {
	for {
		theirs, err := source.head()
		if err != nil {
			return fmt.Errorf("read %q in %s: %w", s.link.Source, s.link.SourceDC, err)
		}
		ours, err := destination.head()
		if err != nil {
			return fmt.Errorf("read %q at the destination: %w", s.link.Destination, err)
		}
		if theirs == nil && ours == nil {
			return nil
		}
		rel := ""
		if theirs != nil {
			rel = theirs.Key[len(s.link.Source):]
		}
		if ours != nil {
			here := ours.Key[len(s.link.Destination):]
			switch {
			case theirs == nil || here < rel:
				rel, theirs = here, nil
			case here > rel:
				ours = nil
			}
		}
		if theirs != nil {
			source.next()
		}
		if ours != nil {
			destination.next()
		}
		if err := meet(rel, theirs, ours); err != nil {
			return err
		}
	}
}

// acceptPage proves a page of the source, and counts what is on it.
func (f *follower) acceptPage(p *Pass, page *EntryPage) error {
	suspicion, err := prove(page.Position, page.KnownLeader, p.history(p.Index))
	switch {
	case err != nil:
		return err
	case suspicion != "":
		f.anew = true
		return fmt.Errorf("%w: %s", errAgain, suspicion)
	case page.Filtered:
		return errFiltered
	}
	p.Seen = max(p.Seen, page.Index)
	if page.Total > 0 {
		p.Total = page.Total
	}
	f.status.answered(page.Index)
	f.status.progress(p.Done, p.Total)
	return nil
}

// meet does what is to be done about one key; theirs or ours is nil where it is not there.
func (f *follower) meet(ctx context.Context, p *Pass, rel string, theirs, ours *Entry) error {
	if theirs != nil && f.scope.unreadable(theirs.Key) {
		f.mangled[theirs.Key] = true
		f.noteUnreadable(len(f.mangled))
	}
	if !f.scope.covers(rel) {
		return nil
	}
	var have known
	if ours != nil {
		have.foreign = ours.Foreign
		if !have.foreign || f.rules.prune {
			p.Keys++
		}
	}
	c := change{rel: rel, next: have, op: Op{Key: f.scope.destination(rel)}}
	var v verdict
	if theirs != nil {
		p.Present++
		f.feed.newest = max(f.feed.newest, theirs.ModifyIndex)
		same := ours != nil && ours.Flags == theirs.Flags && bytes.Equal(ours.Value, theirs.Value)
		v = f.rules.present(same, ours != nil, have)
		c.op.Value, c.op.Flags = theirs.Value, theirs.Flags
	} else {
		v = f.rules.absent(have, false)
	}
	mine := ours != nil && !have.foreign
	if mine {
		p.Owned++
	}
	if v == remove {
		c.owned = v.owned(mine)
		if p.Budget == 0 {
			f.rules.carry(v, &c)
			p.Deletes++
			if len(f.names) < f.maxNames {
				f.names = append(f.names, c)
			}
			return nil
		}
		p.Budget--
		if p.Release {
			v = have.giveUp()
		}
	}
	f.noteConflict(v, rel)
	if !f.rules.carry(v, &c) {
		return nil
	}
	p.Owned += v.owned(mine)
	c.owned = 0 // counted by the pass
	return f.ledger.add(ctx, c)
}
