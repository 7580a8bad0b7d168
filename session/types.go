package session

import (
	"slices"
	"time"

	"github.com/hanse-project/hanse/rpc"
)

// Session is one session.
type Session struct {
	// ID is a UUID that the leader makes.
	ID   string
	Name string
	// Node is the node whose life the session shares.
	Node string
	// LockDelay is how long a lock that the end of the session freed cannot be taken.
	LockDelay time.Duration
	// Behavior says what becomes of the keys locked by it: [Release] or [Delete].
	Behavior string
	// TTL is a duration as text, "" for none.
	TTL string
	// NodeChecks and ServiceChecks are the checks whose life the session shares too.
	NodeChecks    []string
	ServiceChecks []ServiceCheck
	// Checks is what NodeChecks was called before Consul 1.7. It travels and is not shown.
	Checks      []string `json:"-"`
	CreateIndex uint64
	ModifyIndex uint64
}

// ServiceCheck names a check of a service.
type ServiceCheck struct {
	ID        string
	Namespace string `json:",omitempty"`
}

// The behaviors.
const (
	Release = "release"
	Delete  = "delete"
)

const (
	// DefaultLockDelay is the lock delay of a session that does not say.
	DefaultLockDelay = 15 * time.Second
	// MaxLockDelay is the longest one.
	MaxLockDelay = time.Minute
	// MinTTL and MaxTTL bound the time to live. The lower bound can be configured.
	MinTTL = 10 * time.Second
	MaxTTL = 24 * time.Hour
)

// checks are the IDs of all checks of s.
func (s *Session) checks() []string {
	ids := slices.Concat(s.NodeChecks, s.Checks)
	for _, c := range s.ServiceChecks {
		ids = append(ids, c.ID)
	}
	return ids
}

// Op is what a request does.
type Op string

// The operations, by their names on the wire.
const (
	Create  Op = "create"
	Destroy Op = "destroy"
)

// ApplyRequest creates or destroys a session.
type ApplyRequest struct {
	rpc.Write
	Op      Op
	Session Session
}

// SpecificRequest asks about one session, or about all.
type SpecificRequest struct {
	rpc.Read
	SessionID string
	// Session is what SessionID was called before Consul 1.7. Both are sent.
	Session string
}

// id is the session asked about.
func (r *SpecificRequest) id() string {
	if r.SessionID != "" {
		return r.SessionID
	}
	return r.Session
}

// Sessions is the answer.
type Sessions struct {
	Sessions []*Session
	rpc.Meta
}
