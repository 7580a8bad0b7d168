package httpapi

import (
	"net/http"
	"strconv"

	"github.com/hanse-project/hanse/kv"
)

func (a *API) kvRoutes() map[string]route {
	return map[string]route{
		"/v1/kv/": {http.MethodGet: a.kvGet, http.MethodPut: a.kvPut, http.MethodDelete: a.kvDelete},
	}
}

func errNoKey() error { return badRequest("Missing key name") }

func (a *API) kvGet(w http.ResponseWriter, r *request) (any, error) {
	if r.has("changes") {
		return a.kvChanges(w, r)
	}
	if r.has("digests") {
		return a.kvDigests(w, r)
	}
	if r.has("entries") {
		return a.kvEntries(w, r)
	}
	if r.has("keys") {
		return a.kvKeys(w, r)
	}
	method := &kv.Get
	if r.has("recurse") {
		method = &kv.List
	} else if r.name == "" {
		return nil, errNoKey()
	}
	req := &kv.KeyRequest{Key: r.name}
	rep, err := ask(a, w, r, method, req, &req.Read)
	if err != nil {
		return nil, err
	}
	if len(rep.Entries) == 0 {
		r.status = http.StatusNotFound
		return nil, nil
	}
	if r.has("raw") && method == &kv.Get {
		rawValue(w, rep.Entries[0].Value)
		return written{}, nil
	}
	return rep.Entries, nil
}

// rawValue writes a value so that no browser takes it for a page.
func rawValue(w http.ResponseWriter, value []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/plain")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox")
	h.Set("Content-Length", strconv.Itoa(len(value)))
	_, _ = w.Write(value) // a client that is gone reads no error
}

func (a *API) kvKeys(w http.ResponseWriter, r *request) (any, error) {
	req := &kv.KeyListRequest{Prefix: r.name, Seperator: r.query.Get("separator")}
	rep, err := ask(a, w, r, &kv.ListKeys, req, &req.Read)
	if err != nil {
		return nil, err
	}
	if len(rep.Keys) == 0 {
		r.status = http.StatusNotFound
		return nil, nil
	}
	return rep.Keys, nil
}

func (a *API) kvPut(_ http.ResponseWriter, r *request) (any, error) {
	if r.name == "" {
		return nil, errNoKey()
	}
	if err := conflict(r, "cas", "acquire", "release"); err != nil {
		return nil, err
	}
	req := &kv.ApplyRequest{Op: kv.Set, DirEnt: kv.Entry{Key: r.name}}
	a.write(r, &req.Write)
	var err error
	if r.has("flags") {
		if req.DirEnt.Flags, err = strconv.ParseUint(r.query.Get("flags"), 10, 64); err != nil {
			return nil, err
		}
	}
	switch {
	case r.has("cas"):
		req.Op = kv.CAS
		if req.DirEnt.ModifyIndex, err = strconv.ParseUint(r.query.Get("cas"), 10, 64); err != nil {
			return nil, err
		}
	case r.has("acquire"):
		req.Op, req.DirEnt.Session = kv.Lock, r.query.Get("acquire")
	case r.has("release"):
		req.Op, req.DirEnt.Session = kv.Unlock, r.query.Get("release")
	}
	if req.DirEnt.Value, err = r.body(a.cfg.MaxValue); err != nil {
		return nil, err
	}
	done, err := kv.Apply.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	return *done || req.Op == kv.Set, nil
}

func (a *API) kvDelete(_ http.ResponseWriter, r *request) (any, error) {
	if err := conflict(r, "cas", "recurse"); err != nil {
		return nil, err
	}
	req := &kv.ApplyRequest{Op: kv.Delete, DirEnt: kv.Entry{Key: r.name}}
	a.write(r, &req.Write)
	switch {
	case r.has("recurse"):
		req.Op = kv.DeleteTree
	case r.name == "":
		return nil, errNoKey()
	case r.has("cas"):
		req.Op = kv.DeleteCAS
		var err error
		if req.DirEnt.ModifyIndex, err = strconv.ParseUint(r.query.Get("cas"), 10, 64); err != nil {
			return nil, err
		}
	}
	done, err := kv.Apply.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	return *done || req.Op != kv.DeleteCAS, nil
}

// conflict refuses parameters that exclude each other.
func conflict(r *request, names ...string) error {
	count := 0
	for _, name := range names {
		if r.has(name) {
			count++
		}
	}
	if count > 1 {
		return badRequest("Conflicting flags: " + r.query.Encode() + "\n")
	}
	return nil
}
