package httpapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-project/hanse/rpc"
)

// request is an HTTP request with its parameters parsed once.
type request struct {
	*http.Request
	// name is what stands in the path behind the route.
	name  string
	query url.Values
	// status is what the answer has, unless it is an error.
	status int
	// standIn is the agent's default token, for a request without one.
	standIn string
}

func parseQuery(raw string) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("Invalid query string: " + err.Error())
	}
	return values, nil
}

// has tells whether the parameter is there, with or without a value.
func (r *request) has(name string) bool {
	_, there := r.query[name]
	return there
}

// flag is a switch: there, and not switched off by its value.
func (r *request) flag(name string) bool {
	if !r.has(name) {
		return false
	}
	on, err := strconv.ParseBool(r.query.Get(name))
	return err != nil || on
}

// token is the secret that the request is made with: its own, or the agent's default.
func (r *request) token() string { return cmp.Or(r.ownToken(), r.standIn) }

// ownToken is the secret that the caller sent: ?token, X-Consul-Token, or a bearer token.
func (r *request) ownToken() string {
	if t := r.query.Get("token"); t != "" {
		return t
	}
	if t := r.Header["X-Consul-Token"]; len(t) > 0 && t[0] != "" {
		return t[0]
	}
	if h := r.Header["Authorization"]; len(h) > 0 {
		if scheme, secret, ok := strings.Cut(h[0], " "); ok && strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(secret)
		}
	}
	return ""
}

// read fills in the envelope of a query.
func (a *API) read(r *request, env *rpc.Read) error {
	env.Datacenter = a.datacenter(r)
	env.Token = r.token()
	if len(r.query) == 0 {
		return nil
	}
	q := &env.QueryOptions
	q.AllowStale, q.RequireConsistent = r.has("stale"), r.has("consistent")
	q.Filter = r.query.Get("filter")
	if index := r.query.Get("index"); index != "" {
		n, err := strconv.ParseUint(index, 10, 64)
		if err != nil {
			return badRequest("Invalid index")
		}
		q.MinQueryIndex = n
	}
	if wait := r.query.Get("wait"); wait != "" {
		d, err := time.ParseDuration(wait)
		if err != nil {
			return badRequest("Invalid wait time")
		}
		q.MaxQueryTime = d
	}
	if q.MinQueryIndex > 0 {
		q.MaxQueryTime = a.cfg.Waits.Of(q.MaxQueryTime)
	}
	if age := r.query.Get("max_stale"); age != "" {
		d, err := time.ParseDuration(age)
		if err != nil {
			return badRequest(fmt.Sprintf("Invalid max_stale value %q", age))
		}
		q.MaxStaleDuration, q.AllowStale = d, true
	}
	if q.AllowStale && q.RequireConsistent {
		return badRequest("Cannot specify ?stale with ?consistent, conflicting semantics.")
	}
	if r.has("cached") {
		return r.cacheControl(q)
	}
	return nil
}

// write fills in the envelope of a change. A datacenter that the body named stays,
// unless the parameters name one.
func (a *API) write(r *request, env *rpc.Write) {
	if env.Datacenter == "" || r.query.Get("dc") != "" {
		env.Datacenter = a.datacenter(r)
	}
	env.Token = r.token()
}

func (a *API) datacenter(r *request) string {
	if dc := r.query.Get("dc"); dc != "" {
		return dc
	}
	return a.cfg.Datacenter
}

// bodyPatience is how long a body may stand still. Whoever sends nothing for longer
// is cut off.
const bodyPatience = 30 * time.Second

// slowBody bounds the time between two pieces of a body. It lifts the bound at the end
// of the body, because what follows may be a long wait for the answer.
type slowBody struct {
	io.ReadCloser
	conn *http.ResponseController
}

// patientBody puts the bound on a request's body, if it has one.
func patientBody(w http.ResponseWriter, hr *http.Request) {
	if hr.Body != nil && hr.Body != http.NoBody {
		hr.Body = &slowBody{hr.Body, http.NewResponseController(w)}
	}
}

func (s *slowBody) Read(p []byte) (int, error) {
	// A writer without deadlines, in a test, has no slow peer either.
	_ = s.conn.SetReadDeadline(time.Now().Add(bodyPatience))
	n, err := s.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = s.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// drain reads what is left of a body that is too large, within reason: who is cut off
// while it still sends loses the answer that says so.
func (r *request) drain() { _, _ = io.CopyN(io.Discard, r.Body, maxBody) }

// body reads at most limit bytes.
func (r *request) body(limit int64) ([]byte, error) {
	size := r.ContentLength
	if size > limit {
		r.drain()
		return nil, tooLarge(size, limit)
	}
	var buf bytes.Buffer
	if size > 0 {
		buf.Grow(int(size) + bytes.MinRead) // room to see the end without growing
	}
	n, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	if n > limit {
		r.drain()
		return nil, tooLarge(n, limit)
	}
	if err != nil {
		return nil, badRequest("Failed to read the body: " + err.Error())
	}
	return buf.Bytes(), nil
}

// maxBody is the limit of bodies that have none of their own.
const maxBody = 4 << 20

// decode reads a JSON body. A field that nobody knows is a mistake.
func (r *request) decode(into any) error {
	body, err := r.body(maxBody)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := decodeAll(dec, into); err != nil {
		return badRequest("Request decode failed: " + err.Error())
	}
	return nil
}

// decodeAll reads the only value there is.
func decodeAll(dec *json.Decoder, into any) error {
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind the JSON value")
	}
	return nil
}
