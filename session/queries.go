package session

import "github.com/hanse-project/hanse/store"

// Lookup finds a session.
func Lookup(v *store.View, id string) (*Session, bool) {
	return store.First[*Session](v, table, "id", id)
}

// rows are the sessions that keep lets through, and the index of the table.
func rows(v *store.View, index string, arg []any, keep func(*Session) bool) ([]*Session, uint64) {
	var list []*Session
	for s := range store.Rows[*Session](v, table, index, arg...) {
		if keep(s) {
			list = append(list, s)
		}
	}
	return list, v.TouchedAt(table)
}
