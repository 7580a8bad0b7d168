package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzip"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/rpc"
)

// Header values are shared by all answers: the server copies them, nobody changes them.
var (
	contentJSON = []string{"application/json"}
	contentText = []string{"text/plain; charset=utf-8"}
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

// wrongRequest is an error of a domain about what was asked, where the status 400 is not
// taken by what clients expect.
type wrongRequest struct{ error }

func (e wrongRequest) Unwrap() error { return e.error }

func badRequest(text string) error { return &statusError{http.StatusBadRequest, text} }

func tooLarge(size, limit int64) error {
	return &statusError{http.StatusRequestEntityTooLarge, "Request body(" + strconv.FormatInt(size, 10) +
		" bytes) is too large, max size: " + strconv.FormatInt(limit, 10) + " bytes."}
}

// fail renders an error: Consul's status and text, and our reason beside it.
func (a *API) fail(w http.ResponseWriter, r *request, err error) {
	reason := rpc.ReasonOf(err)
	status := statusOf(err, reason)
	if reason != "" {
		w.Header().Set("X-Hanse-Reason", string(reason))
	}
	// Nobody needs to hear of clients that went away, or of what they got wrong.
	if status == http.StatusInternalServerError && reason != rpc.ReasonInvalid && !errors.Is(err, context.Canceled) {
		a.cfg.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr, "error", err)
	}
	plainText(w, status, err.Error())
}

