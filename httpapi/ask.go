package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-project/hanse/cache"
	"github.com/hanse-project/hanse/rpc"
)

// reply is a pointer to the reply of a query.
type reply[T any] interface {
	*T
	rpc.Reply
}

// ask makes the call of a query whose particulars are in req, and env within it. It
// writes the headers that say where the answer stands.
func ask[Req, Rep any, PRep reply[Rep]](a *API, w http.ResponseWriter, r *request, m *rpc.Method[Req, Rep], req *Req, env *rpc.Read) (*Rep, error) {
	return answered[Req, Rep, PRep](a, w, r, env, func() (*Rep, error) { return m.Call(r.Context(), a.cfg.Caller, req) })
}

// askCached is [ask] for the endpoints that are documented to be answered by the agent's
// cache when ?cached says so.
func askCached[Req, Rep any, PRep reply[Rep]](a *API, w http.ResponseWriter, r *request, m *rpc.Method[Req, Rep], req *Req, env *rpc.Read) (*Rep, error) {
	if a.cfg.Cache == nil || !r.has("cached") {
		return ask[Req, Rep, PRep](a, w, r, m, req, env)
	}
	return answered[Req, Rep, PRep](a, w, r, env, func() (*Rep, error) {
		rep, from, err := cache.Get(r.Context(), a.cfg.Cache, m, req)
		if err == nil {
			setFrom(w, from)
		}
		return rep, err
	})
}

func answered[Req, Rep any, PRep reply[Rep]](a *API, w http.ResponseWriter, r *request, env *rpc.Read, get func() (*Rep, error)) (*Rep, error) {
	if err := a.read(r, env); err != nil {
		return nil, err
	}
	rep, err := get()
	if err != nil {
		return nil, err
	}
	meta := PRep(rep).QueryMeta()
	if age := env.MaxStaleDuration; age > 0 && meta.LastContact > age {
		// Too old for the one who asks: what the leader says never is.
		env.AllowStale, env.MaxStaleDuration, env.UseCache = false, 0, false
		if rep, err = get(); err != nil {
			return nil, err
		}
		meta = PRep(rep).QueryMeta()
	}
	a.setMeta(w, meta)
	return rep, nil
}

var (
	cacheHit  = []string{"HIT"}
	cacheMiss = []string{"MISS"}
)

func setFrom(w http.ResponseWriter, from cache.From) {
	h := w.Header()
	if !from.Hit {
		h["X-Cache"] = cacheMiss
		delete(h, "Age")
		return
	}
	h["X-Cache"] = cacheHit
	h["Age"] = []string{strconv.FormatInt(int64(from.Age/time.Second), 10)}
}

// cacheControl reads how old an answer of the cache may be.
func (r *request) cacheControl(q *rpc.QueryOptions) error {
	if q.RequireConsistent {
		return badRequest("Cannot specify ?cached with ?consistent, conflicting semantics.")
	}
	q.UseCache = true
	for _, line := range r.Header["Cache-Control"] {
		for directive := range strings.FieldsFuncSeq(line, func(c rune) bool { return c == ',' || c == ' ' }) {
			name, value, _ := strings.Cut(directive, "=")
			switch strings.ToLower(name) {
			case "must-revalidate":
				q.MustRevalidate = true
			case "max-age":
				age, err := cacheSeconds(name, value)
				if err != nil {
					return err
				}
				q.MaxAge = age
				q.MustRevalidate = q.MustRevalidate || age == 0
			case "stale-if-error":
				age, err := cacheSeconds(name, value)
				if err != nil {
					return err
				}
				q.StaleIfError = age
			}
		}
	}
	return nil
}

func cacheSeconds(directive, value string) (time.Duration, error) {
	n, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
	if err != nil {
		return 0, badRequest("Invalid Cache-Control: " + directive + " wants a number of seconds, not \"" + value + "\"")
	}
	return time.Duration(n) * time.Second, nil
}
