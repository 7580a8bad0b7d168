package catalog

import (
	"cmp"
	"slices"

	"github.com/hanse-project/hanse/store"
)

// NearIP stands for the node with the address that a [QuerySource] asks from.
const NearIP = "_ip"

// Ruler measures how far nodes are from one of them: less is nearer, and what is not
// known is infinite.
type Ruler func(v *store.View, from string) func(node string) float64

// MeasureBy gives the endpoint what answers are sorted by. Without it they are not. Call
// it before the first request.
func (e *Endpoint) MeasureBy(r Ruler) { e.ruler = r }

// Nearest are the instances in order of their distance from the source, those at an
// unknown distance last, and otherwise as they came. It changes nothing if the source is
// no node of this datacenter.
func (e *Endpoint) Nearest(source *QuerySource, instances []CheckServiceNode) []CheckServiceNode {
	return nearest(e, source, instances, func(i CheckServiceNode) string { return i.Node.Node })
}

// nearest is [Endpoint.Nearest] for any rows of nodes. The rows may be shared: they are
// copied before they are sorted.
func nearest[T any](e *Endpoint, source *QuerySource, rows []T, node func(T) string) []T {
	if source.Node == "" || e.ruler == nil || len(rows) < 2 {
		return rows
	}
	v := e.store.Read(nil)
	from := e.origin(v, source)
	if from == "" {
		return rows
	}
	type measured struct {
		row      T
		distance float64
	}
	distance := e.ruler(v, from)
	all := make([]measured, len(rows))
	for i, row := range rows {
		all[i] = measured{row, distance(node(row))}
	}
	slices.SortStableFunc(all, func(a, b measured) int { return cmp.Compare(a.distance, b.distance) })
	sorted := make([]T, len(all))
	for i := range all {
		sorted[i] = all[i].row
	}
	return sorted
}

// origin is the node that a source stands at, "" if there is none in this datacenter.
func (e *Endpoint) origin(v *store.View, source *QuerySource) string {
	if source.Datacenter != "" && source.Datacenter != e.datacenter {
		return "" // a node of the same name or address here is another one
	}
	if source.Node != NearIP {
		return source.Node
	}
	for n := range store.Rows[*Node](v, tableNodes, "id") {
		if n.isAt(source.Ip) {
			return n.Node
		}
	}
	return ""
}

// isAt tells whether ip is one of the node's addresses.
func (n *Node) isAt(ip string) bool {
	if ip == "" {
		return false
	}
	for _, addr := range n.TaggedAddresses {
		if addr == ip {
			return true
		}
	}
	return n.Address == ip
}
