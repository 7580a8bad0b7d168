package replicatehttp

import (
	"context"

	"github.com/hanse-project/hanse/kv/digest"
	"github.com/hanse-project/hanse/replicate"
)

// Entries implements replicate.Reader.
func (s *Source) Entries(context.Context, replicate.EntriesQuery) (*replicate.EntryPage, error) {
	return nil, replicate.ErrNoPages
}

// Digests implements replicate.Reader.
func (s *Source) Digests(context.Context, digest.Query) (*digest.Reply, error) {
	return nil, replicate.ErrNoPages
}

// Entries implements replicate.Reader.
func (s *Sink) Entries(context.Context, replicate.EntriesQuery) (*replicate.EntryPage, error) {
	return nil, replicate.ErrNoPages
}

// Digests implements replicate.Reader.
func (s *Sink) Digests(context.Context, digest.Query) (*digest.Reply, error) {
	return nil, replicate.ErrNoPages
}