// statusOf chooses the status of an error. A request that a domain finds wrong answers
// 500, as it always did; one that the face cannot even read answers 400.
func statusOf(err error, reason rpc.Reason) int {
	if s, ok := errors.AsType[*statusError](err); ok {
		return s.status
	}
	if _, ok := errors.AsType[wrongRequest](err); ok {
		return http.StatusBadRequest
	}
	switch reason {
	case rpc.ReasonDenied, rpc.ReasonACLNotFound:
		return http.StatusForbidden
	case rpc.ReasonTooLarge:
		return http.StatusRequestEntityTooLarge
	case rpc.ReasonTooOld:
		return http.StatusGone
	case rpc.ReasonNotFound:
		return http.StatusNotFound
	case rpc.ReasonConflict:
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header()["Content-Type"] = contentText
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // a client that is gone reads no error
}

// setMeta writes the headers of a query's answer.
func (a *API) setMeta(w http.ResponseWriter, m *rpc.Meta) {
	h := w.Header()
	h["X-Consul-Index"] = []string{strconv.FormatUint(max(m.Index, 1), 10)}
	setContact(h, m)
	h["X-Consul-Query-Backend"] = blocking
	if m.ResultsFilteredByACLs {
		h["X-Consul-Results-Filtered-By-Acls"] = yes
	}
	if m.HanseDatacenterID != "" {
		known := a.identity.of(m)
		h["X-Hanse-Datacenter-Id"], h["X-Hanse-Incarnation"] = known.id, known.incarnation
	}
}

// dropMeta takes back what [API.setMeta] wrote, for the answers that clients know
// without it.
func dropMeta(h http.Header) {
	for _, name := range []string{"X-Consul-Index", "X-Consul-Knownleader", "X-Consul-Lastcontact", "X-Consul-Query-Backend"} {
		h.Del(name)
	}
}

func setContact(h http.Header, m *rpc.Meta) {
	h["X-Consul-Knownleader"] = no
	if m.KnownLeader {
		h["X-Consul-Knownleader"] = yes
	}
	h["X-Consul-Lastcontact"] = zero
	if ms := m.LastContact.Milliseconds(); ms != 0 {
		h["X-Consul-Lastcontact"] = []string{strconv.FormatInt(ms, 10)}
	}
}

// identityCache keeps the header values of the datacenter that answered last.
type identityCache struct {
	last atomic.Pointer[identityHeaders]
}

type identityHeaders struct{ id, incarnation []string }

func (c *identityCache) of(m *rpc.Meta) *identityHeaders {
	known := c.last.Load()
	if known == nil || known.id[0] != m.HanseDatacenterID || known.incarnation[0] != m.HanseIncarnation {
		known = &identityHeaders{[]string{m.HanseDatacenterID}, []string{m.HanseIncarnation}}
		c.last.Store(known)
	}
	return known
}

// bodies are buffers of finished answers.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// keepBody is the largest buffer that is kept for later, in bytes.
const keepBody = 1 << 20

// render writes value as JSON. A nil value is an empty body.
func (a *API) render(w http.ResponseWriter, r *request, value any) {
	switch value.(type) {
	case written:
		return
	case nil:
		if r.status == http.StatusOK {
			w.Header()["Content-Type"] = contentJSON
		}
		w.WriteHeader(r.status)
		return
	}
	buf := bodies.Get().(*[]byte)
	body, err := encode((*buf)[:0], value, r.has("pretty"))
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header()["Content-Type"] = contentJSON
	send(w, r, body)
	if cap(body) <= keepBody {
		*buf = body
		bodies.Put(buf)
	}
}

// encode appends the JSON of value to buf.
func encode(buf []byte, value any, pretty bool) ([]byte, error) {
	buf, err := appendValue(buf, value)
	if err != nil || !pretty {
		return buf, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, buf, "", "    "); err != nil {
		return nil, err
	}
	return append(out.Bytes(), '\n'), nil
}

// appendValue appends the JSON of value. The rows that agents are asked for most have
// faster ways than encoding/json, to the same bytes.
func appendValue(buf []byte, value any) ([]byte, error) {
	switch rows := value.(type) {
	case []*kv.Entry:
		return appendEntries(buf, rows), nil
	case []catalog.CheckServiceNode:
		return appendRows(buf, len(rows), func(buf []byte, i int) ([]byte, error) { return rows[i].AppendJSON(buf) })
	case []*catalog.ServiceNode:
		return appendRows(buf, len(rows), func(buf []byte, i int) ([]byte, error) { return rows[i].AppendJSON(buf) })
	case rowList:
		return appendRows(buf, len(rows), func(buf []byte, i int) ([]byte, error) { return append(buf, rows[i]...), nil })
	}
	plain, err := json.Marshal(value)
	return append(buf, plain...), err
}

// appendRows appends a list of n rows, each by appendRow.
func appendRows(buf []byte, n int, appendRow func(buf []byte, i int) ([]byte, error)) (_ []byte, err error) {
	buf = append(buf, '[')
	for i := range n {
		if i > 0 {
			buf = append(buf, ',')
		}
		if buf, err = appendRow(buf, i); err != nil {
			return nil, err
		}
	}
	return append(buf, ']'), nil
}

// gzipFrom is the size, in bytes, from which an answer is compressed for those who
// ask: what fits one packet gains nothing.
const gzipFrom = 1400

// compressed wraps a handler in one that compresses. Speed comes before size: the cost
// is paid by servers, and JSON shrinks to a few percent either way.
var compressed = func() func(http.Handler) http.HandlerFunc {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(gzipFrom), gzhttp.CompressionLevel(gzip.BestSpeed), gzhttp.EnableZstd(false))
	if err != nil {
		panic("httpapi: gzip: " + err.Error()) // the options are constants
	}
	return wrap
}()

// lengthKnown is up to which size, in bytes, net/http finds the length of an answer by
// itself. Above it would send pieces.
const lengthKnown = 2048

// send writes a whole body, compressed if that was asked for.
func send(w http.ResponseWriter, r *request, body []byte) {
	if len(body) < gzipFrom || r.Header["Accept-Encoding"] == nil {
		if len(body) > lengthKnown {
			w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
		}
		w.WriteHeader(r.status)
		_, _ = w.Write(body) // a client that is gone reads no error
		return
	}
	compressed(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Vary"] = varyEncoding // the wrapper has added it a second time
		w.WriteHeader(r.status)
		_, _ = w.Write(body)
	}))(w, r.Request)
}
