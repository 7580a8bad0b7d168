package dnsserver

import (
	"context"
	"fmt"
	"time"

	gometrics "github.com/hashicorp/go-metrics"

	"github.com/hanse-project/hanse/rpc"
)

// staleFrom is the age from which answers are counted as stale.
const staleFrom = 5 * time.Second

// ask makes a call as the settings say: any server may answer if allow_stale is set, and
// an answer above max_stale is asked for again.
func ask[Req, Rep any](ctx context.Context, s *Server, r *request, m *rpc.Method[Req, Rep], req *Req) (*Rep, error) {
	return askFiltered(ctx, s, r, m, req, "")
}

// askFiltered is ask with an expression that the server chooses rows by.
func askFiltered[Req, Rep any](ctx context.Context, s *Server, r *request, m *rpc.Method[Req, Rep], req *Req, filter string) (*Rep, error) {
	env := any(req).(rpc.Request).Envelope()
	set := r.settings
	*env.Query = rpc.QueryOptions{
		Token:      s.token(),
		AllowStale: set.AllowStale, MaxStaleDuration: set.MaxStale,
		UseCache: set.UseCache, MaxAge: set.CacheMaxAge, Filter: filter,
	}
	rep, err := m.Call(rpc.WithWatch(ctx, r.trace.watch), s.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	reply, ok := any(rep).(rpc.Reply)
	if !ok {
		return nil, fmt.Errorf("%s: the answer does not say how old it is", m.Name)
	}
	meta := reply.QueryMeta()
	age := meta.LastContact
	if dc := *env.Datacenter; meta.ResultsFilteredByACLs || age > staleFrom || dc != "" && dc != s.cfg.Datacenter {
		r.trace.unsure = true
	}
	switch {
	case !set.AllowStale:
	case age > set.MaxStale:
		env.Query.AllowStale = false
		return m.Call(ctx, s.cfg.Caller, req)
	case age > staleFrom:
		gometrics.IncrCounter([]string{"dns", "stale_queries"}, 1)
	}
	return rep, nil
}
