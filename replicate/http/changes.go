package replicatehttp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hanse-project/hanse/replicate"
)

// change is a row of the feed as the API shows it.
type change struct {
	pair
	Time    *time.Time
	Deleted bool
}

// Changes implements replicate.Source.
func (s *Source) Changes(ctx context.Context, q replicate.FeedQuery) (*replicate.Page, error) {
	if s.maxStale > 0 && !q.Fresh && q.From.Index != 0 {
		page, contact, err := s.page(ctx, q, "stale")
		if err != nil || page.KnownLeader && contact <= s.maxStale {
			return page, err
		}
	}
	mode := ""
	if q.Fresh {
		mode = "consistent"
	}
	page, _, err := s.page(ctx, q, mode)
	return page, err
}

// page asks for one page. Whoever does not know the feed answers with the key of that
// name, if there is one, or says that it does not know what is asked for: none of that
// is taken for a page.
func (s *Source) page(ctx context.Context, q replicate.FeedQuery, mode string) (*replicate.Page, time.Duration, error) {
	params := url.Values{"dc": {s.dc}, "changes": {""}}
	if mode != "" {
		params.Set(mode, "")
	}
	patience := answerTime
	if q.From.Index > 0 {
		patience = waitFor(params, q.From.Index, cmp.Or(q.Wait, replicate.Heartbeat))
	}
	if q.From.After != "" {
		params.Set("after", q.From.After)
	}
	r, err := s.agent.do(ctx, http.MethodGet, "/v1/kv/"+q.Prefix, params, nil, patience)
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	if err := r.unless(replicate.ErrNoFeed); err != nil {
		return nil, 0, err
	}
	page, contact, err := r.page(q)
	if err != nil {
		return nil, 0, r.explain(err)
	}
	return page, contact, nil
}

// unless sorts the answers that are no page. unknown is what they fail with from those who
// know no pages.
func (r *response) unless(unknown error) error {
	const reason = "X-Hanse-Reason"
	id := r.Header.Get("X-Hanse-Datacenter-Id")
	switch err := r.want(http.StatusOK); {
	case r.StatusCode == http.StatusGone && r.Header.Get(reason) == "too_old":
		return fmt.Errorf("%w: %w", replicate.ErrTooOld, err)
	case r.troubled() && r.Header.Get(reason) != "unknown_method" && !strings.Contains(err.Error(), "rpc: can't find"):
		return err // this tells nothing of what it knows
	case err != nil:
		return fmt.Errorf("%w: %w", unknown, err)
	case id == "":
		return fmt.Errorf("%w: %s: the answer names no datacenter ID", unknown, r.name)
	}
	return nil
}

// troubled reports whether the answer is about the moment or the token, not about what
// was asked.
func (r *response) troubled() bool {
	return r.StatusCode >= 500 || r.StatusCode == http.StatusForbidden || r.StatusCode == http.StatusTooManyRequests
}

// page reads head and body of an answer that may be a page.
func (r *response) page(q replicate.FeedQuery) (*replicate.Page, time.Duration, error) {
	h, err := r.head()
	if err != nil {
		return nil, 0, err
	}
	p := &replicate.Page{Position: h.Position, KnownLeader: h.knownLeader, Filtered: h.filtered, More: r.Header.Get("X-Hanse-More") == "true"}
	if p.After, err = url.QueryUnescape(r.Header.Get("X-Hanse-After")); err != nil {
		return nil, 0, fmt.Errorf("header X-Hanse-After: %w", err)
	}
	if p.Changes, err = decodeChanges(r, q); err != nil {
		return nil, 0, err
	}
	switch n := len(p.Changes); {
	case n == 0 && p.More:
		return nil, 0, errors.New("a page without changes says that there are more")
	case n > 0 && p.Changes[n-1].ModifyIndex > p.Index:
		return nil, 0, fmt.Errorf("the page ends at index %d, and has a change of index %d", p.Index, p.Changes[n-1].ModifyIndex)
	}
	return p, h.contact, nil
}

// decodeChanges reads the rows of a page, which come after its cursor and in order.
func decodeChanges(body io.Reader, q replicate.FeedQuery) ([]replicate.Change, error) {
	var rows []change
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, whole(err)
	}
	if !bytes.HasPrefix(text, []byte("[")) {
		return nil, fmt.Errorf("%w: the answer is not a list", replicate.ErrNoFeed)
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, fmt.Errorf("decode: %w", whole(err))
	}
	if q.From.Index == 0 && len(rows) > 0 {
		return nil, fmt.Errorf("%w: the answer to a question without a cursor is not empty", replicate.ErrNoFeed)
	}
	changes := make([]replicate.Change, 0, len(rows))
	last := q.From.Index
	for n, row := range rows {
		switch {
		case row.Time == nil:
			return nil, fmt.Errorf("%w: row %d of the answer has no time", replicate.ErrNoFeed, n)
		case row.Key == "" || !strings.HasPrefix(row.Key, q.Prefix):
			return nil, fmt.Errorf("row %d has the key %q, which does not begin with %q", n, row.Key, q.Prefix)
		case row.ModifyIndex < last || n == 0 && row.ModifyIndex == last && q.From.After == "":
			return nil, fmt.Errorf("row %d is of index %d, which was passed at %d", n, row.ModifyIndex, last)
		}
		last = row.ModifyIndex
		changes = append(changes, replicate.Change{Entry: row.pair.entry(), Deleted: row.Deleted, Time: *row.Time})
	}
	return changes, nil
}
