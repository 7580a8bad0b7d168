package query

import (
	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
)

// The log keeps these types as arrays without names: a field is only ever added at the
// end of its type, and none is removed.

// PreparedQuery is one stored query.
type PreparedQuery struct {
	// ID is a UUID that the leader makes.
	ID string
	// Name finds the query too. It is "" for a query without a name, and for the
	// template of all names.
	Name string
	// Session is the session whose end is the end of the query, "" for none.
	Session string
	// Token is the secret that the query is executed with, "" for the caller's own.
	Token    string
	Template Template
	Service  ServiceQuery
	DNS      DNSOptions
	catalog.Revision
}

// Template makes a query one for many names.
type Template struct {
	// Type is [NamePrefixMatch], or "" for a query that is no template.
	Type string
	// Regexp is matched against the name that is asked for; its groups are ${match(N)}.
	Regexp string
	// RemoveEmptyTags leaves out the tags that are "" once the name is filled in.
	RemoveEmptyTags bool
}

// NamePrefixMatch is the type of all templates.
const NamePrefixMatch = "name_prefix_match"

// ServiceQuery is what a query asks for.
type ServiceQuery struct {
	Service string
	// SamenessGroup is known to Consul Enterprise alone.
	SamenessGroup string
	Failover      Failover
	// IncludeAll travels with the queries of some peers. It does nothing.
	IncludeAll bool
	// OnlyPassing leaves out instances with a check in warning, too.
	OnlyPassing bool
	// IgnoreCheckIDs are checks that do not count.
	IgnoreCheckIDs []string
	// Near names the node whose nearest instances come first. [NearAgent] is that of the
	// agent that was asked, and [catalog.NearIP] that at the address the question came from.
	Near string
	// Tags are those that an instance must have, or, after a "!", must not have.
	Tags []string
	// NodeMeta and ServiceMeta are pairs that the node and the instance must have.
	NodeMeta    map[string]string
	ServiceMeta map[string]string
	// Connect asks for the instances that accept mesh connections for the service.
	Connect bool
	// Peer is a cluster peer. Hanse has none.
	Peer string
}

// NearAgent stands for the node of the agent that was asked.
const NearAgent = "_agent"

// Failover says who is asked when this datacenter has no healthy instance.
type Failover struct {
	// SkipLocalDatacenter does not ask this datacenter at all.
	SkipLocalDatacenter bool
	// NearestN is how many of the nearest datacenters are asked.
	NearestN int
	// Datacenters are asked after those, in this order.
	Datacenters []string
	// Targets stands in the place of both.
	Targets []Target
}

// Target is a datacenter, or a cluster peer.
type Target struct {
	Datacenter string
	Peer       string
}

// DNSOptions is how the query is answered over DNS.
type DNSOptions struct {
	// TTL is a duration as text, "" for that of the agent.
	TTL string
}

// Op is what a request does.
type Op string

// The operations, by their names on the wire.
const (
	Create Op = "create"
	Update Op = "update"
	Delete Op = "delete"
)

// ApplyRequest creates, replaces or deletes a query.
type ApplyRequest struct {
	rpc.Write
	Op    Op
	Query *PreparedQuery
}

// SpecificRequest asks for one query by its ID.
type SpecificRequest struct {
	rpc.Read
	QueryID string
}

// Queries is the answer of [Get] and [List].
type Queries struct {
	Queries []*PreparedQuery
	rpc.Meta
}

// ExecuteRequest executes or explains a query.
type ExecuteRequest struct {
	rpc.Read
	QueryIDOrName string
	// Limit is how many instances are wanted at most, 0 for all.
	Limit int
	// Connect asks for instances that accept mesh connections, whatever the query says.
	Connect bool
	// Source is who asks; its Node goes before the query's Near.
	Source catalog.QuerySource
	// Agent is the agent that was asked.
	Agent catalog.QuerySource
}

// ExecuteRemoteRequest is how one datacenter fails over to another.
type ExecuteRemoteRequest struct {
	rpc.Read
	Query   PreparedQuery
	Limit   int
	Connect bool
}

// ExecuteReply is the answer of [Execute] and [ExecuteRemote].
type ExecuteReply struct {
	Service string
	Nodes   []catalog.CheckServiceNode
	DNS     DNSOptions
	// Datacenter is the one that answered.
	Datacenter string
	PeerName   string
	// Failovers is how many other datacenters were asked.
	Failovers int
	rpc.Meta
}

// ExplainReply is the answer of [Explain]: the query with the name filled in.
type ExplainReply struct {
	Query PreparedQuery
	rpc.Meta
}
