package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/hanse-project/hanse/rpc"
)

var (
	contentJSON = []string{"application/json"}
	blocking    = []string{"blocking-query"}
	yes         = []string{"true"}
	no          = []string{"false"}
	zero        = []string{"0"}
)

// statusError is an error with an HTTP status of its own.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

func badRequest(text string) error { return &statusError{http.StatusBadRequest, text} }

func notFound(text string) error { return &statusError{http.StatusNotFound, text} }

func tooLarge(size, limit int64) error {
	return &statusError{http.StatusRequestEntityTooLarge, "Request body(" + strconv.FormatInt(size, 10) +
		" bytes) is too large, max size: " + strconv.FormatInt(limit, 10) + " bytes."}
}

// fail renders an error: Consul's status and text, and our reason beside it.
func (a *API) fail(w http.ResponseWriter, r *request, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return // the client is gone
	}
	status := http.StatusInternalServerError
	reason := rpc.ReasonOf(err)
	if s, ok := errors.AsType[*statusError](err); ok {
		status = s.status
	} else {
		switch reason {
		case rpc.ReasonDenied, rpc.ReasonACLNotFound:
			status = http.StatusForbidden
		case rpc.ReasonInvalid:
			status = http.StatusBadRequest
		case rpc.ReasonTooLarge:
			status = http.StatusRequestEntityTooLarge
		}
	}
	if reason != "" {
		w.Header().Set("X-Hanse-Reason", string(reason))
	}
	if status == http.StatusInternalServerError {
		a.cfg.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr, "error", err)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(err.Error())) // a client that is gone reads no error
}

// setMeta writes the headers of a query's answer.
func setMeta(w http.ResponseWriter, m *rpc.Meta) {
	h := w.Header()
	h["X-Consul-Index"] = []string{strconv.FormatUint(max(m.Index, 1), 10)}
	h["X-Consul-Knownleader"] = no
	if m.KnownLeader {
		h["X-Consul-Knownleader"] = yes
	}
	h["X-Consul-Lastcontact"] = zero
	if ms := m.LastContact.Milliseconds(); ms != 0 {
		h["X-Consul-Lastcontact"] = []string{strconv.FormatInt(ms, 10)}
	}
	h["X-Consul-Query-Backend"] = blocking
	if m.ResultsFilteredByACLs {
		h["X-Consul-Results-Filtered-By-Acls"] = yes
	}
	if m.HanseDatacenterID != "" {
		h["X-Hanse-Datacenter-Id"] = []string{m.HanseDatacenterID}
		h["X-Hanse-Incarnation"] = []string{m.HanseIncarnation}
	}
}

// render writes value as JSON. A nil value is an empty body.
func (a *API) render(w http.ResponseWriter, r *request, value any) {
	if value == nil {
		return
	}
	var body []byte
	var err error
	if r.has("pretty") {
		if body, err = json.MarshalIndent(value, "", "    "); err == nil {
			body = append(body, '\n')
		}
	} else {
		body, err = json.Marshal(value)
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header()["Content-Type"] = contentJSON
	_, _ = w.Write(body)
}
