package httpapi

import (
	"fmt"
	"maps"
	"net/http"

	"github.com/hanse-project/hanse/catalog"
)

// usage counts the services of one datacenter, or with ?global of all that are known.
func (a *API) usage(w http.ResponseWriter, r *request) (any, error) {
	req := &catalog.UsageRequest{}
	rep, err := discover(a, w, r, &catalog.GetUsage, req, &req.Read)
	if err != nil {
		return nil, err
	}
	meta := shownMeta(&rep.Meta)
	meta.ConsistencyLevel = w.Header().Get("X-Consul-Effective-Consistency")
	all := maps.Clone(rep.Usage)
	if r.flag("global") {
		names, err := catalog.ListDatacenters.Call(r.Context(), a.cfg.Caller, &catalog.DatacentersRequest{Read: req.Read})
		if err != nil {
			return nil, err
		}
		for _, dc := range *names {
			if _, known := all[dc]; known {
				continue
			}
			one := &catalog.UsageRequest{Read: req.Read}
			one.Datacenter, one.MinQueryIndex = dc, 0
			rep, err := catalog.GetUsage.Call(r.Context(), a.cfg.Caller, one)
			if err != nil {
				return nil, fmt.Errorf("usage of datacenter %s: %w", dc, err)
			}
			maps.Copy(all, rep.Usage)
		}
	}
	return struct {
		Usage map[string]catalog.ServiceUsage
		bodyMeta
	}{all, meta}, nil
}
