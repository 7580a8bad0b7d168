package replicate

import (
	"slices"
	"sync"
	"time"
)

// State is what a link is doing.
type State string

// The states of a link.
const (
	Syncing   State = "syncing"   // comparing all of source and destination
	Following State = "following" // in step, or applying the latest change
	Retrying  State = "retrying"  // the last attempt failed
	Held      State = "held"      // following, but deletes wait for an operator
	Standby   State = "standby"   // waiting for the daemon that has the link to end

	// The owner of a link may say that it does not run.
	Paused   State = "paused"   // for now
	Refused  State = "refused"  // it would do harm
	Disabled State = "disabled" // by its settings
)

// States lists all states.
func States() []State {
	return []State{Syncing, Following, Retrying, Held, Paused, Refused, Disabled, Standby}
}

// Rests reports whether a link in this state is not followed by who tells of it, who then
// does not know how far it is behind.
func (s State) Rests() bool {
	switch s {
	case Paused, Refused, Disabled, Standby:
		return true
	}
	return false
}

// Status is a link's report.
type Status struct {
	Link  string
	State State

	// Holder is who has the link while this daemon stands by. What else is here is of the
	// time before: Lag is 0.
	Holder string

	// SourceIndex is the newest index seen at the source, AppliedIndex the one up to
	// which everything is at the destination.
	SourceIndex, AppliedIndex uint64

	// Lag is how long ago the destination last held all that the source was known
	// to have, or how long the engine runs if it never did; 0 while it does. Where the
	// source tells when a change was made, it counts from there, as far as that can be.
	Lag time.Duration

	// Pending is how many differences are known and not yet written. HeldDeletes
	// is how many of them are deletes that wait for an operator, HeldReason why, and
	// HeldExamples the names of some.
	Pending, HeldDeletes int
	HeldReason           string
	HeldExamples         []string

	// Keys is how many keys of the link the destination has.
	Keys int

	// Compared counts the entries seen of the answer being compared, the last one's
	// after it was.
	Compared int

	// Done of Total keys were compared by the comparison of everything that is going on;
	// Total is 0 when there is none, or it is not known. Left is how long the rest may
	// take, 0 when that is not known.
	Done, Total int
	Left        time.Duration

	// KeysRate and BytesRate are keys written and bytes of values copied a second, of the
	// last ten seconds.
	KeysRate, BytesRate float64

	// Conflicts counts keys of the source that somebody else had written at the destination,
	// and ConflictKeys are some of them, by their names there.
	Conflicts    uint64
	ConflictKeys []string

	// DivergentKeys is how many keys differed at the last verification that ended, at
	// LastVerify, DivergentExamples the names of some, and Repaired how many of them were
	// put right. Verifying says that one is going on.
	DivergentKeys     int
	DivergentExamples []string
	Repaired          int
	LastVerify        time.Time
	Verifying         bool

	// Applied, Deleted and Bytes count keys set, keys deleted and bytes of values
	// copied since New.
	Applied, Deleted, Bytes uint64

	// Unreadable is how many keys of the last answer could not be copied because
	// their names are not UTF-8.
	Unreadable int

	// Errors counts failed attempts since New, LastError is the latest, of LastErrorAt, and
	// stays after a success. NextRetry is when the next attempt begins, zero if none is
	// due. LastSuccess is zero before the first.
	Errors      uint64
	LastError   string
	LastErrorAt time.Time
	NextRetry   time.Time
	LastSuccess time.Time
}

// tracker keeps a link's status. Its owner writes, anyone may read.
type tracker struct {
	mu      sync.Mutex
	status  Status
	current bool      // the destination holds all that the source was known to have
	inStep  time.Time // when it last did, or when the engine was made

	// proof is how long current may be believed after inStep, 0 for ever.
	proof time.Duration

	rates window

	// began is when the comparison that goes on was taken up, and from how much of it was
	// done then.
	began time.Time
	from  int
}

func newTracker(link string) *tracker {
	return &tracker{status: Status{Link: link, State: Syncing}, inStep: time.Now()}
}

func (t *tracker) update(f func(s *Status)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.status)
}

func (t *tracker) snapshot() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.status
	if s.State == Standby {
		return s
	}
	if age := time.Since(t.inStep); !t.current || t.proof != 0 && age > t.proof {
		s.Lag = max(0, age)
	}
	if done, took := s.Done-t.from, time.Since(t.began); s.Total > s.Done && done > 0 {
		s.Left = took * time.Duration(s.Total-s.Done) / time.Duration(done)
	}
	s.HeldExamples, s.ConflictKeys = slices.Clone(s.HeldExamples), slices.Clone(s.ConflictKeys)
	s.KeysRate, s.BytesRate = t.rates.perSecond(time.Now())
	return s
}

