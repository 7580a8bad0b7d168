package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/hanse-project/hanse/mesh/entry"
)

func (a *API) configRoutes() map[string]route {
	return map[string]route{
		"/v1/config":  {http.MethodPut: a.configApply},
		"/v1/config/": {http.MethodGet: a.configRead, http.MethodDelete: a.configDelete},
	}
}

// cas is the index that ?cas compares, if there is one.
func (r *request) cas() (index uint64, compares bool, err error) {
	if !r.has("cas") {
		return 0, false, nil
	}
	index, err = strconv.ParseUint(r.query.Get("cas"), 10, 64)
	if err != nil {
		return 0, false, badRequest("Invalid cas value: " + err.Error())
	}
	return index, true, nil
}

func (a *API) configApply(_ http.ResponseWriter, r *request) (any, error) {
	body, err := r.body(maxBody)
	if err != nil {
		return nil, err
	}
	e, err := entry.ParseJSON(body)
	if syntax, ok := errors.AsType[*entry.SyntaxError](err); ok {
		return nil, badRequest("Request decoding failed: " + syntax.Error())
	}
	if err != nil {
		return nil, err
	}
	req := &entry.ApplyRequest{Op: entry.Upsert, Entry: e}
	var compares bool
	if req.ModifyIndex, compares, err = r.cas(); err != nil {
		return nil, err
	}
	if compares {
		req.Op = entry.UpsertCAS
	}
	a.write(r, &req.Write)
	done, err := entry.Apply.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	return *done, nil
}

// configDelete answers whether something was deleted only if that depended on an index.
func (a *API) configDelete(_ http.ResponseWriter, r *request) (any, error) {
	kind, name, _ := strings.Cut(r.name, "/")
	if kind == "" || name == "" {
		return nil, &statusError{http.StatusNotFound, "Must provide both a kind and name to delete"}
	}
	e, err := entry.Named(kind, name)
	if err != nil {
		return nil, badRequest(err.Error())
	}
	req := &entry.ApplyRequest{Op: entry.Delete, Entry: e}
	var compares bool
	if req.ModifyIndex, compares, err = r.cas(); err != nil {
		return nil, err
	}
	if compares {
		req.Op = entry.DeleteCAS
	}
	a.write(r, &req.Write)
	rep, err := entry.Remove.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	if compares {
		return rep.Deleted, nil
	}
	return struct{}{}, nil
}

// configRead reads one entry, or all of a kind.
func (a *API) configRead(w http.ResponseWriter, r *request) (any, error) {
	kind, name, one := strings.Cut(r.name, "/")
	if kind == "" {
		return nil, &statusError{http.StatusNotFound, "Must provide either a kind or both kind and name"}
	}
	if err := entry.CheckKind(kind); err != nil {
		return nil, badRequest(err.Error())
	}
	req := &entry.Query{Kind: kind, Name: name}
	if !one || name == "" {
		rep, err := ask(a, w, r, &entry.List, req, &req.Read)
		if err != nil {
			return nil, err
		}
		return list(rep.Entries), nil
	}
	rep, err := ask(a, w, r, &entry.Get, req, &req.Read)
	if err != nil {
		return nil, err
	}
	if rep.Entry == nil {
		return nil, &statusError{http.StatusNotFound, fmt.Sprintf("Config entry not found for %q / %q", kind, name)}
	}
	return rep.Entry, nil
}
