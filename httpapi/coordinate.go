package httpapi

import (
	"net/http"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/coordinate"
	"github.com/hanse-project/hanse/rpc"
)

func (a *API) coordinateRoutes() map[string]route {
	return map[string]route{
		"/v1/coordinate/datacenters": {http.MethodGet: a.coordinateDatacenters},
		"/v1/coordinate/nodes":       {http.MethodGet: a.coordinateNodes},
		"/v1/coordinate/node/":       {http.MethodGet: a.coordinateNode},
		"/v1/coordinate/update":      {http.MethodPut: a.coordinateUpdate},
	}
}

// checkSegment refuses a part of the LAN that does not exist.
func checkSegment(segment string) error {
	if segment != "" {
		return badRequest("Invalid query parameter: \"segment\" - Network segments are a Consul Enterprise feature")
	}
	return nil
}

func (a *API) coordinateDatacenters(_ http.ResponseWriter, r *request) (any, error) {
	req := &rpc.Empty{}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	places, err := coordinate.ListDatacenters.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	return list(*places), nil
}

func (a *API) coordinateNodes(w http.ResponseWriter, r *request) (any, error) {
	if err := checkSegment(r.query.Get("segment")); err != nil {
		return nil, err
	}
	req := &catalog.DCSpecificRequest{}
	rep, err := ask(a, w, r, &coordinate.ListNodes, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return list(rep.Coordinates), nil
}

func (a *API) coordinateNode(w http.ResponseWriter, r *request) (any, error) {
	if err := checkSegment(r.query.Get("segment")); err != nil {
		return nil, err
	}
	req, err := nodeRequest(r)
	if err != nil {
		return nil, err
	}
	rep, err := ask(a, w, r, &coordinate.Node, req, &req.Read)
	if err != nil {
		return nil, err
	}
	if len(rep.Coordinates) == 0 {
		dropMeta(w.Header())
		r.status = http.StatusNotFound
		return nil, nil
	}
	return rep.Coordinates, nil
}

func (a *API) coordinateUpdate(_ http.ResponseWriter, r *request) (any, error) {
	var body coordinate.Coordinate
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	if err := checkSegment(body.Segment); err != nil {
		return nil, err
	}
	req := &coordinate.UpdateRequest{Node: body.Node, Coord: body.Coord}
	a.write(r, &req.Write)
	_, err := coordinate.Update.Call(r.Context(), a.cfg.Caller, req)
	return nil, err
}
