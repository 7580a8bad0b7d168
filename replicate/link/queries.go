package link

import (
	"slices"

	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/store"
)

// rows are all links by their names, as they are stored.
func rows(v *store.View) []*Row {
	return slices.Collect(store.Rows[*Row](v, tableLinks, "id"))
}

func lookup(v *store.View, name string) (*Row, bool) {
	if name == "" {
		return nil, false
	}
	return store.First[*Row](v, tableLinks, "id", name)
}

// checkpointOf is how far the link with that CreateIndex has come, nil if it has not begun.
func checkpointOf(v *store.View, link uint64) *checkpoint {
	c, found := store.First[*checkpoint](v, tableCheckpoints, "id", link)
	if !found {
		return nil
	}
	return c
}

// shown is a row as people see it: with its position, and without its token.
func shown(v *store.View, r *Row) Row {
	out := *r
	out.HasToken, out.Token = r.Token != "", ""
	c := checkpointOf(v.Unwatched(), r.CreateIndex)
	if c == nil {
		return out
	}
	if at, err := replicate.DecodeCheckpoint(c.Value, r.engine()); err == nil {
		p := at.Reached()
		out.Checkpoint = &Position{DatacenterID: p.Datacenter, Incarnation: p.Incarnation, Index: p.Index}
	}
	return out
}
