package rpc

import (
	"errors"
	"fmt"
	"strings"
)

// Reason says in one word why a call failed. It is a label of metrics, the header
// X-Hanse-Reason, and the field Reason of a reply's header between Hanse servers.
type Reason string

// The reasons that exist.
const (
	ReasonUnknownDC      Reason = "unknown_dc"       // no server of that datacenter was ever seen
	ReasonNoLiveServer   Reason = "no_live_server"   // its servers are known, and none can be reached
	ReasonBreakerOpen    Reason = "breaker_open"     // it failed a moment ago, and is left alone until it answers again
	ReasonTimeout        Reason = "timeout"          // the deadline of the call passed
	ReasonNoRemoteLeader Reason = "no_remote_leader" // it answers, and has no leader
	ReasonTLS            Reason = "tls"              // the certificates do not agree
	ReasonOverloaded     Reason = "overloaded"       // too many calls to it are in flight
	ReasonNoLeader       Reason = "no_leader"        // this datacenter has no leader
	ReasonNotReady       Reason = "not_ready"        // this server cannot prove its position
	ReasonNoServers      Reason = "no_servers"       // this client agent knows no server
	ReasonUnknownOutcome Reason = "outcome_unknown"  // the write may or may not have happened
	ReasonDenied         Reason = "permission_denied"
	ReasonACLNotFound    Reason = "acl_not_found"
	ReasonInvalid        Reason = "invalid"         // the request itself is wrong
	ReasonFailed         Reason = "failed"          // the request cannot be carried out
	ReasonTooLarge       Reason = "too_large"       // the request exceeds a limit
	ReasonUnknownMethod  Reason = "unknown_method"  // the server does not have the method
	ReasonConnection     Reason = "connection_lost" // the connection ended during the call
	ReasonTooOld         Reason = "too_old"         // what changed since that index is not known any more
	ReasonNotFound       Reason = "not_found"       // what the request is about does not exist
	ReasonConflict       Reason = "conflict"        // what there is already does not allow it
)

// Error is an error with a reason that travels between servers.
type Error struct {
	Reason Reason
	// Text is the whole message. Existing clients match parts of it.
	Text string
	// Cause is what errors.Is and errors.As look at next, nil for a sentinel.
	Cause error
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errors that callers act on. Existing clients match their texts.
var (
	ErrNoLeader         = &Error{Reason: ReasonNoLeader, Text: "No cluster leader"}
	ErrNoPath           = &Error{Reason: ReasonUnknownDC, Text: "No path to datacenter"}
	ErrUnreachable      = &Error{Reason: ReasonNoLiveServer, Text: "Remote DC has no server currently reachable"}
	ErrNoServers        = &Error{Reason: ReasonNoServers, Text: "No known Consul servers"}
	ErrNotReady         = &Error{Reason: ReasonNotReady, Text: "Not ready to serve consistent reads"}
	ErrPermissionDenied = &Error{Reason: ReasonDenied, Text: "Permission denied"}
	ErrACLNotFound      = &Error{Reason: ReasonACLNotFound, Text: "ACL not found"}
	ErrOutcomeUnknown   = &Error{Reason: ReasonUnknownOutcome, Text: "outcome unknown"}
	ErrTooLarge         = &Error{Reason: ReasonTooLarge, Text: "is too large"}
	ErrUnknownMethod    = &Error{Reason: ReasonUnknownMethod, Text: "rpc: can't find method"}
	ErrUnknownService   = &Error{Reason: ReasonUnknownMethod, Text: "rpc: can't find service"}
	ErrBreakerOpen      = &Error{Reason: ReasonBreakerOpen, Text: "circuit breaker is open"}
	ErrOverloaded       = &Error{Reason: ReasonOverloaded, Text: "too many calls in flight"}
	ErrConnectionLost   = &Error{Reason: ReasonConnection, Text: "connection lost during the call"}
	ErrTooOld           = &Error{Reason: ReasonTooOld, Text: "is too old"}
	ErrTimeout          = &Error{Reason: ReasonTimeout, Text: "deadline exceeded"}
)

// sentinels are the errors that [FromWire] recognises, by reason or by text.
var sentinels = []*Error{
	ErrNoLeader, ErrNoPath, ErrUnreachable, ErrNoServers, ErrNotReady, ErrPermissionDenied, ErrACLNotFound,
	ErrOutcomeUnknown, ErrTooLarge, ErrUnknownMethod, ErrUnknownService, ErrBreakerOpen, ErrOverloaded,
	ErrConnectionLost, ErrTooOld, ErrTimeout,
}

// Wrap gives err the text "prefix: text of sentinel" and its reason, for callers that
// match the beginning of a message: Wrap(ErrNoPath, "osaka") reads
// "No path to datacenter: osaka".
func Wrap(sentinel *Error, detail string) error {
	return &Error{Reason: sentinel.Reason, Text: sentinel.Text + ": " + detail, Cause: sentinel}
}

// Invalid is the error of a request that is wrong in itself.
func Invalid(text string) error { return &Error{Reason: ReasonInvalid, Text: text} }

// Failed is the error of a request that cannot be carried out as it is. Where others
// would blame the request, clients of the interfaces we keep expect status 500.
func Failed(text string) error { return &Error{Reason: ReasonFailed, Text: text} }

// NotFound is the error of a request about something that does not exist.
func NotFound(text string) error { return &Error{Reason: ReasonNotFound, Text: text} }

// Conflict is the error of a request that what there is already does not allow.
func Conflict(text string) error { return &Error{Reason: ReasonConflict, Text: text} }

// Prefix puts text before the whole message of err and keeps its reason.
func Prefix(text string, err error) error {
	return &Error{Reason: ReasonOf(err), Text: text + err.Error(), Cause: err}
}

// TooLarge is the error of something that exceeds a limit, both in bytes.
func TooLarge(what string, size, limit int) error {
	return &Error{
		Reason: ReasonTooLarge,
		Text:   fmt.Sprintf("%s is too large (%d bytes), the limit is %d bytes", what, size, limit),
		Cause:  ErrTooLarge,
	}
}

// ReasonOf finds the reason of err, "" if it has none.
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// FromWire rebuilds the error that a server sent. A Hanse server sends its reason
// beside the text; for any other the sentinel is found in the text, to which every
// server on the way may have added a prefix. errors.Is then answers as it did there.
func FromWire(text string, reason Reason) error {
	e := &Error{Reason: reason, Text: text}
	for _, s := range sentinels {
		if reason == s.Reason && (reason != ReasonUnknownMethod || strings.Contains(text, s.Text)) {
			e.Cause = s
			return e
		}
	}
	if reason != "" {
		return e
	}
	for _, s := range sentinels {
		if strings.Contains(text, s.Text) {
			e.Reason, e.Cause = s.Reason, s
			return e
		}
	}
	return e
}
