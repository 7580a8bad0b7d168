package rpc

import (
	"context"
	"fmt"

	memdb "github.com/hashicorp/go-memdb"
)

// WatchSet collects the channels whose closing means "look again".
type WatchSet = memdb.WatchSet

// Resource is a kind of thing that access rules speak of, as in Consul's ACL rules.
type Resource string

// The resources that exist so far.
const (
	ResourceKey      Resource = "key"
	ResourceNode     Resource = "node"
	ResourceService  Resource = "service"
	ResourceSession  Resource = "session"
	ResourceQuery    Resource = "query"
	ResourceEvent    Resource = "event"
	ResourceAgent    Resource = "agent"
	ResourceOperator Resource = "operator"
	ResourceKeyring  Resource = "keyring"
	ResourceACL      Resource = "acl"
	// ResourceMesh is the mesh as a whole. Where no rule speaks of it, the rule about the
	// operator holds.
	ResourceMesh      Resource = "mesh"
	ResourceIntention Resource = "intention"
)

// Access is what a caller wants to do with a resource.
type Access string

// The kinds of access.
const (
	AccessRead  Access = "read"
	AccessList  Access = "list"
	AccessWrite Access = "write"
)

// Authorizer decides what the holder of one token may do.
type Authorizer interface {
	// Allow tells whether access to the named resource is granted.
	Allow(resource Resource, access Access, name string) bool
	// AllowPrefix tells whether access is granted to everything below prefix.
	AllowPrefix(resource Resource, access Access, prefix string) bool
	// Holder names the token in a denial, such as "anonymous token" or
	// "token with AccessorID '…'". It never contains a secret.
	Holder() string
}

// Resolver finds the [Authorizer] of a token's secret.
type Resolver interface {
	Resolve(ctx context.Context, token string) (Authorizer, error)
}

// AllowAll is the [Authorizer] of a datacenter without ACLs.
type AllowAll struct{}

// Allow implements [Authorizer].
func (AllowAll) Allow(Resource, Access, string) bool { return true }

// AllowPrefix implements [Authorizer].
func (AllowAll) AllowPrefix(Resource, Access, string) bool { return true }

// Holder implements [Authorizer].
func (AllowAll) Holder() string { return "anonymous token" }

// Resolve implements [Resolver].
func (AllowAll) Resolve(context.Context, string) (Authorizer, error) { return AllowAll{}, nil }

// Call is what a handler knows of the call it answers, besides the request.
type Call struct {
	// Authz decides what the caller may do.
	Authz Authorizer
	// Watch collects what a blocking query waits for. It is nil for one that does
	// not block, and adding to it is then harmless.
	Watch WatchSet

	filtered bool
}

// Allow is the whole of authorization: nil, or the denial that the caller reads.
func (c *Call) Allow(resource Resource, access Access, name string) error {
	if c.Authz.Allow(resource, access, name) {
		return nil
	}
	return c.denied(resource, access, name)
}

// AllowPrefix is [Call.Allow] for everything below prefix.
func (c *Call) AllowPrefix(resource Resource, access Access, prefix string) error {
	if c.Authz.AllowPrefix(resource, access, prefix) {
		return nil
	}
	return c.denied(resource, access, prefix)
}

func (c *Call) denied(resource Resource, access Access, name string) error {
	on := ""
	if name != "" {
		on = fmt.Sprintf(" on %q", name)
	}
	return &Error{
		Reason: ReasonDenied,
		Text: fmt.Sprintf("%s: %s lacks permission '%s:%s'%s",
			ErrPermissionDenied.Text, c.Authz.Holder(), resource, access, on),
		Cause: ErrPermissionDenied,
	}
}

// Keep tells whether a row of a list may be shown. A row that may not is left out of
// the list silently, and the reply says that something was.
func (c *Call) Keep(resource Resource, name string) bool {
	if c.Authz.Allow(resource, AccessRead, name) {
		return true
	}
	c.filtered = true
	return false
}

// Filtered tells whether [Call.Keep] left anything out.
func (c *Call) Filtered() bool { return c.filtered }
