package replicate

import (
	"context"
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
// source. It asks both where the key is one of the link's.
func (r *Runner) Explain(_ context.Context, key string) (Explanation, error) {
	s := r.f.scope
	x := Explanation{Role: RoleNone, Action: ActionNone, AppliedIndex: r.Status().AppliedIndex}
	rel, ok := s.below(key)
	if !ok {
		x.Reason = fmt.Sprintf("it lies neither below %q here nor below %q in %s", s.link.Destination, s.link.Source, s.link.SourceDC)
		return x, nil
	}
	x.SourceKey, x.DestinationKey = s.link.Source+rel, s.destination(rel)
	x.Role = RoleSource
	if x.DestinationKey == key {
		x.Role = RoleDestination
	}
	if x.Reason = s.excluded(rel); x.Reason != "" {
		x.Action = ActionExcluded
		return x, nil
	}
	x.Action, x.Reason = ActionCopied, "what the source has is copied"
	return x, nil
}
