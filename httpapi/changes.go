package httpapi

import (
	"net/http"
	"net/url"
	"time"

	"github.com/hanse-project/hanse/kv"
)

// change is a change of a key as the feed shows it.
type change struct {
	Key         string
	ModifyIndex uint64
	Time        time.Time
	Deleted     bool   `json:",omitempty"`
	CreateIndex uint64 `json:",omitempty"`
	Flags       uint64
	Value       []byte
}

// kvChanges answers the feed of a prefix. The cursor of the next page is in the headers:
// X-Consul-Index, and X-Hanse-After if the page ended within that index.
func (a *API) kvChanges(w http.ResponseWriter, r *request) (any, error) {
	if err := conflict(r, "changes", "digests", "entries", "recurse", "keys", "raw"); err != nil {
		return nil, err
	}
	req := &kv.ChangesRequest{Prefix: r.name, After: r.query.Get("after")}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	req.Since = req.MinQueryIndex
	if req.After != "" {
		req.MinQueryIndex = 0 // the rest of an index that has been begun is there
	}
	var err error
	if req.Limit, err = pageLimit(r); err != nil {
		return nil, err
	}
	rep, err := kv.Changes.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	a.setMeta(w, rep.QueryMeta())
	if rep.After != "" {
		w.Header().Set("X-Hanse-After", url.QueryEscape(rep.After))
	}
	if rep.More {
		w.Header().Set("X-Hanse-More", "true")
	}
	shown := make([]change, len(rep.Changes))
	for i, c := range rep.Changes {
		shown[i] = change{c.Key, c.ModifyIndex, time.Unix(0, c.Time).UTC(), c.Deleted, c.CreateIndex, c.Flags, c.Value}
	}
	return shown, nil
}
