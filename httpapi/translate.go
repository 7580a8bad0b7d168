package httpapi

import "github.com/hanse-project/hanse/catalog"

// headerTranslated tells clients that addresses may not be those that were registered.
var headerTranslated = []string{"true"}

// farFrom tells whether what is in dc is shown as it is reached from outside.
func (a *API) farFrom(dc string) bool { return a.cfg.TranslateWAN && dc != a.cfg.Datacenter }

// translated are rows of dc, or of our own datacenter, with the addresses for callers here.
func translated[T interface{ Translated() T }](a *API, dc string, rows []T) []T {
	if !a.farFrom(dc) {
		return list(rows)
	}
	far := make([]T, len(rows)) // what was answered is shared
	for i, row := range rows {
		far[i] = row.Translated()
	}
	return far
}

// translatedNode is [translated] for a node with its services by ID.
func (a *API) translatedNode(dc string, n *catalog.NodeServices) *catalog.NodeServices {
	if n == nil || !a.farFrom(dc) {
		return n
	}
	far := &catalog.NodeServices{Node: n.Node.Translated(), Services: make(map[string]*catalog.NodeService, len(n.Services))}
	for id, s := range n.Services {
		far.Services[id] = s.Translated()
	}
	return far
}
