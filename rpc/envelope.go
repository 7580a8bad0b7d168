package rpc

import (
	"cmp"
	"time"
)

// Request is implemented by every request, by embedding [Read] or [Write].
type Request interface {
	Envelope() Envelope
}

// Envelope points at what every request carries. Query is nil in a write.
type Envelope struct {
	Datacenter *string
	Token      *string
	Query      *QueryOptions
}

// Read is the envelope of a query. Its fields are flattened into the request on the wire.
type Read struct {
	// Datacenter is the datacenter asked, "" for the receiver's.
	Datacenter string
	QueryOptions
}

// Envelope implements [Request].
func (r *Read) Envelope() Envelope {
	return Envelope{Datacenter: &r.Datacenter, Token: &r.Token, Query: &r.QueryOptions}
}

// Write is the envelope of a change. Its fields are flattened into the request on the wire.
type Write struct {
	// Datacenter is the datacenter asked, "" for the receiver's.
	Datacenter string
	// Token is the secret of the caller's ACL token, "" for the anonymous one.
	Token string
}

// Envelope implements [Request].
func (w *Write) Envelope() Envelope {
	return Envelope{Datacenter: &w.Datacenter, Token: &w.Token}
}

// QueryOptions says how a read is to be answered.
// See https://developer.hashicorp.com/consul/api-docs/features/consistency.
type QueryOptions struct {
	// Token is the secret of the caller's ACL token, "" for the anonymous one.
	Token string
	// MinQueryIndex makes the read wait until its index is above it; 0 answers at once.
	MinQueryIndex uint64
	// MaxQueryTime bounds that wait; 0 leaves it to the server. See [Waits].
	MaxQueryTime time.Duration
	// AllowStale lets any server answer from what it has.
	AllowStale bool
	// RequireConsistent asks for the leader's word. A default read gives the same here.
	RequireConsistent bool
	// UseCache and the five below are for the agent's cache; servers ignore them.
	UseCache         bool
	MaxStaleDuration time.Duration
	MaxAge           time.Duration
	MustRevalidate   bool
	StaleIfError     time.Duration
	// Filter is a go-bexpr expression that the answering server applies to the rows.
	Filter string
	// AllowNotModifiedResponse allows an answer without rows if the index did not move.
	AllowNotModifiedResponse bool
}

const (
	// DefaultWait is how long a blocking query waits when it does not say.
	DefaultWait = 5 * time.Minute
	// MaxWait is how long it waits at most.
	MaxWait = 10 * time.Minute
	// UtmostWait is the most that a configuration can make of that.
	UtmostWait = 24 * time.Hour
	// JitterFraction is the part of the wait, 1/16, by which a server may lengthen it,
	// so that queries that started together do not end together.
	JitterFraction = 16
)

// Waits says how long blocking queries wait. Zero means [DefaultWait] and [MaxWait].
type Waits struct {
	// Default is for a query that does not say, Max for one that asks for more.
	Default, Max time.Duration
}

// Of is how long a query may wait that asks for so much, without jitter. 0 asks for the
// default.
func (w Waits) Of(asked time.Duration) time.Duration {
	if asked <= 0 {
		asked = cmp.Or(w.Default, DefaultWait)
	}
	return min(asked, cmp.Or(w.Max, MaxWait))
}

// Wait is how long the one who sends the query expects it to wait, without jitter: by
// what it says, or by the default.
func (q *QueryOptions) Wait() time.Duration {
	return Waits{Max: UtmostWait}.Of(q.MaxQueryTime)
}

// Meta is the part of a query's reply that says where the answer stands.
// Its fields are flattened into the reply on the wire.
type Meta struct {
	// Index is what a client passes as MinQueryIndex to wait for the next change.
	// It is never 0 in an answer.
	Index uint64
	// LastContact is how long ago the answering follower heard from its leader.
	LastContact time.Duration
	// KnownLeader says whether the answering server knows a leader.
	KnownLeader           bool
	ConsistencyLevel      string
	NotModified           bool
	Backend               int
	ResultsFilteredByACLs bool
	// HanseDatacenterID and HanseIncarnation identify the datacenter that answered and
	// the history its indexes belong to. They are "" from a server that is not Hanse.
	HanseDatacenterID string
	HanseIncarnation  string

	// absent marks the answer to a query for one thing that does not exist, nor did at
	// any index from absentSince on.
	absent      bool
	absentSince uint64
}

// QueryMeta gives access to the meta of any query's reply.
func (m *Meta) QueryMeta() *Meta { return m }

// SetAbsent marks the answer as "no such thing", at the index of its table. A
// blocking query whose answer was absent and still is goes on waiting, so that
// it is not woken by its neighbours.
func (m *Meta) SetAbsent(tableIndex uint64) { m.SetAbsentSince(tableIndex, tableIndex) }

// SetAbsentSince is [Meta.SetAbsent] where it is known that there was no such thing at
// any index from since on. A query that brings such an index has nothing to learn, and
// waits although its neighbours have moved the table's index on.
func (m *Meta) SetAbsentSince(tableIndex, since uint64) {
	m.absent, m.absentSince = true, since
	m.Index = tableIndex
}

// Absent tells whether the answer is "no such thing".
func (m *Meta) Absent() bool { return m.absent }

// AbsentAt tells whether the answer is "no such thing", and was at the given index.
func (m *Meta) AbsentAt(index uint64) bool { return m.absent && m.absentSince <= index }

// Reply is implemented by the reply of every query, by embedding [Meta].
type Reply interface {
	QueryMeta() *Meta
}

// Empty is the request of methods that take nothing but the envelope.
type Empty struct{ Read }

// Nothing is the reply of methods that return nothing.
type Nothing struct{}
