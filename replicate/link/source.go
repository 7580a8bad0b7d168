package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/kv/digest"
	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/rpc"
)

// source asks the servers of the datacenter that a link copies from.
type source struct {
	caller     rpc.Caller
	datacenter string
	token      string
}

var _ replicate.Source = (*source)(nil)

// read is the envelope of a question.
func (s *source) read() rpc.Read {
	return rpc.Read{Datacenter: s.datacenter, QueryOptions: rpc.QueryOptions{Token: s.token}}
}

// errNoListings is the answer to what a link never asks: it reads in pages.
var errNoListings = errors.New("links of the servers are not followed by listings")

// List implements [replicate.Source].
func (s *source) List(context.Context, replicate.Query) (*replicate.Listing, error) {
	return nil, errNoListings
}

// Changes implements [replicate.Source].
func (s *source) Changes(ctx context.Context, q replicate.FeedQuery) (*replicate.Page, error) {
	req := &kv.ChangesRequest{Read: s.read(), Prefix: q.Prefix, Since: q.From.Index, After: q.From.After}
	req.RequireConsistent = q.Fresh
	if q.From.After == "" { // the rest of an index that has been begun is there
		req.MinQueryIndex, req.MaxQueryTime = q.From.Index, cmp.Or(q.Wait, replicate.Heartbeat)
	}
	rep, err := kv.Changes.Call(ctx, s.caller, req)
	if err != nil {
		return nil, s.failure(err)
	}
	p := &replicate.Page{
		Position: position(&rep.Meta), After: rep.After, More: rep.More,
		KnownLeader: rep.KnownLeader, Filtered: rep.ResultsFilteredByACLs,
		Changes: make([]replicate.Change, len(rep.Changes)),
	}
	for i, c := range rep.Changes {
		p.Changes[i] = replicate.Change{
			Entry: replicate.Entry{
				Key: c.Key, Value: c.Value, Flags: c.Flags, CreateIndex: c.CreateIndex, ModifyIndex: c.ModifyIndex,
			},
			Deleted: c.Deleted, Time: time.Unix(0, c.Time),
		}
	}
	return p, nil
}

func position(m *rpc.Meta) replicate.Position {
	return replicate.Position{Index: m.Index, Datacenter: m.HanseDatacenterID, Incarnation: m.HanseIncarnation}
}

// Entries implements [replicate.Reader].
func (s *source) Entries(ctx context.Context, q replicate.EntriesQuery) (*replicate.EntryPage, error) {
	req := pageRequest(q)
	req.Read = s.read()
	rep, err := kv.EntriesPage.Call(ctx, s.caller, req)
	if err != nil {
		return nil, s.failure(err)
	}
	return entryPage(rep, 0), nil
}

// pageRequest asks for pages that end where they are large: small keys take fewer of them.
func pageRequest(q replicate.EntriesQuery) *kv.PageRequest {
	return &kv.PageRequest{Prefix: q.Prefix, After: q.After, To: q.To, Keys: q.Keys, Count: q.Count, Limit: kv.MaxChanges}
}

// entryPage is a page as the engine has it. What another link than the given one wrote is
// foreign, unless that is 0.
func entryPage(rep *kv.Page, link uint64) *replicate.EntryPage {
	p := &replicate.EntryPage{
		Position: position(&rep.Meta), KnownLeader: rep.KnownLeader, Filtered: rep.ResultsFilteredByACLs,
		More: rep.More, Total: rep.Total, Entries: make([]replicate.Entry, len(rep.Entries)),
	}
	for i := range rep.Entries {
		e := &rep.Entries[i].Entry
		p.Entries[i] = replicate.Entry{
			Key: e.Key, Value: e.Value, Flags: e.Flags, CreateIndex: e.CreateIndex, ModifyIndex: e.ModifyIndex,
			Foreign: link != 0 && e.Origin != link,
		}
	}
	return p
}

// Digests implements [replicate.Reader].
func (s *source) Digests(ctx context.Context, q digest.Query) (*digest.Reply, error) {
	rep, err := kv.Digests.Call(ctx, s.caller, &kv.DigestsRequest{Read: s.read(), Query: q})
	if err != nil {
		return nil, s.failure(err)
	}
	return rep.Reply(), nil
}

// failure gives an error of the source the meaning it has for the engine, or for people.
func (s *source) failure(err error) error {
	switch rpc.ReasonOf(err) {
	case rpc.ReasonTooOld:
		return fmt.Errorf("%w: %w", replicate.ErrTooOld, err)
	case rpc.ReasonUnknownMethod:
		return fmt.Errorf("the servers of %s are older than links, or no Hanse: a link follows only Hanse, and `hanse replicate` follows others: %w", s.datacenter, err)
	}
	return err
}
