package coordinate

import (
	"iter"
	"strings"

	memdb "github.com/hashicorp/go-memdb"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/store"
)

const (
	table = "coordinates"

	opUpdate store.Op = 6

	record = 6
)

// Module is what the server takes over from this package.
func Module() store.Module {
	return store.Module{
		Name: "coordinate",
		Tables: []*memdb.TableSchema{{Name: table, Indexes: map[string]*memdb.IndexSchema{
			"id": {Name: "id", Unique: true, Indexer: &memdb.StringFieldIndex{Field: "Node", Lowercase: true}},
		}}},
		Commands: []store.Command{store.OnMany(opUpdate, applyUpdate)},
		Records:  []store.Record{store.Persist(record, rows, load)},
		Triggers: []store.Trigger{store.When(func(tx *store.Tx, e catalog.NodeGone) { forget(tx, e.Node) })},
	}
}

// kept is the form of a row in a snapshot: a list, though with one element.
type kept []*Coordinate

func rows(v *store.View) iter.Seq[*kept] {
	return func(yield func(*kept) bool) {
		for c := range store.Rows[*Coordinate](v, table, "id") {
			if !yield(&kept{c}) {
				return
			}
		}
	}
}

// load takes over rows of a snapshot. One from outside may be of a node that was left
// out, or of a segment or a kind that nobody here can measure in.
func load(tx *store.Tx, list *kept) error {
	taken := false
	for _, c := range *list {
		if c == nil || c.Segment != "" || !usable(c.Coord) {
			continue
		}
		if _, known := catalog.LookupNode(&tx.View, c.Node); !known {
			continue
		}
		taken = true
		tx.Insert(table, c)
		if tx.Import {
			tx.Touch(table, touchNode(c.Node))
		}
	}
	if !taken {
		return store.ErrSkip
	}
	return nil
}

// touchNode names the coordinates of one node, for [store.Tx.Touch].
func touchNode(node string) string { return table + ":" + strings.ToLower(node) }
