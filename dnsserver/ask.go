package dnsserver

import (
	"context"
	"fmt"
	"time"

	gometrics "github.com/hashicorp/go-metrics"

	"github.com/hanse-project/hanse/cache"
	"github.com/hanse-project/hanse/rpc"
)

// staleFrom is the age from which answers are counted as stale.
const staleFrom = 5 * time.Second

// ask makes a call as the settings say. Any server may answer if allow_stale is set, and
// an answer above max_stale is asked for again. A request that says UseCache is answered
// from the cache of the agent, unless what is there is older than cache_max_age.
func ask[Req, Rep any](ctx context.Context, s *Server, r *request, m *rpc.Method[Req, Rep], req *Req) (*Rep, error) {
	env, set := any(req).(rpc.Request).Envelope(), r.settings
	q := env.Query
	q.Token, q.AllowStale, q.MaxStaleDuration, q.MaxAge = s.token(), set.AllowStale || set.UseCache, set.MaxStale, set.CacheMaxAge
	r.trace.calls++
	if dc := *env.Datacenter; dc != "" && dc != s.cfg.Datacenter {
		r.trace.elsewhere = true
	}
	if q.UseCache && s.cfg.Cache != nil {
		r.trace.elsewhere = true
		rep, from, err := cache.Get(ctx, s.cfg.Cache, m, req)
		if err != nil || set.CacheMaxAge == 0 || from.Age <= set.CacheMaxAge {
			r.trace.reply = rep
			return rep, err
		}
	}
	q.UseCache = false
	rep, err := m.Call(rpc.WithWatch(ctx, r.trace.watch), s.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	reply, ok := any(rep).(rpc.Reply)
	if !ok {
		return nil, fmt.Errorf("%s: the answer does not say how old it is", m.Name)
	}
	age := reply.QueryMeta().LastContact
	if reply.QueryMeta().ResultsFilteredByACLs || age > staleFrom {
		r.trace.unsure = true
	}
	switch {
	case !q.AllowStale:
	case age > set.MaxStale:
		q.AllowStale = false
		return m.Call(ctx, s.cfg.Caller, req)
	case age > staleFrom:
		gometrics.IncrCounter([]string{"dns", "stale_queries"}, 1)
	}
	return rep, nil
}
