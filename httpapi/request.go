package httpapi

import (
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
}

func parseQuery(raw string) url.Values {
	if raw == "" {
		return nil
	}
	values, _ := url.ParseQuery(raw) // as Go's servers do: what can be parsed counts
	return values
}

// has tells whether the parameter is there, with or without a value.
func (r *request) has(name string) bool {
	_, there := r.query[name]
	return there
}

// token is the secret of the caller: ?token, X-Consul-Token, or a bearer token.
func (r *request) token() string {
	if t := r.query.Get("token"); t != "" {
		return t
	}
	if t := r.Header.Get("X-Consul-Token"); t != "" {
		return t
	}
	if scheme, secret, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(secret)
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
	return nil
}

// write fills in the envelope of a change.
func (a *API) write(r *request, env *rpc.Write) {
	env.Datacenter, env.Token = a.datacenter(r), r.token()
}

func (a *API) datacenter(r *request) string {
	if dc := r.query.Get("dc"); dc != "" {
		return dc
	}
	return a.cfg.Datacenter
}

// maxStale asks again, of the leader, when a stale answer turned out too old.
func maxStale[Rep rpc.Reply](q *rpc.QueryOptions, ask func() (Rep, error)) (Rep, error) {
	rep, err := ask()
	if err != nil || q.MaxStaleDuration <= 0 || rep.QueryMeta().LastContact <= q.MaxStaleDuration {
		return rep, err
	}
	q.AllowStale, q.MaxStaleDuration = false, 0
	return ask()
}

// body reads at most limit bytes.
func (r *request) body(limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, tooLarge(r.ContentLength, limit)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, limit))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, tooLarge(limit+1, limit)
	}
	if err != nil {
		return nil, badRequest("Failed to read the body: " + err.Error())
	}
	return body, nil
}

// maxBody is the limit of bodies that have none of their own.
const maxBody = 4 << 20

// decode reads a JSON body.
func (r *request) decode(into any) error {
	body, err := r.body(maxBody)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return badRequest("Request decode failed: " + err.Error())
	}
	return nil
}
