package replicate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hanse-project/hanse/kv/digest"
)

// A verification compares sums in the background, while the feed is followed. What it finds
// may only be on its way, so those who follow the feed take a second look at each key: it
// differs only if the source has not changed it behind what is here.

const (
	// lookAt is how many keys are looked at together.
	lookAt = 500

	// maxLooks is how often keys that change all the time are looked at again. The feed takes
	// care of them.
	maxLooks = 20
)

// These say why no verification can begin.
var (
	errNoVerify  = errors.New("the link is not read in pages, so it cannot be verified in the background")
	errNotInStep = errors.New("the link is not in step yet: it compares everything anyway, or cannot reach the source")
	errVerifying = errors.New("the link is being verified already")
)

// verifications are those of one link.
type verifications struct {
	now    *verification // nil if none goes on
	every  time.Duration // how often one begins, 0 for never
	next   time.Time
	repair bool // whether they put right what differs
	noSums bool // one side has no sums to compare
}

// due tells whether the next one is to begin.
func (v *verifications) due() bool { return v.every > 0 && !time.Now().Before(v.next) }

// await sets when the next one begins: about an interval from now, so that links which began
// together do not stay together.
func (v *verifications) await() {
	v.next = time.Now().Add(v.every*3/4 + rand.N(v.every/2+1))
}

// verification is one that goes on.
type verification struct {
	repair bool
	cancel context.CancelFunc
	done   sync.WaitGroup

	// found are relative keys to be looked at, a number at a time. It is closed at the end,
	// when err says whether something failed.
	found chan []string
	err   error

	// suspects are those that are looked at, with the index of the source at which they were
	// not there, if they were not. looks counts the looks.
	suspects map[string]uint64
	looks    int

	divergent, repaired int
	examples            []string
	deletes             []string // relative keys whose deletes were left to the guard
}

// startVerify begins a verification if one is due or wanted.
func (f *follower) startVerify() {
	repair, wanted := f.wishes.wantsVerify()
	if f.verifications.now != nil || f.verifications.noSums || !wanted && !f.verifications.due() {
		return
	}
	ctx, cancel := context.WithCancel(f.life)
	v := &verification{repair: f.verifications.repair || repair, cancel: cancel, found: make(chan []string, 1)}
	f.verifications.now = v
	f.wishes.allowVerify(errVerifying)
	f.status.update(func(s *Status) { s.Verifying = true })
	v.done.Go(func() {
		v.err = f.findDifferences(ctx, func(rels []string) {
			for chunk := range slices.Chunk(rels, lookAt) {
				select {
				case v.found <- chunk:
				case <-ctx.Done():
				}
				f.wishes.wakeUp()
			}
		})
		close(v.found)
		f.wishes.wakeUp()
	})
}

// findDifferences tells keys that differ, and perhaps some that do not. It runs beside the
// follower, and uses nothing that changes.
func (f *follower) findDifferences(ctx context.Context, tell func(rels []string)) error {
	exclude, some := f.scope.excludedBelow()
	if !some {
		return nil
	}
	link := f.scope.link
	result, err := digest.Compare(ctx,
		digest.Side{Prefix: link.Source, Ask: f.source.Digests},
		digest.Side{Prefix: link.Destination, Ask: f.pagesOf.Digests}, exclude...)
	if err != nil {
		return err
	}
	tell(result.Keys)
	for _, stretch := range result.Stretches {
		var rels []string
		err := f.walk(ctx, stretch, func(rel string, theirs, ours *Entry) error {
			if theirs == nil || ours == nil || theirs.Flags != ours.Flags || !bytes.Equal(theirs.Value, ours.Value) {
				rels = append(rels, rel)
			}
			if len(rels) == lookAt {
				tell(rels)
				rels = nil
			}
			return nil
		})
		if err != nil {
			return err
		}
		tell(rels)
	}
	return nil
}

// endVerify gives a verification up that goes on.
func (f *follower) endVerify() {
	if v := f.verifications.now; v != nil {
		v.cancel()
		v.done.Wait()
		f.verifications.now = nil
		f.status.update(func(s *Status) { s.Verifying = false })
	}
}

// verify goes on with a verification. The link must be at the end of the feed.
func (f *follower) verify(ctx context.Context) error {
	f.startVerify()
	v := f.verifications.now
	if v == nil {
		return nil
	}
	if len(v.suspects) == 0 {
		select {
		case rels, more := <-v.found:
			if !more {
				f.finishVerify()
				return nil
			}
			v.suspects, v.looks = map[string]uint64{}, 0
			for _, rel := range rels {
				v.suspects[rel] = 0
			}
		default:
			return nil
		}
	}
	f.feed.hurry = true // for what can be told only further on, and for the next keys
	err := f.lookAgain(ctx)
	if v.looks++; v.looks == maxLooks {
		v.suspects = nil
	}
	return err
}

