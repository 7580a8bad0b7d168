package coordinate

import (
	"math"
	"strings"

	"github.com/hanse-project/hanse/store"
)

func lookup(v *store.View, node string) (*Coordinate, bool) {
	return store.First[*Coordinate](v, table, "id", node)
}

// Ruler measures how far nodes are from one of them, as an estimate of the round trip in
// seconds. It is infinite where nothing is known, and 0 for the node itself.
func Ruler(v *store.View, from string) func(node string) float64 {
	v = v.Unwatched()
	origin, known := lookup(v, from)
	return func(node string) float64 {
		if strings.EqualFold(node, from) {
			return 0
		}
		if !known {
			return math.Inf(1)
		}
		c, found := lookup(v, node)
		if !found {
			return math.Inf(1)
		}
		return origin.Coord.DistanceTo(c.Coord).Seconds()
	}
}
