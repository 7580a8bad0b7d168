package entry

import (
	"iter"

	"github.com/hanse-project/hanse/store"
)

// Lookup finds one entry, and watches it.
func Lookup(v *store.View, kindName, name string) (*Entry, bool) {
	r, found := store.First[*row](v, table, "id", key(kindName, name))
	if !found {
		return nil, false
	}
	return r.Entry, true
}

// ofKind are all entries of a kind, in order of their names.
func ofKind(v *store.View, kindName string) iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		for r := range store.Rows[*row](v, table, "id_prefix", key(kindName, "")) {
			if !yield(r.Entry) {
				return
			}
		}
	}
}