// news notes a page of the feed that arrived at that time. If there is something on it
// the destination lacks that since it was logged at the source. The source's clock may be
// wrong, so it is not believed beyond what ours says: not before the destination last
// held everything, nor after now.
func (t *tracker) news(page *Page, arrived time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status.SourceIndex = page.Index
	if len(page.Changes) == 0 || !t.current {
		return
	}
	t.current = false
	age := max(0, arrived.Round(0).Sub(page.Changes[0].Time))
	t.inStep = arrived.Add(-min(age, max(0, arrived.Sub(t.inStep))))
}

// answered notes an answer of the source. One at another index than before is
// news: the destination held everything until now.
func (t *tracker) answered(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current && index != t.status.SourceIndex {
		t.current, t.inStep = false, time.Now()
	}
	t.status.SourceIndex = index
	t.status.Compared = 0
}

func (t *tracker) queued(n int) {
	t.update(func(s *Status) { s.Pending += n })
}

// maxExamples is how many keys are named where they could be many.
const maxExamples = 100

// held names some of the deletes that are held.
func (t *tracker) held(deletes []change) {
	t.update(func(s *Status) {
		s.HeldExamples = s.HeldExamples[:0]
		for _, c := range deletes[:min(len(deletes), maxExamples)] {
			s.HeldExamples = append(s.HeldExamples, c.op.Key)
		}
	})
}

// conflict counts one, and remembers the latest keys.
func (t *tracker) conflict(key string) {
	t.update(func(s *Status) {
		s.Conflicts++
		if slices.Contains(s.ConflictKeys, key) {
			return
		}
		if len(s.ConflictKeys) == maxExamples {
			s.ConflictKeys = slices.Delete(s.ConflictKeys, 0, 1)
		}
		s.ConflictKeys = append(s.ConflictKeys, key)
	})
}

// knowsConflict reports whether the key is among the latest conflicts.
func (t *tracker) knowsConflict(key string) (known bool) {
	t.update(func(s *Status) { known = slices.Contains(s.ConflictKeys, key) })
	return known
}

// progress notes how far a comparison has come.
func (t *tracker) progress(done, total int) {
	t.update(func(s *Status) {
		if s.Total == 0 || done < s.Done {
			t.began, t.from = time.Now(), done
		}
		s.Done, s.Total = done, total
		if total > 0 {
			s.Compared = done
		}
	})
}

// wrote counts a batch by what it added to the checkpoint.
func (t *tracker) wrote(was, is Checkpoint, n int) {
	t.update(func(s *Status) {
		t.rates.add(time.Now(), float64(n), float64(is.Bytes-was.Bytes))
		s.Pending -= n
		s.Keys = is.Keys
		s.Applied += is.Applied - was.Applied
		s.Deleted += is.Deleted - was.Deleted
		s.Bytes += is.Bytes - was.Bytes
	})
}

// compared ends a step whose answer arrived at that time. held deletes are left,
// none when the destination is in step. beat is how often the source lets hear that there
// is nothing new, 0 if it does not: without its word the destination is not believed to be
// in step for much longer.
func (t *tracker) compared(at time.Time, applied uint64, held int, reason string, beat time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status.AppliedIndex = applied
	t.status.Pending, t.status.HeldDeletes, t.status.HeldReason = held, held, reason
	if held > 0 {
		t.status.State, t.status.NextRetry, t.current = Held, time.Time{}, false
		return
	}
	t.status.State = Following
	t.status.NextRetry = time.Time{}
	t.status.LastSuccess = time.Now()
	t.current, t.inStep, t.proof = true, at, beat+beat/2
}

// stoodBy notes who has the link, and returns who had it before.
func (t *tracker) stoodBy(holder string) (was string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, t.status.Holder = t.status.Holder, holder
	t.status.State, t.current = Standby, false
	t.status.Pending, t.status.HeldDeletes, t.status.HeldReason = 0, 0, ""
	return was
}

// failed notes that an attempt failed, and when the next one begins.
func (t *tracker) failed(err error, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = false
	t.status.State = Retrying
	t.status.Errors++
	t.status.LastError, t.status.LastErrorAt, t.status.NextRetry = err.Error(), time.Now(), next
}
