package httpapi

import (
	"cmp"
	"net/http"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/rpc"
)

// agentMonitor shows the log of the agent while it is written, until the client has seen
// enough or the agent ends.
func (a *API) agentMonitor(w http.ResponseWriter, r *request) (any, error) {
	if err := a.allow(r, rpc.ResourceAgent, rpc.AccessRead); err != nil {
		return nil, err
	}
	name := cmp.Or(r.query.Get("loglevel"), "INFO")
	level := hclog.LevelFromString(name)
	if level == hclog.NoLevel || level == hclog.Off {
		return nil, badRequest("Unknown log level: " + name)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	lines := &flushed{w: w, conn: http.NewResponseController(w)}
	err := a.cfg.Agent.Monitor(r.Context(), level, r.flag("logjson"), lines)
	if err != nil && !lines.begun {
		return nil, err
	}
	return written{}, nil
}

// flushed is an answer of which every piece is sent at once.
type flushed struct {
	w     http.ResponseWriter
	conn  *http.ResponseController
	begun bool
}

// Write implements io.Writer.
func (f *flushed) Write(p []byte) (int, error) {
	f.begun = true
	n, err := f.w.Write(p)
	if err == nil {
		err = f.conn.Flush()
	}
	return n, err
}
