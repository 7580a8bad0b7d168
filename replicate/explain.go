package replicate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// What a link has to do with a key, and what it does with it.
const (
	RoleSource      = "source"      // the link reads it
	RoleDestination = "destination" // the link writes it
	RoleNone        = "none"

	ActionCopied    = "copied"
	ActionExcluded  = "excluded"
	ActionLeftAlone = "left-alone"
	ActionConflict  = "conflict"
	ActionHeld      = "held"
	ActionNone      = "none"
	ActionUnknown   = "unknown" // a side cannot be asked
)

// Explanation says what a link does with one key, and why.
type Explanation struct {
	// Role and Action are constants of this package; Reason says why in a sentence.
	Role, Action, Reason string

	// SourceKey and DestinationKey are the key's names at both ends.
	SourceKey, DestinationKey string

	// SourceIndex is the key's modify index at the source, 0 if it is not there, and
	// AppliedIndex the index up to which the source is at the destination.
	SourceIndex, AppliedIndex uint64

	// Exists says that the destination has the key, and Foreign that somebody else than the
	// link wrote it.
	Exists, Foreign bool
}

// Explain says what the link does with a key, by its name at the destination or else at the
// source. It asks both where the key is one of the link's and they can be asked for a key.
func (r *Runner) Explain(ctx context.Context, key string) (Explanation, error) {
	s := r.f.scope
	status := r.Status()
	x := Explanation{Role: RoleNone, Action: ActionNone, AppliedIndex: status.AppliedIndex}
	rel, ok := s.below(key)
	if !ok {
		x.Reason = fmt.Sprintf("it lies neither below %q here nor below %q in %s", s.link.Destination, s.link.Source, s.link.SourceDC)
		return x, nil
	}
	x.SourceKey, x.DestinationKey, x.Role = s.link.Source+rel, s.destination(rel), RoleSource
	if x.DestinationKey == key {
		x.Role = RoleDestination
	}
	theirs, ours, err := r.lookup(ctx, x.SourceKey, x.DestinationKey)
	if theirs != nil {
		x.SourceIndex = theirs.ModifyIndex
	}
	if ours != nil {
		x.Exists, x.Foreign = true, ours.Foreign
	}
	switch reason := s.excluded(rel); {
	case reason != "":
		x.is(ActionExcluded, reason)
	case errors.Is(err, ErrNoPages):
		x.is(ActionCopied, "what the source has is copied; one of the sides cannot be asked for a single key")
	case err != nil:
		return x, fmt.Errorf("explain %q: %w", key, err)
	default:
		x.judge(r.f.rules, theirs, ours, status)
	}
	return x, nil
}

// lookup reads a key of each side, nil if it is not there.
func (r *Runner) lookup(ctx context.Context, source, destination string) (theirs, ours *Entry, err error) {
	if ours, err = lookup(ctx, r.cfg.Sink, r.cfg.Link.Destination, destination); err == nil {
		theirs, err = lookup(ctx, r.cfg.Source, r.cfg.Link.Source, source)
	}
	return theirs, ours, err
}

// lookup reads one key, nil if it is not there.
func lookup(ctx context.Context, reader Reader, prefix, key string) (found *Entry, err error) {
	err = readKeys(ctx, reader, prefix, []string{key}, func(page *EntryPage) error {
		for _, e := range page.Entries {
			found = &e
		}
		return nil
	})
	return found, err
}

// judge says what a link with these rules does with a key that both sides have so, nil where
// they do not have it.
func (x *Explanation) judge(rules rules, theirs, ours *Entry, status Status) {
	var have known
	if ours != nil {
		have.foreign = ours.Foreign
	}
	if theirs != nil {
		same := ours != nil && ours.Flags == theirs.Flags && bytes.Equal(ours.Value, theirs.Value)
		switch rules.present(same, ours != nil, have) {
		case keep:
			x.is(ActionCopied, "it has the source's value")
		case adopt:
			x.is(ActionCopied, "somebody else gave it the source's value: the link takes it over")
		case overwrite:
			x.is(ActionConflict, "somebody else wrote it here: the source's value replaces that when the source changes it, or everything is compared or verified")
		case spare:
			x.is(ActionConflict, "somebody else wrote it here: it is only reported, as the link's conflict setting says")
		default:
			x.is(ActionCopied, fmt.Sprintf("the source's value of index %d is on its way, or will be put right when the link is verified", theirs.ModifyIndex))
		}
		return
	}
	if ours == nil {
		x.is(ActionNone, "neither side has it")
		return
	}
	switch verdict := rules.absent(have, false); {
	case verdict == release:
		x.is(ActionLeftAlone, "the source does not have it any more, and the link deletes nothing: the key becomes the destination's own")
	case verdict == stranger:
		x.is(ActionLeftAlone, "the link did not write it here or gave it up, and the source does not have it")
	case status.State == Held:
		x.is(ActionHeld, "the source does not have it any more, but deletes are held: "+status.HeldReason)
	default:
		x.is(ActionCopied, "the source does not have it: it is deleted here, unless that has to be held")
	}
}

func (x *Explanation) is(action, reason string) { x.Action, x.Reason = action, reason }
