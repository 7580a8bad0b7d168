package kv

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// EntriesPage reads what there is below a prefix in parts, in the order of the keys' bytes.
// A page costs what it holds, however many keys precede it.
var EntriesPage = rpc.Method[PageRequest, Page]{Info: rpc.Info{
	Name: "Hanse.KVEntries", Class: rpc.List, Resource: rpc.ResourceKey}}

// PageRequest asks for entries below Prefix: those behind the key After, and before the key
// To. Without After they begin with the first, without To they end with the last.
type PageRequest struct {
	rpc.Read
	Prefix    string
	After, To string
	// Keys, if it is not nil, asks for these keys instead, those of them that exist. They come
	// in the order of the request; where the page ends early, ask for those behind its last row.
	Keys []string
	// Limit is how many entries a page has at most, 0 for [DefaultChanges].
	Limit int
	// Count asks how many keys there are below the prefix, too. It looks at each.
	Count bool
}

// PageEntry is a row of a [Page]. On the wire it is an array of the fields of [Entry] in
// their order: a page has a thousand.
type PageEntry struct {
	//lint:ignore U1000 its tag has the codec write an array
	_struct bool `codec:",toarray"`

	Entry
}

// Page is the answer to a [PageRequest]. Its Index is that of the last change of any key.
type Page struct {
	Entries []PageEntry
	// More says that there are entries behind the last one here.
	More bool
	// Total is how many keys the caller may read below the prefix, if that was asked.
	Total int
	rpc.Meta
}

// pageBytes ends a page once its keys and values are larger.
const pageBytes = 1 << 20

func (e *Endpoint) entriesPage(_ context.Context, call *rpc.Call, req *PageRequest) (*Page, error) {
	switch {
	case req.Limit < 0 || req.Limit > MaxChanges:
		return nil, rpc.Invalid(fmt.Sprintf("limit is %d: use 1 to %d", req.Limit, MaxChanges))
	case len(req.Keys) > MaxChanges:
		return nil, rpc.Invalid(fmt.Sprintf("%d keys are asked for: use at most %d", len(req.Keys), MaxChanges))
	}
	return ReadPage(e.store.Read(nil), req, func(key string) bool { return call.Keep(rpc.ResourceKey, key) }), nil
}

// ReadPage is the page of those keys that keep lets through.
func ReadPage(v *store.View, req *PageRequest, keep func(key string) bool) *Page {
	limit := cmp.Or(req.Limit, DefaultChanges)
	rep := &Page{Entries: []PageEntry{}}
	rep.Index = max(tableIndex(v), 1) // as the feed has it
	size := 0
	for row := range req.rows(v) {
		if !keep(row.Key) {
			continue
		}
		if len(rep.Entries) == limit || size >= pageBytes {
			rep.More = true
			break
		}
		rep.Entries = append(rep.Entries, PageEntry{Entry: *row})
		size += len(row.Key) + len(row.Value)
	}
	if req.Count {
		for row := range below(v, req.Prefix, "") {
			if keep(row.Key) {
				rep.Total++
			}
		}
	}
	return rep
}

// rows are the entries that the request is about.
func (req *PageRequest) rows(v *store.View) iter.Seq[*Entry] {
	if req.Keys != nil {
		return func(yield func(*Entry) bool) {
			for _, key := range req.Keys {
				if e, found := Lookup(v, key); found && !yield(e) {
					return
				}
			}
		}
	}
	from := req.Prefix
	if req.After != "" {
		from = max(from, req.After+"\x00") // the next key there could be
	}
	return func(yield func(*Entry) bool) {
		for e := range below(v, req.Prefix, from) {
			if req.To != "" && e.Key >= req.To || !yield(e) {
				return
			}
		}
	}
}

// below are the entries below prefix whose keys are from or greater, in their order.
func below(v *store.View, prefix, from string) iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		for e := range store.RowsFrom[*Entry](v, tableEntries, "id", max(prefix, from)) {
			if !strings.HasPrefix(e.Key, prefix) || !yield(e) {
				return
			}
		}
	}
}
