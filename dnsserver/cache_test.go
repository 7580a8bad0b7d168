package dnsserver

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/cache"
	"github.com/hanse-project/hanse/query"
	"github.com/hanse-project/hanse/rpc"
)

// cached serves from a cache of its own.
func cached(t testing.TB, w world, maxAge time.Duration) *face {
	t.Helper()
	c := cache.New(cache.Config{Caller: w["dc1"], Registerer: prometheus.NewRegistry(), Log: hclog.NewNullLogger()})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Run(ctx) // it ends with the test
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return serve(t, w["dc1"], func(cfg *Config) {
		cfg.Cache, cfg.Settings.UseCache, cfg.Settings.CacheMaxAge = c, true, maxAge
	})
}

func TestTheCacheAnswersAndFollowsChanges(t *testing.T) {
	w := newWorld(t, "dc1", "dc2")
	w["dc1"].register(t, instance("n1", "10.0.0.1", "web", 80))
	w["dc2"].register(t, instance("far", "10.2.0.1", "web", 80))
	f := cached(t, w, 0)
	const name = "web.service.consul."
	one := name + " 0 IN A 10.0.0.1"
	expect(t, f.look(t, name, dns.TypeA), dns.RcodeSuccess, one)
	expect(t, f.look(t, "web.service.dc2.consul.", dns.TypeA), dns.RcodeSuccess, "web.service.dc2.consul. 0 IN A 10.2.0.1")
	w["dc1"].register(t, instance("n2", "10.0.0.2", "web", 80))
	for late := time.Now().Add(patience); len(f.look(t, name, dns.TypeA).Answer) != 2; {
		if time.Now().After(late) {
			t.Fatal("the second instance never came into the cache")
		}
	}
	// It goes on when nobody can be asked.
	w["dc1"].before(func(context.Context, string, *rpc.Info, rpc.Request) error { return rpc.ErrNoServers })
	expect(t, f.look(t, name, dns.TypeA), dns.RcodeSuccess, one, name+" 0 IN A 10.0.0.2")
	expect(t, f.look(t, "web.service.dc2.consul.", dns.TypeA), dns.RcodeSuccess, "web.service.dc2.consul. 0 IN A 10.2.0.1")
	expect(t, f.look(t, "other.service.consul.", dns.TypeA), dns.RcodeServerFailure)
}

func TestWhatTheCacheHasTooLongIsAskedFor(t *testing.T) {
	w := newWorld(t, "dc1")
	w["dc1"].register(t, instance("n1", "10.0.0.1", "web", 80))
	w["dc1"].prepare(t, query.PreparedQuery{Name: "q", Service: query.ServiceQuery{Service: "web"}})
	for _, c := range []struct {
		maxAge time.Duration
		calls  int64
	}{{0, 2}, {time.Hour, 1}} {
		calls := asked(w)
		f := cached(t, w, c.maxAge)
		for range 2 {
			expect(t, f.look(t, "q.query.consul.", dns.TypeA), dns.RcodeSuccess, "q.query.consul. 0 IN A 10.0.0.1")
		}
		if got := calls.Load(); got != c.calls {
			t.Errorf("cache_max_age %v: a query was executed %d times, want %d", c.maxAge, got, c.calls)
		}
	}
}
