package replicatehttp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hanse-project/hanse/replicate"
)

// pollTime is how long a question waits for news. A source that vanished without
// a word is noticed after it, so it also bounds how late a lag shows.
const pollTime = 60 * time.Second

// Source reads one datacenter through an agent.
type Source struct {
	agent    *Agent
	dc       string
	maxStale time.Duration
}

// Source returns the source for a datacenter. With a maxStale above zero any of
// its servers may answer that heard from its leader within that time.
func (a *Agent) Source(dc string, maxStale time.Duration) *Source {
	return &Source{agent: a, dc: dc, maxStale: maxStale}
}

// List implements replicate.Source.
func (s *Source) List(ctx context.Context, q replicate.Query) (*replicate.Listing, error) {
	if s.maxStale > 0 && !q.Fresh {
		listing, contact, err := s.ask(ctx, q, "stale")
		if err == nil && listing.KnownLeader && contact <= s.maxStale {
			return listing, nil
		}
		if err == nil {
			listing.Close()
		}
		q.After = 0
	}
	mode := ""
	if q.Fresh {
		mode = "consistent"
	}
	listing, _, err := s.ask(ctx, q, mode)
	return listing, err
}

// Count returns how many keys there are under the prefix, without their values.
func (s *Source) Count(ctx context.Context, prefix string) (int, error) {
	params := url.Values{"dc": {s.dc}, "entries": {""}, "limit": {"1"}}
	page, err := s.agent.entryPage(ctx, replicate.EntriesQuery{Prefix: prefix, Count: true}, params)
	if !errors.Is(err, replicate.ErrNoPages) {
		if err != nil {
			return 0, err
		}
		return page.Total, nil
	}
	return s.countNames(ctx, prefix)
}

// countNames counts the names in a list of them.
func (s *Source) countNames(ctx context.Context, prefix string) (int, error) {
	r, err := s.agent.do(ctx, http.MethodGet, "/v1/kv/"+prefix, url.Values{"dc": {s.dc}, "keys": {""}}, nil, answerTime)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if r.StatusCode == http.StatusNotFound {
		return 0, nil
	}
	if err := r.want(http.StatusOK); err != nil {
		return 0, err
	}
	n := 0
	for dec := json.NewDecoder(r); ; {
		token, err := dec.Token()
		if err != nil {
			return 0, r.explain(fmt.Errorf("decode: %w", whole(err)))
		}
		switch token.(type) {
		case string:
			n++
		case json.Delim:
			if token == json.Delim(']') {
				return n, nil
			}
		}
	}
}

func (s *Source) ask(ctx context.Context, q replicate.Query, mode string) (*replicate.Listing, time.Duration, error) {
	params := url.Values{"dc": {s.dc}}
	if mode != "" {
		params.Set(mode, "")
	}
	patience := answerTime
	if q.After > 0 {
		patience = waitFor(params, q.After, cmp.Or(q.Wait, pollTime))
	}
	return s.agent.list(ctx, q.Prefix, params, patience)
}

// waitFor makes a question wait for news, and returns within which time an answer must
// begin.
func waitFor(params url.Values, after uint64, wait time.Duration) time.Duration {
	params.Set("index", strconv.FormatUint(after, 10))
	params.Set("wait", strconv.FormatInt(wait.Milliseconds(), 10)+"ms")
	return wait + wait/16 + 15*time.Second // servers add up to a sixteenth
}
