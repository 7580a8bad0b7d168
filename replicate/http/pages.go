package replicatehttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/hanse-project/hanse/replicate"
)

// urlBytes is how long the parameters of a question may be: proxies refuse longer ones.
const urlBytes = 6 << 10

// Entries implements replicate.Reader.
func (s *Source) Entries(ctx context.Context, q replicate.EntriesQuery) (*replicate.EntryPage, error) {
	return s.agent.entries(ctx, q, url.Values{"dc": {s.dc}})
}

// Entries implements replicate.Reader.
func (s *Sink) Entries(ctx context.Context, q replicate.EntriesQuery) (*replicate.EntryPage, error) {
	return s.agent.entries(ctx, q, url.Values{"consistent": {""}})
}

// entries asks for a page, or for some keys by as many questions as it takes.
func (a *Agent) entries(ctx context.Context, q replicate.EntriesQuery, params url.Values) (*replicate.EntryPage, error) {
	params.Set("entries", "")
	if q.Keys == nil {
		params.Set("limit", "10000") // a page ends where it is large: small keys take fewer of them
		for name, key := range map[string]string{"after": q.After, "to": q.To} {
			if key != "" {
				params.Set(name, key)
			}
		}
		return a.entryPage(ctx, q, params)
	}
	var all *replicate.EntryPage
	for rest := q.Keys; all == nil || len(rest) > 0; {
		some := fits(rest)
		params["key"] = some
		if len(some) == 0 {
			params["key"] = []string{""} // there is no such key, but an answer
		}
		page, err := a.entryPage(ctx, replicate.EntriesQuery{Prefix: q.Prefix, Keys: some}, params)
		if err != nil {
			return nil, err
		}
		if rest = rest[len(some):]; page.More {
			rest = q.Keys[len(q.Keys)-len(rest)-len(some)+answered(some, page.Entries):]
		}
		if all == nil {
			all = page
		} else if err := join(all, page); err != nil {
			return nil, err
		}
		all.More = false
	}
	return all, nil
}

// fits are the first keys, as many as one question may have.
func fits(keys []string) []string {
	size := 0
	for i, key := range keys {
		if size += len("&key=") + len(url.QueryEscape(key)); size > urlBytes && i > 0 {
			return keys[:i]
		}
	}
	return keys
}

// answered is how many of the keys a page is about that was full with the entries.
func answered(keys []string, entries []replicate.Entry) int {
	for i, key := range keys {
		if key == entries[len(entries)-1].Key {
			return i + 1
		}
	}
	return len(keys)
}

// join adds a page to others. Together they are only as new as the oldest of them.
func join(all, page *replicate.EntryPage) error {
	if all.Datacenter != page.Datacenter || all.Incarnation != page.Incarnation {
		return errors.New("the datacenter was restored from a snapshot between two pages")
	}
	all.Index = min(all.Index, page.Index)
	all.KnownLeader = all.KnownLeader && page.KnownLeader
	all.Filtered = all.Filtered || page.Filtered
	all.Entries = append(all.Entries, page.Entries...)
	return nil
}

// entryPage asks one question. Whoever does not know pages answers with the key of that
// name, if there is one, or says that it does not know what is asked for: none of that is
// taken for a page.
func (a *Agent) entryPage(ctx context.Context, q replicate.EntriesQuery, params url.Values) (*replicate.EntryPage, error) {
	if q.Count {
		params.Set("count", "")
	}
	r, err := a.do(ctx, http.MethodGet, "/v1/kv/"+q.Prefix, params, nil, answerTime)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := r.unless(replicate.ErrNoPages); err != nil {
		return nil, err
	}
	page, err := r.entryPage(q)
	if err != nil {
		return nil, r.explain(err)
	}
	return page, nil
}

// entryPage reads an answer that may be a page.
func (r *response) entryPage(q replicate.EntriesQuery) (*replicate.EntryPage, error) {
	h, err := r.head()
	if err != nil {
		return nil, err
	}
	p := &replicate.EntryPage{Position: h.Position, KnownLeader: h.knownLeader, Filtered: h.filtered}
	if p.More, err = strconv.ParseBool(r.Header.Get("X-Hanse-More")); err != nil {
		return nil, fmt.Errorf("%w: the answer does not say whether there is more", replicate.ErrNoPages)
	}
	if q.Count {
		if p.Total, err = strconv.Atoi(r.Header.Get("X-Hanse-Total-Keys")); err != nil || p.Total < 0 {
			return nil, fmt.Errorf("header X-Hanse-Total-Keys is %q, not a number", r.Header.Get("X-Hanse-Total-Keys"))
		}
	}
	if p.Entries, err = decodePage(r, q); err != nil {
		return nil, err
	}
	if p.More && len(p.Entries) == 0 {
		return nil, errors.New("a page without entries says that there are more")
	}
	return p, nil
}

// decodePage reads the entries of a page, which are of the range that was asked for, in order,
// or the keys that were asked for.
func decodePage(body io.Reader, q replicate.EntriesQuery) ([]replicate.Entry, error) {
	entries := []replicate.Entry{}
	asked, last := q.Keys, q.After
	var wrong error
	err := decodeEntries(body, q.Prefix, func(e replicate.Entry) bool {
		if q.Keys != nil {
			i := slices.Index(asked, e.Key)
			if i < 0 {
				wrong = fmt.Errorf("the answer has the key %q, which was not asked for there", e.Key)
				return false
			}
			asked = asked[i+1:]
		} else if e.Key <= last || q.To != "" && e.Key >= q.To {
			wrong = fmt.Errorf("the page has the key %q behind %q, and what is before %q was asked for", e.Key, last, q.To)
			return false
		}
		last = e.Key
		entries = append(entries, e)
		return true
	})
	return entries, errors.Join(err, wrong)
}
