package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/query"
)

func (a *API) queryRoutes() map[string]route {
	return map[string]route{
		"/v1/query": {http.MethodGet: a.queryList, http.MethodPost: a.queryCreate},
		"/v1/query/": {
			http.MethodGet: a.queryRead, http.MethodPut: a.queryUpdate, http.MethodDelete: a.queryDelete},
	}
}

func (a *API) queryCreate(_ http.ResponseWriter, r *request) (any, error) {
	id, err := a.queryApply(r, query.Create, &query.PreparedQuery{})
	if err != nil {
		return nil, err
	}
	return struct{ ID string }{id}, nil
}

func (a *API) queryUpdate(_ http.ResponseWriter, r *request) (any, error) {
	_, err := a.queryApply(r, query.Update, &query.PreparedQuery{})
	return nil, err
}

func (a *API) queryDelete(_ http.ResponseWriter, r *request) (any, error) {
	_, err := a.queryApply(r, query.Delete, &query.PreparedQuery{})
	return nil, err
}

// queryApply reads the query from the body, but for its deletion.
func (a *API) queryApply(r *request, op query.Op, q *query.PreparedQuery) (string, error) {
	if op != query.Delete {
		if err := r.decode(q); err != nil {
			return "", err
		}
	}
	if op != query.Create {
		q.ID = r.name
	}
	req := &query.ApplyRequest{Op: op, Query: q}
	a.write(r, &req.Write)
	id, err := query.Apply.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return "", err
	}
	return *id, nil
}

func (a *API) queryList(w http.ResponseWriter, r *request) (any, error) {
	req := &catalog.DCSpecificRequest{}
	rep, err := ask(a, w, r, &query.List, req, &req.Read)
	if err != nil {
		return nil, err
	}
	return list(rep.Queries), nil
}

// queryRead shows a query, executes it, or explains it.
func (a *API) queryRead(w http.ResponseWriter, r *request) (any, error) {
	if name, executes := strings.CutSuffix(r.name, "/execute"); executes {
		return a.queryExecute(w, r, name)
	}
	if name, explains := strings.CutSuffix(r.name, "/explain"); explains {
		return a.queryExplain(w, r, name)
	}
	req := &query.SpecificRequest{QueryID: r.name}
	rep, err := ask(a, w, r, &query.Get, req, &req.Read)
	if err != nil {
		return nil, queryError(err)
	}
	return list(rep.Queries), nil
}

// queryExecution reads what both an execution and an explanation take.
func (a *API) queryExecution(r *request, name string) (*query.ExecuteRequest, error) {
	req := &query.ExecuteRequest{
		QueryIDOrName: name, Connect: r.flag("connect"),
		Source: catalog.QuerySource{Datacenter: a.datacenter(r), Node: r.query.Get("near"), Ip: r.from()},
		Agent:  catalog.QuerySource{Datacenter: a.cfg.Datacenter, Node: a.cfg.Node},
	}
	if limit := r.query.Get("limit"); limit != "" {
		n, err := strconv.Atoi(limit)
		if err != nil {
			return nil, &statusError{http.StatusInternalServerError, "Bad limit: " + err.Error()}
		}
		req.Limit = n
	}
	return req, nil
}

func (a *API) queryExecute(w http.ResponseWriter, r *request, name string) (any, error) {
	req, err := a.queryExecution(r, name)
	if err != nil {
		return nil, err
	}
	rep, err := askCached(a, w, r, &query.Execute, req, &req.Read)
	if err != nil {
		return nil, queryError(err)
	}
	return struct {
		Service    string
		Nodes      []catalog.CheckServiceNode
		DNS        query.DNSOptions
		Datacenter string
		PeerName   string
		Failovers  int
		bodyMeta
	}{rep.Service, translated(a, rep.Datacenter, rep.Nodes), rep.DNS, rep.Datacenter, rep.PeerName, rep.Failovers, shownMeta(&rep.Meta)}, nil
}

func (a *API) queryExplain(w http.ResponseWriter, r *request, name string) (any, error) {
	req, err := a.queryExecution(r, name)
	if err != nil {
		return nil, err
	}
	rep, err := ask(a, w, r, &query.Explain, req, &req.Read)
	if err != nil {
		return nil, queryError(err)
	}
	return struct {
		Query query.PreparedQuery
		bodyMeta
	}{rep.Query, shownMeta(&rep.Meta)}, nil
}

// queryError gives the error of a query that is not there the status that it has alone.
// The text is what tells, as servers that are not Hanse send no more.
func queryError(err error) error {
	if strings.HasSuffix(err.Error(), query.NotFound) {
		return &statusError{http.StatusNotFound, query.NotFound}
	}
	return err
}
