package httpapi

import (
	"net/http"
	"time"

	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/rpc"
)

// peerRoutes are about cluster peers. There are none, which is told to clients that ask
// again and again.
func (a *API) peerRoutes() map[string]route {
	return map[string]route{
		"/v1/peerings":          {http.MethodGet: a.nothing},
		"/v1/exported-services": {http.MethodGet: a.nothing},
	}
}

// nothing answers with an empty list that never changes: a blocking query waits for all
// of its time.
func (a *API) nothing(w http.ResponseWriter, r *request) (any, error) {
	req := &operator.DCRequest{}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	leader, err := operator.Leader.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	if *leader == "" {
		return nil, rpc.ErrNoLeader
	}
	const index = 1
	if req.MinQueryIndex >= index {
		over := time.NewTimer(req.Wait())
		defer over.Stop()
		select {
		case <-over.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	a.setMeta(w, &rpc.Meta{Index: index, KnownLeader: true})
	return []struct{}{}, nil
}
