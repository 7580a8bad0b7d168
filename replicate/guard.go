package replicate

import (
	"errors"
	"fmt"
)

// smallestMassDelete is how many deletes it takes before their share counts.
const smallestMassDelete = 10

// DefaultMaxDeleteFraction is the share of a link's keys that may go at once.
const DefaultMaxDeleteFraction = 0.5

// Guard decides whether deletes may be carried out.
type Guard struct {
	// MaxFraction is the largest share of the link's keys at the destination
	// that may be deleted at once, from 0 to 1; 1 switches the rule off.
	MaxFraction float64

	// Allow lets every delete pass.
	Allow bool
}

func (g Guard) validate() error {
	if g.MaxFraction < 0 || g.MaxFraction > 1 {
		return fmt.Errorf("max-delete-fraction is %v: use a number from 0 to 1", g.MaxFraction)
	}
	return nil
}

// Pending is what the guard judges: all deletes between the checkpoint and the
// position of the source's answer.
type Pending struct {
	// Deletes of Keys at the destination would go; the source has Present.
	Deletes, Keys, Present int

	// First says that the link has no checkpoint yet.
	First bool

	// Suspect says why the source is believed to have lost its history, if it is.
	Suspect string

	// Filtered says that the source's answer was cut down to what the token may read.
	Filtered bool
}

// Judge returns why the deletes must be held, or "" when they may pass.
func (g Guard) Judge(p Pending) string {
	switch {
	case p.Deletes == 0:
		return ""
	case p.Filtered:
		// Not even an operator can vouch for an answer that is known to be incomplete.
		return "the source's answer was filtered by its ACLs, so a missing key may still exist there"
	case g.Allow:
		return ""
	case p.Suspect != "":
		return p.Suspect
	case p.First && p.Present == 0:
		return "the source has no key under this prefix and the link has never copied one"
	case p.Deletes >= smallestMassDelete && float64(p.Deletes) > g.MaxFraction*float64(p.Keys):
		return fmt.Sprintf("%d of %d keys would go at once", p.Deletes, p.Keys)
	}
	return ""
}

// These say why an answer cannot be believed. They are retried.
var (
	errNoLeader = errors.New("the source knows no leader")
	errNoIndex  = errors.New("the source's answer has no index")
	errOldIndex = errors.New("the source's answer is older than one seen before")
)

// prove checks that an answer is at least as new as seen, the newest position known
// of the source. A non-empty suspicion means that the history seen belongs to is
// gone; an error, that the answer proves nothing and must not be used.
func prove(at Position, knownLeader bool, seen Position) (suspicion string, err error) {
	switch {
	case !knownLeader:
		return "", errNoLeader
	case at.Index == 0:
		return "", errNoIndex
	case seen.Index == 0:
		return "", nil
	case at.Datacenter != seen.Datacenter:
		return fmt.Sprintf("the source is another datacenter than before (ID %q, was %q)", at.Datacenter, seen.Datacenter), nil
	case at.Incarnation != seen.Incarnation:
		return fmt.Sprintf("the source was restored from a snapshot or rebuilt (incarnation %q, was %q)", at.Incarnation, seen.Incarnation), nil
	case at.Index >= seen.Index:
		return "", nil
	case at.Incarnation != "":
		return "", fmt.Errorf("%w (index %d, seen %d)", errOldIndex, at.Index, seen.Index)
	}
	return fmt.Sprintf("the source's index fell from %d to %d, so it was restored or rebuilt", seen.Index, at.Index), nil
}

// rebirths watches the create indexes of known keys for a source that does not
// tell its incarnation. A key that was deleted and made again has a create index
// above all that was seen; one below that means that history was rewritten. Where
// most keys were made again, the source was filled anew.
type rebirths struct {
	seen          uint64
	known, reborn int
	rewritten     string
}

func (r *rebirths) observe(key string, was, is uint64) {
	if was == 0 {
		return
	}
	r.known++
	if was == is {
		return
	}
	r.reborn++
	if is <= r.seen && r.rewritten == "" {
		r.rewritten = key
	}
}

func (r *rebirths) suspicion() string {
	switch {
	case r.rewritten != "":
		return fmt.Sprintf("the source's key %q has another create index from a time already seen, so it was restored or rebuilt", r.rewritten)
	case r.reborn*2 > r.known:
		return fmt.Sprintf("%d of %d known keys were made anew at the source, so it may have been rebuilt", r.reborn, r.known)
	}
	return ""
}
