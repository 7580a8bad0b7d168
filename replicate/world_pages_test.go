package replicate

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/hanse-project/hanse/kv/digest"
)

func (s *store) own(key string) {
	if s.mine != nil {
		s.mine[key] = true
	}
}

func (s memSource) Entries(_ context.Context, q EntriesQuery) (*EntryPage, error) {
	return s.entries(q, s.paged)
}

func (s memSink) Entries(_ context.Context, q EntriesQuery) (*EntryPage, error) {
	return s.entries(q, s.paged)
}

func (s memSource) Digests(_ context.Context, q digest.Query) (*digest.Reply, error) {
	return s.digests(q, s.paged)
}

func (s memSink) Digests(_ context.Context, q digest.Query) (*digest.Reply, error) {
	return s.digests(q, s.paged)
}

// digests leaves out what is not the link's, as long as it does not prune.
func (s *store) digests(q digest.Query, paged bool) (*digest.Reply, error) {
	s.takeTime()
	defer s.takeTime()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !paged {
		return nil, ErrNoPages
	}
	if err := s.fault("digests"); err != nil {
		return nil, err
	}
	s.sums++
	entries := func(from, to string) iter.Seq[digest.Entry] {
		return func(yield func(digest.Entry) bool) {
			for _, k := range slices.Sorted(maps.Keys(s.keys)) {
				rel, ok := strings.CutPrefix(k, q.Prefix)
				ok = ok && rel >= from && (to == "" || rel < to) && (s.mine == nil || s.mine[k] || s.sumsAll)
				for _, x := range q.Exclude {
					ok = ok && !strings.HasPrefix(rel, x)
				}
				e := s.keys[k]
				if ok && !yield(digest.Entry{Key: rel, Flags: e.Flags, Value: e.Value}) {
					return
				}
			}
		}
	}
	rep := digest.Build(entries).Answer(&q, entries)
	rep.Index = s.index
	return rep, nil
}

func (s *store) entries(q EntriesQuery, paged bool) (*EntryPage, error) {
	s.takeTime()
	defer s.takeTime()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !paged {
		return nil, ErrNoPages
	}
	if err := s.fault("entries"); err != nil {
		return nil, err
	}
	p := &EntryPage{
		Position:    Position{Index: s.index, Datacenter: s.identity.Datacenter, Incarnation: s.identity.Incarnation},
		KnownLeader: !s.leaderless, Filtered: s.filtered,
	}
	names := slices.Sorted(slices.Values(q.Keys))
	if q.Keys == nil {
		names = slices.Sorted(maps.Keys(s.keys))
		s.reads++
	}
	for _, k := range names {
		e, there := s.keys[k]
		below := strings.HasPrefix(k, q.Prefix)
		if below && there && q.Count {
			p.Total++
		}
		if !there || !below || q.After != "" && k <= q.After || q.To != "" && k >= q.To {
			continue
		}
		if len(p.Entries) == s.page {
			p.More = true
			continue
		}
		e.Foreign = s.mine != nil && !s.mine[k]
		p.Entries = append(p.Entries, e)
	}
	return p, nil
}
