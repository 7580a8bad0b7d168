package httpapi

import (
	"net/http"

	"github.com/hanse-project/hanse/rpc"
)

func (a *API) snapshotRoutes() map[string]route {
	if a.cfg.Snapshots == nil {
		return nil
	}
	return map[string]route{
		"/v1/snapshot": {http.MethodGet: a.snapshotSave, http.MethodPut: a.snapshotRestore},
	}
}

func (a *API) snapshotRequest(r *request) (SnapshotRequest, error) {
	var env rpc.Read
	err := a.read(r, &env)
	return SnapshotRequest{Datacenter: env.Datacenter, Token: env.Token, Stale: env.AllowStale}, err
}

// archive notes whether any of it was sent.
type archive struct {
	http.ResponseWriter
	begun bool
}

// Write implements io.Writer.
func (s *archive) Write(p []byte) (int, error) {
	s.begun = true
	return s.ResponseWriter.Write(p)
}

func (a *API) snapshotSave(w http.ResponseWriter, r *request) (any, error) {
	req, err := a.snapshotRequest(r)
	if err != nil {
		return nil, err
	}
	out := &archive{ResponseWriter: w}
	err = a.cfg.Snapshots.Save(r.Context(), req, out, func(m *rpc.Meta) {
		w.Header().Set("Content-Type", "application/x-gzip")
		a.setMeta(w, m)
	})
	if err == nil {
		return written{}, nil
	}
	if !out.begun {
		return nil, err
	}
	a.cfg.Log.Error("snapshot ended half-way", "datacenter", req.Datacenter, "from", r.RemoteAddr, "error", err)
	panic(http.ErrAbortHandler) // the client must not take what it has for the whole
}

func (a *API) snapshotRestore(_ http.ResponseWriter, r *request) (any, error) {
	req, err := a.snapshotRequest(r)
	if err != nil {
		return nil, err
	}
	return a.cfg.Snapshots.Restore(r.Context(), req, r.Body)
}
