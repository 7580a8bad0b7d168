package coordinate

import (
	"reflect"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/store"
)

// update is the log's form of what the leader gathered.
type update struct{ Coordinates []*Coordinate }

// applyUpdate leaves out nodes that are gone in the meantime, and answers how many rows
// it changed.
func applyUpdate(tx *store.Tx, cmd *update) (int, error) {
	changed := 0
	for _, c := range cmd.Coordinates {
		if c == nil || !fresh(&tx.View, c) {
			continue
		}
		node, _ := catalog.LookupNode(&tx.View, c.Node)
		tx.Insert(table, &Coordinate{Node: node.Node, Coord: c.Coord})
		tx.Touch(table, touchNode(node.Node))
		changed++
	}
	return changed, nil
}

// fresh tells whether c says something new of a node that exists.
func fresh(v *store.View, c *Coordinate) bool {
	if _, known := catalog.LookupNode(v, c.Node); !known || !usable(c.Coord) {
		return false
	}
	old, found := lookup(v, c.Node)
	return !found || !reflect.DeepEqual(old.Coord, c.Coord)
}

// forget removes what is known of a node that is gone.
func forget(tx *store.Tx, node string) {
	if c, found := lookup(&tx.View, node); found {
		tx.Delete(table, c)
		tx.Touch(table)
		tx.Forget(touchNode(node))
	}
}
