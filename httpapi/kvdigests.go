package httpapi

import (
	"encoding/hex"
	"net/http"
	"strconv"

	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/kv/digest"
)

// shownDigests are sums of ranges of keys as the API shows them.
type shownDigests struct {
	Index  uint64
	Levels int
	Ranges [][]shownRange
}

// shownRange is one range. Its start is bytes, since names are.
type shownRange struct {
	Start []byte
	Count int
	Sum   string
}

// kvDigests answers with sums of the keys below a prefix. Each span has a from and a to, in
// this order; without any it is all about one, of everything.
func (a *API) kvDigests(w http.ResponseWriter, r *request) (any, error) {
	if err := conflict(r, "digests", "entries", "recurse", "keys", "raw"); err != nil {
		return nil, err
	}
	req := &kv.DigestsRequest{Query: digest.Query{Prefix: r.name, Exclude: r.query["exclude"], Level: digest.MaxLevel}}
	if level := r.query.Get("level"); level != "" {
		n, err := strconv.Atoi(level)
		if err != nil {
			return nil, badRequest("Invalid level " + strconv.Quote(level) + ": use 0 to " + strconv.Itoa(digest.MaxLevel))
		}
		req.Level = n
	}
	from, to := r.query["from"], r.query["to"]
	if len(from) != len(to) {
		return nil, badRequest("Each span has a from and a to: there are " + strconv.Itoa(len(from)) + " and " + strconv.Itoa(len(to)))
	}
	for i := range from {
		req.Spans = append(req.Spans, digest.Span{From: from[i], To: to[i]})
	}
	if err := req.Check(); err != nil {
		return nil, badRequest("Invalid question for digests: " + err.Error())
	}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	req.MinQueryIndex = 0 // sums are of what there is
	rep, err := kv.Digests.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	a.setMeta(w, rep.QueryMeta())
	shown := shownDigests{Index: max(rep.Index, 1), Levels: rep.Levels, Ranges: make([][]shownRange, len(rep.Ranges))}
	for i, parts := range rep.Ranges {
		shown.Ranges[i] = make([]shownRange, len(parts))
		for j, part := range parts {
			shown.Ranges[i][j] = shownRange{Start: []byte(part.Start), Count: part.Count, Sum: hex.EncodeToString(part.Sum[:])}
		}
	}
	return shown, nil
}
