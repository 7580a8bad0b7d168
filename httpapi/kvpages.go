package httpapi

import (
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/hanse-project/hanse/kv"
)

// pageEntry is an entry of a page. A name that is not UTF-8 cannot be carried by JSON, and
// comes by its bytes, too: whoever asks for what is behind it has to know it.
type pageEntry struct {
	*kv.Entry
	KeyBytes []byte `json:",omitempty"`
}

// kvEntries answers a page of what there is below a prefix. X-Hanse-More says whether there
// are further entries, and tells a page from the answer of an agent that knows none.
func (a *API) kvEntries(w http.ResponseWriter, r *request) (any, error) {
	if err := conflict(r, "entries", "recurse", "keys", "raw"); err != nil {
		return nil, err
	}
	req := &kv.PageRequest{Prefix: r.name, After: r.query.Get("after"), To: r.query.Get("to"), Count: r.has("count")}
	if keys := r.query["key"]; len(keys) > 0 {
		if r.has("after") || r.has("to") {
			return nil, badRequest("key names what is asked for: leave out after and to")
		}
		req.Keys = keys
	}
	var err error
	if req.Limit, err = pageLimit(r); err != nil {
		return nil, err
	}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	req.MinQueryIndex = 0 // a page is what there is
	rep, err := kv.EntriesPage.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	a.setMeta(w, rep.QueryMeta())
	w.Header().Set("X-Hanse-More", strconv.FormatBool(rep.More))
	if req.Count {
		w.Header().Set("X-Hanse-Total-Keys", strconv.Itoa(rep.Total))
	}
	shown := make([]pageEntry, len(rep.Entries))
	for i := range rep.Entries {
		shown[i].Entry = &rep.Entries[i].Entry
		if key := shown[i].Key; !utf8.ValidString(key) {
			shown[i].KeyBytes = []byte(key)
		}
	}
	return shown, nil
}

// pageLimit is how many rows a page of a feed or of entries may have, 0 if that was not asked.
func pageLimit(r *request) (int, error) {
	limit := r.query.Get("limit")
	if limit == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(limit)
	if err != nil || n < 1 || n > kv.MaxChanges {
		return 0, badRequest("Invalid limit " + strconv.Quote(limit) + ": use 1 to " + strconv.Itoa(kv.MaxChanges))
	}
	return n, nil
}
