package httpapi

import (
	"context"
	"io"
	"net/http"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/rpc"
)

// Agent is what the face asks of the agent behind it. Whether the caller may ask is
// settled before. An error shows its whole text to the caller: 500, unless it carries
// a reason of package rpc.
type Agent interface {
	// Self describes the agent. It is rendered as JSON, an object with the keys Config,
	// DebugConfig, Coord, Member, Stats and Meta.
	Self() any
	// Members are those of the LAN pool, or of the WAN pool, which a client agent does
	// not know: nil. The segment is the one asked for, "" if none was.
	Members(wan bool, segment string) ([]serf.Member, error)
	// Join enters the pool of the agent at addr.
	Join(ctx context.Context, addr string, wan bool) error
	// Leave leaves the pools. It returns when the others know; the agent then stops by
	// itself, once this request is answered.
	Leave(ctx context.Context) error
	// ForceLeave makes a failed member count as one that left, and with prune as one
	// that never was.
	ForceLeave(ctx context.Context, node string, prune, wan bool) error
	// Reload reads the configuration again.
	Reload(ctx context.Context) error
	// Host describes the machine. It is rendered as JSON, an object with the keys Memory,
	// CPU, Host, Disk, CollectionTime and Errors.
	Host(ctx context.Context) any
	// Monitor writes the log from a level on to w, as text or as JSON, until ctx ends or a
	// write fails. An empty write says that it has begun; each other is one line or several.
	Monitor(ctx context.Context, level hclog.Level, json bool, w io.Writer) error
	// Metrics are what the agent tells about itself, as a page for Prometheus.
	Metrics() http.Handler
	// MetricsJSON is the same for people: a value to be rendered as JSON.
	MetricsJSON() any
}

// SnapshotRequest is the envelope of a snapshot.
type SnapshotRequest struct {
	// Datacenter is the one asked, never "".
	Datacenter string
	// Token is the secret of the caller's ACL token, "" for the anonymous one.
	Token string
	// Stale lets any server of the datacenter save, not only its leader.
	Stale bool
}

// Snapshots carries archives from and to the servers. It asks whether the caller may.
type Snapshots interface {
	// Save writes an archive to w. It calls about once, before the first byte, with the
	// index of the archive and who took it; an error after that ends the answer short.
	Save(ctx context.Context, req SnapshotRequest, w io.Writer, about func(*rpc.Meta)) error
	// Restore replaces the datacenter's state by the archive that r holds. What it
	// returns is rendered as JSON: what was taken over and what was skipped.
	Restore(ctx context.Context, req SnapshotRequest, r io.Reader) (any, error)
}
