package kv

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/hanse-project/hanse/kv/digest"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// Digests sums up ranges of what there is below a prefix, for those who compare it with what
// there is elsewhere: see package digest. The first question about a prefix looks at each of
// its keys, later ones only at those around what changed since.
var Digests = rpc.Method[DigestsRequest, DigestsReply]{Info: rpc.Info{
	Name: "Hanse.KVDigests", Class: rpc.List, Resource: rpc.ResourceKey}}

// DigestsRequest is a question of [digest.Compare]. Whoever asks must be allowed to read
// everything below its prefix.
type DigestsRequest struct {
	rpc.Read
	digest.Query
	// Origin, if it is not 0, leaves out what the link with this CreateIndex did not write.
	Origin uint64
}

// DigestsReply is a [digest.Reply]. Its Index is that of the last change of any key.
type DigestsReply struct {
	Levels int
	Ranges digest.Ranges
	rpc.Meta
}

// Reply is the answer as [digest.Compare] takes it.
func (r *DigestsReply) Reply() *digest.Reply {
	return &digest.Reply{Index: r.Index, Levels: r.Levels, Ranges: r.Ranges}
}

func (e *Endpoint) digests(ctx context.Context, call *rpc.Call, req *DigestsRequest) (*DigestsReply, error) {
	if err := call.AllowPrefix(rpc.ResourceKey, rpc.AccessRead, req.Prefix); err != nil {
		return nil, err
	}
	if err := req.Check(); err != nil {
		return nil, rpc.Invalid("Invalid question for digests: " + err.Error())
	}
	of := selection{prefix: req.Prefix, exclude: slices.Compact(slices.Sorted(slices.Values(req.Exclude))), origin: req.Origin}
	tree, v, err := e.trees.tree(ctx, e.store, of)
	if err != nil {
		return nil, err
	}
	answer := tree.Answer(&req.Query, of.entries(v))
	rep := &DigestsReply{Levels: answer.Levels, Ranges: answer.Ranges}
	rep.Index = max(tableIndex(v), 1)
	return rep, nil
}

// selection is what a tree is about.
type selection struct {
	prefix  string
	exclude []string // prefixes of relative keys, sorted
	origin  uint64   // 0 for whatever origin
}

// id is equal for equal selections.
func (s *selection) id() string { return fmt.Sprintf("%d %q %q", s.origin, s.prefix, s.exclude) }

// excluded tells whether a relative key is left out.
func (s *selection) excluded(key string) bool {
	return slices.ContainsFunc(s.exclude, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// entries are those that the tree is made of.
func (s *selection) entries(v *store.View) digest.Entries {
	return func(from, to string) iter.Seq[digest.Entry] {
		return func(yield func(digest.Entry) bool) {
			for row := range below(v, s.prefix, s.prefix+from) {
				key := row.Key[len(s.prefix):]
				if to != "" && key >= to {
					return
				}
				if s.origin != 0 && row.Origin != s.origin || s.excluded(key) {
					continue
				}
				if !yield(digest.Entry{Key: key, Flags: row.Flags, Value: row.Value}) {
					return
				}
			}
		}
	}
}

// changed are the relative keys that changed behind an index, more than once maybe.
func (s *selection) changed(feed store.Feed, since uint64) iter.Seq[string] {
	return func(yield func(string) bool) {
		for at := range feed.After(store.Change{Index: since}) {
			key, below := strings.CutPrefix(at.Key, s.prefix)
			if below && !s.excluded(key) && !yield(key) {
				return
			}
		}
	}
}