func (f *follower) finishVerify() {
	v := f.verifications.now
	f.endVerify()
	f.verifications.await()
	f.wishes.allowVerify(nil)
	if errors.Is(v.err, ErrNoPages) {
		f.verifications.noSums = true
		f.wishes.allowVerify(errNoVerify)
	}
	if v.err != nil {
		f.log.Warn("verification failed", "error", v.err)
		f.status.update(func(s *Status) {
			s.LastError, s.LastErrorAt = "verify: "+v.err.Error(), time.Now()
		})
		return
	}
	for _, rel := range v.deletes {
		if _, waits := f.feed.waiting[rel]; !waits {
			v.repaired++
		}
	}
	f.status.update(func(s *Status) {
		s.DivergentKeys, s.DivergentExamples, s.Repaired, s.LastVerify = v.divergent, v.examples, v.repaired, time.Now()
	})
	if v.divergent > 0 {
		f.log.Warn("source and destination differed", "keys", v.divergent, "repaired", v.repaired, "for_example", v.examples[0])
	} else {
		f.log.Debug("verified: nothing differs")
	}
}

// lookAgain takes a second look at the suspects. The number of the link's keys does not change
// by what is put right: it tells of what the link wrote and deleted.
func (f *follower) lookAgain(ctx context.Context) error {
	v, s, l := f.verifications.now, f.scope, &f.ledger
	var rels, names []string
	for rel := range v.suspects {
		if _, waits := f.feed.waiting[rel]; waits || !s.covers(rel) {
			delete(v.suspects, rel)
			continue
		}
		rels, names = append(rels, rel), append(names, s.link.Source+rel)
	}
	if len(rels) == 0 {
		return nil
	}
	at := f.feed.reached
	seen, proven := f.feed.seen, uint64(0)
	seen.Index = at
	theirs := map[string]Entry{}
	err := readKeys(ctx, f.source, s.link.Source, names, func(page *EntryPage) error {
		switch suspicion, err := prove(page.Position, page.KnownLeader, seen); {
		case err != nil:
			return err
		case suspicion != "":
			return fmt.Errorf("%w: %s", errAgain, suspicion)
		case page.Filtered:
			return errFiltered
		}
		proven = max(proven, page.Index)
		for _, e := range page.Entries {
			theirs[e.Key[len(s.link.Source):]] = e
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read keys below %q in %s: %w", s.link.Source, s.link.SourceDC, err)
	}
	if err := l.mirror.look(ctx, l.sink, s, rels); err != nil {
		return err
	}
	slices.Sort(rels)
	for _, rel := range rels {
		entry, present := theirs[rel]
		have, there := l.mirror.keys[rel]
		c := change{rel: rel, next: have, op: Op{Key: s.destination(rel)}}
		verdict := keep
		switch {
		case present && entry.ModifyIndex > at:
			continue // the feed brings it
		case present:
			print := fingerprintOf(entry.Flags, entry.Value)
			verdict = f.rules.present(there && have.print == print, there, have)
			c.op.Value, c.op.Flags = entry.Value, entry.Flags
		case there:
			if gone := v.suspects[rel]; gone == 0 && proven > at || gone > at {
				v.suspects[rel] = max(gone, proven)
				continue // whether the feed brings its end is known further on
			}
			verdict = f.rules.absent(have, false)
		}
		delete(v.suspects, rel)
		if err := f.settleDifference(ctx, verdict, c); err != nil {
			return err
		}
	}
	return l.pass(ctx)
}

// settleDifference counts a key that differs, and puts it right if that is wanted. Deletes
// are left to the guard.
func (f *follower) settleDifference(ctx context.Context, verdict verdict, c change) error {
	v := f.verifications.now
	switch verdict {
	case keep, stranger:
		return nil
	case write, overwrite, spare, remove:
		v.divergent++
		if len(v.examples) < maxExamples {
			v.examples = append(v.examples, c.op.Key)
		}
	}
	if verdict == spare && !f.status.knowsConflict(c.op.Key) || verdict == overwrite && v.repair {
		f.noteConflict(verdict, c.rel)
	}
	if !v.repair || !f.rules.carry(verdict, &c) {
		return nil
	}
	if c.op.Kind == DeleteKey {
		f.feed.wait(c)
		v.deletes = append(v.deletes, c.rel)
		return nil
	}
	if c.op.Kind == SetKey {
		v.repaired++
	}
	return f.ledger.add(ctx, c)
}
