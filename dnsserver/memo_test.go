package dnsserver

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/rpc"
)

// asked counts the calls that reach the catalog.
func asked(w world) *atomic.Int64 {
	n := new(atomic.Int64)
	w["dc1"].before(func(context.Context, string, *rpc.Info, rpc.Request) error {
		n.Add(1)
		return nil
	})
	return n
}

// ask puts a question at a moment of its own, without a network.
func (f *face) ask(name string, qtype uint16, at time.Time) *dns.Msg {
	reply, _ := f.reply(newRequest(question(name, qtype), nil, f.settings.Load()), at)
	return reply
}

func TestAnswersAreSharedUntilTheyChange(t *testing.T) {
	w := newWorld(t, "dc1")
	w["dc1"].register(t, instance("n1", "10.0.0.1", "web", 80))
	calls := asked(w)
	f := serve(t, w["dc1"], nil)
	now := time.Now()
	const name = "web.service.consul."
	one := name + " 0 IN A 10.0.0.1"
	for range 3 {
		expect(t, f.ask(name, dns.TypeA, now), dns.RcodeSuccess, one)
	}
	if got := calls.Load(); got != 1 {
		t.Errorf("three questions were %d calls", got)
	}
	w["dc1"].register(t, instance("n2", "10.0.0.2", "other", 80))
	calls.Store(0)
	expect(t, f.ask(name, dns.TypeA, now), dns.RcodeSuccess, one)
	if got := calls.Load(); got != 0 {
		t.Errorf("another service's change made %d calls", got)
	}
	w["dc1"].register(t, instance("n2", "10.0.0.2", "web", 80))
	expect(t, f.ask(name, dns.TypeA, now), dns.RcodeSuccess, one, name+" 0 IN A 10.0.0.2")
	calls.Store(0)
	f.ask(name, dns.TypeA, now.Add(memoFor-1))
	f.ask(name, dns.TypeA, now.Add(memoFor))
	if got := calls.Load(); got != 1 {
		t.Errorf("an answer that was old made %d calls", got)
	}
}

func TestAnswersThatAreNotShared(t *testing.T) {
	w := newWorld(t, "dc1", "dc2")
	for _, dc := range w {
		dc.register(t, instance("n1", "10.0.0.1", "web", 80), instance("n2", "web.service.dc2.consul", "alias", 80))
	}
	calls := asked(w)
	for what, c := range map[string]struct {
		name   string
		change func(*Config)
	}{
		"another datacenter's":     {"web.service.dc2.consul.", nil},
		"one that leads there":     {"alias.service.consul.", nil},
		"what must be proven":      {"web.service.consul.", func(c *Config) { c.Settings.AllowStale = false }},
		"what must be quite fresh": {"web.service.consul.", func(c *Config) { c.Settings.MaxStale = time.Millisecond }},
		"what does not exist":      {"nosuch.service.consul.", nil},
	} {
		f := serve(t, w["dc1"], c.change)
		now := time.Now()
		f.ask(c.name, dns.TypeA, now)
		first := calls.Swap(0)
		f.ask(c.name, dns.TypeA, now)
		if again := calls.Swap(0); first == 0 || again != first {
			t.Errorf("%s: the first question was %d calls, the second %d", what, first, again)
		}
	}
}

func TestSettingsReachAnswersAtOnce(t *testing.T) {
	w := newWorld(t, "dc1")
	w["dc1"].register(t, instance("n1", "10.0.0.1", "web", 80))
	f := serve(t, w["dc1"], nil)
	now := time.Now()
	expect(t, f.ask("web.service.consul.", dns.TypeA, now), dns.RcodeSuccess, "web.service.consul. 0 IN A 10.0.0.1")
	settings := *f.settings.Load()
	settings.ServiceTTL = map[string]time.Duration{"*": time.Minute}
	f.Apply(settings)
	expect(t, f.ask("web.service.consul.", dns.TypeA, now), dns.RcodeSuccess, "web.service.consul. 60 IN A 10.0.0.1")
}

func TestTheMemoIsBounded(t *testing.T) {
	m := newMemo()
	for i := range 3 * memoMax {
		name := make([]byte, 4)
		name[0], name[1], name[2], name[3] = byte(i), byte(i>>8), byte(i>>16), '.'
		r := newRequest(question(string(name), dns.TypeA), nil, &Settings{})
		r.settings.AllowStale, r.settings.MaxStale = true, time.Hour
		r.trace.watch.Add(make(chan struct{}))
		m.put(r, kindService, &answer{records: make([]record, 1)}, time.Now())
		if len(m.kept) == 0 || len(m.kept) > memoMax {
			t.Fatalf("%d answers are kept", len(m.kept))
		}
	}
}
