package replicatehttp

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/hanse-project/hanse/kv/digest"
	"github.com/hanse-project/hanse/replicate"
)

// Digests implements replicate.Reader.
func (s *Source) Digests(ctx context.Context, q digest.Query) (*digest.Reply, error) {
	return s.agent.digests(ctx, q, url.Values{"dc": {s.dc}})
}

// Digests implements replicate.Reader. All that is there counts as what the link wrote.
func (s *Sink) Digests(ctx context.Context, q digest.Query) (*digest.Reply, error) {
	return s.agent.digests(ctx, q, url.Values{"consistent": {""}})
}

// digests asks by as many questions as the spans take. Together the answers are only as new
// as the oldest of them.
func (a *Agent) digests(ctx context.Context, q digest.Query, params url.Values) (*digest.Reply, error) {
	params.Set("digests", "")
	params.Set("level", strconv.Itoa(q.Level))
	if len(q.Exclude) > 0 {
		params["exclude"] = q.Exclude
	}
	if len(q.Spans) == 0 {
		return a.sums(ctx, q.Prefix, 1, params)
	}
	all := &digest.Reply{}
	for rest := q.Spans; len(rest) > 0; {
		delete(params, "from")
		delete(params, "to")
		size, n := len(params.Encode()), 0
		for _, span := range rest {
			if size += len("&from=&to=") + len(url.QueryEscape(span.From)) + len(url.QueryEscape(span.To)); size > urlBytes && n > 0 {
				break
			}
			params.Add("from", span.From)
			params.Add("to", span.To)
			n++
		}
		rest = rest[n:]
		some, err := a.sums(ctx, q.Prefix, n, params)
		if err != nil {
			return nil, err
		}
		if all.Index == 0 || some.Index < all.Index {
			all.Index = some.Index
		}
		all.Levels = max(all.Levels, some.Levels)
		all.Ranges = append(all.Ranges, some.Ranges...)
	}
	return all, nil
}

// sums asks one question about so many spans.
func (a *Agent) sums(ctx context.Context, prefix string, spans int, params url.Values) (*digest.Reply, error) {
	r, err := a.do(ctx, http.MethodGet, "/v1/kv/"+prefix, params, nil, answerTime)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := r.unless(replicate.ErrNoPages); err != nil {
		return nil, err
	}
	rep, err := decodeSums(r, spans)
	if err != nil {
		return nil, r.explain(err)
	}
	return rep, nil
}

// sums are an answer as the API shows it.
type sums struct {
	Index  uint64
	Levels int
	Ranges [][]struct {
		Start []byte
		Count int
		Sum   string // hexadecimal
	}
}

// decodeSums reads the answer to a question about so many spans.
func decodeSums(body io.Reader, spans int) (*digest.Reply, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, whole(err)
	}
	if !bytes.HasPrefix(text, []byte("{")) {
		return nil, fmt.Errorf("%w: the answer is not an object", replicate.ErrNoPages)
	}
	var shown sums
	if err := json.Unmarshal(text, &shown); err != nil {
		return nil, fmt.Errorf("decode: %w", whole(err))
	}
	if shown.Index == 0 || len(shown.Ranges) != spans {
		return nil, fmt.Errorf("the answer is about %d spans at index %d, and %d were asked about", len(shown.Ranges), shown.Index, spans)
	}
	rep := &digest.Reply{Index: shown.Index, Levels: shown.Levels}
	for _, parts := range shown.Ranges {
		ranges := make([]digest.Range, len(parts))
		for i, part := range parts {
			ranges[i] = digest.Range{Start: string(part.Start), Count: part.Count}
			sum, err := hex.DecodeString(part.Sum)
			if err != nil || len(sum) != len(digest.Sum{}) || part.Count < 0 {
				return nil, fmt.Errorf("the range at %q has %d keys and the sum %q", part.Start, part.Count, part.Sum)
			}
			copy(ranges[i].Sum[:], sum)
		}
		rep.Ranges = append(rep.Ranges, ranges)
	}
	if rep.Levels < 0 {
		return nil, errors.New("the answer has fewer than no levels")
	}
	return rep, nil
}
