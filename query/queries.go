package query

import (
	"strings"

	"github.com/hanse-project/hanse/store"
)

func lookupID(v *store.View, id string) (*row, bool) {
	return store.First[*row](v, table, "id", fold(id))
}

// sameName finds the query that already has the name of r. A template and a query that
// is none may share one.
func sameName(v *store.View, r *row) (*row, bool) {
	switch {
	case r.Prefix != "":
		return store.First[*row](v, table, "prefix", r.Prefix)
	case r.Name != "":
		return store.First[*row](v, table, "name", r.Name)
	}
	return nil, false
}

// find finds the query that answers for an ID or a name, with the name filled in.
func find(v *store.View, idOrName string) (*PreparedQuery, error) {
	if idOrName == "" {
		return nil, errNotFound
	}
	if r, found := lookupID(v, idOrName); found {
		return r.filledIn(r.Query.Name)
	}
	name := fold(idOrName)
	if r, found := store.First[*row](v, table, "name", name); found {
		return r.filledIn(idOrName)
	}
	var best *row
	for r := range store.Rows[*row](v, table, "prefix_prefix", anyPrefix) {
		if strings.HasPrefix(name, r.Prefix[len(anyPrefix):]) && (best == nil || len(r.Prefix) > len(best.Prefix)) {
			best = r
		}
	}
	if best == nil {
		return nil, errNotFound
	}
	return best.filledIn(idOrName)
}
