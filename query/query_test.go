package query

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// federation is datacenters that reach each other, but for those that are down.
type federation struct {
	dcs  map[string]*dc
	down map[string]bool
	// silent is one that takes calls and never answers.
	silent string
	// asked are the datacenters that were failed over to.
	asked []string
}

// dc is the queries of one datacenter, and the catalog and the sessions that they live by.
type dc struct {
	testing.TB
	*store.Store
	*Endpoint
	log     *storetest.Log
	methods map[string]rpc.Handler
}

func newFederation(t testing.TB, names ...string) *federation {
	f := &federation{dcs: map[string]*dc{}, down: map[string]bool{}}
	for _, name := range names {
		d := &dc{TB: t, methods: map[string]rpc.Handler{}}
		d.Store, d.log = storetest.New(t, catalog.Module(name), session.Module(), Module())
		services := catalog.NewEndpoint(d.Store, d.log, name)
		d.Endpoint = NewEndpoint(Config{
			Store: d.Store, Log: d.log, Datacenter: name, Catalog: services, Resolver: rpc.AllowAll{}, Logger: hclog.NewNullLogger(),
			Datacenters: func() []string { return names },
			Remote:      func(dc string) rpc.Caller { return way{f, dc} },
		})
		sessions := session.NewEndpoint(d.Store, d.log, session.NewTimers(d.Store, d.log, hclog.NewNullLogger()))
		for _, h := range slices.Concat(services.Methods(), sessions.Methods(), d.Methods()) {
			d.methods[h.Name] = h
		}
		f.dcs[name] = d
	}
	return f
}

// way leads to a datacenter.
type way struct {
	*federation
	dc string
}

// Call implements rpc.Caller.
func (w way) Call(ctx context.Context, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	w.asked = append(w.asked, w.dc)
	if w.dc == w.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if w.down[w.dc] {
		return nil, rpc.ErrUnreachable
	}
	return w.dcs[w.dc].Call(ctx, m, req, newReply)
}

// Call implements rpc.Caller.
func (d *dc) Call(ctx context.Context, m *rpc.Info, req rpc.Request, _ func() any) (any, error) {
	return d.methods[m.Name].Serve(ctx, anyone(), req)
}

func anyone() *rpc.Call { return &rpc.Call{Authz: rpc.AllowAll{}} }

// register registers a node n-ID with an instance of a service and the checks of both,
// each given as "id status".
func (d *dc) register(id string, s catalog.NodeService, checks ...string) {
	d.Helper()
	s.ID = id
	req := &catalog.RegisterRequest{Node: "n-" + id, Address: fmt.Sprintf("10.0.0.%d", id[0]), NodeMeta: map[string]string{"rack": "of " + id}, Service: &s}
	for _, c := range checks {
		name, status, _ := strings.Cut(c, " ")
		req.Checks = append(req.Checks, &catalog.HealthCheck{Node: req.Node, CheckID: name, Name: name, Status: status, ServiceID: id})
	}
	if _, err := catalog.Register.Call(d.Context(), d, req); err != nil {
		d.Fatal(err)
	}
}

func (d *dc) prepare(q PreparedQuery) string {
	d.Helper()
	id, err := d.tryPrepare(q)
	if err != nil {
		d.Fatal(err)
	}
	return id
}

func (d *dc) tryPrepare(q PreparedQuery) (string, error) {
	id, err := Apply.Call(d.Context(), d, &ApplyRequest{Op: Create, Query: &q})
	if err != nil {
		return "", err
	}
	return *id, nil
}

// run executes a query, and returns the answer and the IDs of its instances in order.
func (d *dc) run(req ExecuteRequest) (*ExecuteReply, string) {
	d.Helper()
	rep, err := Execute.Call(d.Context(), d, &req)
	if err != nil {
		d.Fatal(err)
	}
	var ids []string
	for _, n := range rep.Nodes {
		ids = append(ids, n.Service.ID)
	}
	slices.Sort(ids)
	return rep, strings.Join(ids, " ")
}

func TestAQueryFindsWhatItAsksFor(t *testing.T) {
	d := newFederation(t, "dc1").dcs["dc1"]
	d.register("good", catalog.NodeService{Service: "web", Tags: catalog.Tags{"v1", "Blue"}, Meta: map[string]string{"version": "1"}}, "good-http passing")
	d.register("slow", catalog.NodeService{Service: "web", Tags: catalog.Tags{"v1"}}, "slow-http warning")
	d.register("bad", catalog.NodeService{Service: "web", Tags: catalog.Tags{"v2"}}, "bad-http critical", "other passing")
	d.register("mesh", catalog.NodeService{Service: "web-proxy", Kind: catalog.KindConnectProxy, Proxy: catalog.Proxy{DestinationServiceName: "web"}, Port: 1})
	for name, c := range map[string]struct {
		query ServiceQuery
		want  string
	}{
		"all that are not critical": {ServiceQuery{}, "good slow"},
		"passing":                   {ServiceQuery{OnlyPassing: true}, "good"},
		"a check that is ignored":   {ServiceQuery{IgnoreCheckIDs: []string{"bad-http"}}, "bad good slow"},
		"a tag in any case":         {ServiceQuery{Tags: []string{"blue"}}, "good"},
		"two tags":                  {ServiceQuery{Tags: []string{"v1", "Blue"}}, "good"},
		"not a tag":                 {ServiceQuery{Tags: []string{"v1", "!blue"}}, "slow"},
		"meta of the node":          {ServiceQuery{NodeMeta: map[string]string{"rack": "of slow"}}, "slow"},
		"meta of the instance":      {ServiceQuery{ServiceMeta: map[string]string{"version": "1"}}, "good"},
		"meta that nobody has":      {ServiceQuery{ServiceMeta: map[string]string{"version": ""}}, ""},
		"of the mesh":               {ServiceQuery{Connect: true}, "mesh"},
	} {
		c.query.Service = "web"
		id := d.prepare(PreparedQuery{Service: c.query, DNS: DNSOptions{TTL: "7s"}})
		rep, got := d.run(ExecuteRequest{QueryIDOrName: id})
		if got != c.want || rep.Service != "web" || rep.Datacenter != "dc1" || rep.DNS.TTL != "7s" || rep.Failovers != 0 {
			t.Errorf("%s: %q, want %q in %+v", name, got, c.want, rep)
		}
	}
	d.prepare(PreparedQuery{Name: "web", Service: ServiceQuery{Service: "web"}})
	if _, got := d.run(ExecuteRequest{QueryIDOrName: "WEB", Connect: true}); got != "mesh" {
		t.Errorf("with connect: %q", got)
	}
	if rep, _ := d.run(ExecuteRequest{QueryIDOrName: "web", Limit: 1}); len(rep.Nodes) != 1 {
		t.Errorf("with a limit: %d instances", len(rep.Nodes))
	}
}

func TestTheNearestComeFirst(t *testing.T) {
	d := newFederation(t, "dc1").dcs["dc1"]
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		d.register(id, catalog.NodeService{Service: "web"})
	}
	// They stand in line; nobody knows where f is.
	d.cfg.Catalog.MeasureBy(func(_ *store.View, from string) func(string) float64 {
		return func(node string) float64 {
			switch {
			case from == node:
				return 0
			case strings.HasSuffix(from, "f"), strings.HasSuffix(node, "f"):
				return math.Inf(1)
			}
			return math.Abs(float64(from[2]) - float64(node[2]) + 0.1)
		}
	})
	here := func(node, ip string) catalog.QuerySource {
		return catalog.QuerySource{Datacenter: "dc1", Node: node, Ip: ip}
	}
	for name, c := range map[string]struct {
		near          string
		agent, source catalog.QuerySource
		want          string
	}{
		"of the agent":              {NearAgent, here("n-e", ""), here("", ""), "edcbaf"},
		"of the question":           {NearAgent, here("n-e", ""), here("n-b", ""), "bcadef"},
		"of the query":              {"n-a", here("n-e", ""), here("", ""), "abcdef"},
		"agent instead of a node":   {"n-a", here("n-e", ""), here(NearAgent, ""), "edcbaf"},
		"of an address":             {catalog.NearIP, here("n-e", ""), here("", "10.0.0.98"), "bcadef"},
		"of the question's address": {"", here("n-e", ""), here(catalog.NearIP, "10.0.0.98"), "bcadef"},
	} {
		d.prepare(PreparedQuery{Name: name, Service: ServiceQuery{Service: "web", Near: c.near}})
		for range 5 { // without an order of their own they would be in another one each time
			rep, _ := d.run(ExecuteRequest{QueryIDOrName: name, Agent: c.agent, Source: c.source})
			if got := order(rep); got != c.want {
				t.Fatalf("%s: %s, want %s", name, got, c.want)
			}
			if rep, _ := d.run(ExecuteRequest{QueryIDOrName: name, Agent: c.agent, Source: c.source, Limit: 1}); rep.Nodes[0].Service.ID != c.want[:1] {
				t.Fatalf("%s: the one that is wanted is %s", name, rep.Nodes[0].Service.ID)
			}
		}
	}
	orders := map[string]bool{}
	for range 100 {
		rep, _ := d.run(ExecuteRequest{QueryIDOrName: "of the agent", Agent: catalog.QuerySource{Datacenter: "dc2", Node: "n-e"}})
		orders[order(rep)] = true
	}
	if len(orders) < 10 {
		t.Errorf("an agent of another datacenter: %d orders in 100 answers, which are random", len(orders))
	}
}

// order is how the instances of an answer follow each other.
func order(rep *ExecuteReply) string {
	ids := ""
	for _, n := range rep.Nodes {
		ids += n.Service.ID
	}
	return ids
}

func TestWhereAQueryFailsOverTo(t *testing.T) {
	f := newFederation(t, "dc1", "dc2", "dc3", "dc4")
	for _, name := range []string{"dc3", "dc4"} {
		f.dcs[name].register("in-"+name, catalog.NodeService{Service: "web"})
	}
	f.dcs["dc1"].register("here", catalog.NodeService{Service: "local"})
	for name, c := range map[string]struct {
		service  string
		failover Failover
		down     string
		asked    string
		found    string
	}{
		"not at all":                      {"web", Failover{}, "", "", ""},
		"not when there is one here":      {"local", Failover{NearestN: 3}, "", "", "here"},
		"to the nearest, one after other": {"web", Failover{NearestN: 3}, "", "dc2 dc3", "in-dc3"},
		"to no more than N":               {"web", Failover{NearestN: 1}, "", "dc2", ""},
		"to more than there are":          {"web", Failover{NearestN: 9}, "dc3", "dc2 dc3 dc4", "in-dc4"},
		"to those named":                  {"web", Failover{Datacenters: []string{"dc4", "dc3"}}, "", "dc4", "in-dc4"},
		"to each once":                    {"web", Failover{NearestN: 1, Datacenters: []string{"dc2", "dc2", "dc1", "dc3"}}, "", "dc2 dc3", "in-dc3"},
		"past one that nobody knows":      {"web", Failover{Datacenters: []string{"dc9", "dc3"}}, "", "dc3", "in-dc3"},
		"past one that is cut off":        {"web", Failover{Datacenters: []string{"dc4", "dc3"}}, "dc4", "dc4 dc3", "in-dc3"},
		"to targets":                      {"web", Failover{Targets: []Target{{Datacenter: "dc4"}}}, "", "dc4", "in-dc4"},
		"without asking here":             {"local", Failover{SkipLocalDatacenter: true, NearestN: 1}, "", "dc2", ""},
	} {
		f.asked, f.down = nil, map[string]bool{c.down: true}
		id := f.dcs["dc1"].prepare(PreparedQuery{Service: ServiceQuery{Service: c.service, Failover: c.failover}, DNS: DNSOptions{TTL: "5s"}})
		rep, got := f.dcs["dc1"].run(ExecuteRequest{QueryIDOrName: id, Limit: 5})
		where := "dc1"
		if in, far := strings.CutPrefix(c.found, "in-"); far {
			where = in
		}
		if strings.Join(f.asked, " ") != c.asked || got != c.found || rep.Failovers != len(f.asked) || rep.Datacenter != where ||
			rep.Service != c.service || rep.DNS.TTL != "5s" {
			t.Errorf("%s: asked %v, found %q in %+v", name, f.asked, got, rep)
		}
	}
}

func TestADatacenterThatDoesNotAnswerIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFederation(t, "dc1", "dc2", "dc3")
		f.dcs["dc3"].register("far", catalog.NodeService{Service: "web"})
		f.silent = "dc2"
		id := f.dcs["dc1"].prepare(PreparedQuery{Service: ServiceQuery{Service: "web", Failover: Failover{NearestN: 2}}})
		if rep, got := f.dcs["dc1"].run(ExecuteRequest{QueryIDOrName: id}); got != "far" || rep.Failovers != 2 {
			t.Errorf("%q in %+v", got, rep)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience/2)
		defer cancel()
		f.asked = nil
		if _, err := Execute.Call(ctx, f.dcs["dc1"], &ExecuteRequest{QueryIDOrName: id}); !errors.Is(err, context.DeadlineExceeded) || len(f.asked) != 1 {
			t.Errorf("the caller has gone, and %v was asked: %v", f.asked, err)
		}
	})
}

func TestTemplates(t *testing.T) {
	d := newFederation(t, "dc1").dcs["dc1"]
	prefix := Template{Type: NamePrefixMatch}
	d.prepare(PreparedQuery{Name: "", Template: prefix, Service: ServiceQuery{Service: "any-${name.full}"}})
	d.prepare(PreparedQuery{Name: "geo-", Template: prefix, Service: ServiceQuery{Service: "${ name.suffix } of ${name.prefix}$${x}"}})
	d.prepare(PreparedQuery{Name: "geo-exact", Service: ServiceQuery{Service: "${name.full}"}})
	d.prepare(PreparedQuery{Name: "geo-db-", Template: Template{Type: NamePrefixMatch, Regexp: `^geo-db-(.*?)-([^\-]+?)$`, RemoveEmptyTags: true},
		Service: ServiceQuery{
			Service: "mysql-${match(1)}", Tags: []string{"${match(2)}", "${match(7)}"}, Near: "${match(0)}",
			NodeMeta: map[string]string{"k": "${match(2)}"}, Failover: Failover{Datacenters: []string{"dc-${match(2)}"}},
		}})
	for name, want := range map[string]string{
		"other":                  "any-other",
		"geo-web":                "web of geo-${x}",
		"GEO-Web":                "Web of geo-${x}",
		"geo-exact":              "${name.full}",
		"geo-db-customer-master": "mysql-customer",
		"geo-db-nothing":         "mysql-",
	} {
		rep, err := Explain.Call(t.Context(), d, &ExecuteRequest{QueryIDOrName: name})
		if err != nil || rep.Query.Service.Service != want {
			t.Errorf("%s: %q, %v, want %q", name, rep.Query.Service.Service, err, want)
		}
	}
	rep, err := Explain.Call(t.Context(), d, &ExecuteRequest{QueryIDOrName: "geo-db-customer-master"})
	if err != nil {
		t.Fatal(err)
	}
	s := rep.Query.Service
	if !slices.Equal(s.Tags, []string{"master"}) || s.Near != "geo-db-customer-master" || s.Failover.Datacenters[0] != "dc-master" ||
		!maps.Equal(s.NodeMeta, map[string]string{"k": "master"}) {
		t.Errorf("filled in: %+v", s)
	}
	again, err := Explain.Call(t.Context(), d, &ExecuteRequest{QueryIDOrName: "geo-db-orders-slave"})
	if err != nil || again.Query.Service.NodeMeta["k"] != "slave" || again.Query.Service.Tags[0] != "slave" {
		t.Errorf("the template was changed by its use: %+v, %v", again, err)
	}
}

func TestWhatIsWrongWithAQueryIsSaid(t *testing.T) {
	d := newFederation(t, "dc1").dcs["dc1"]
	web := ServiceQuery{Service: "web"}
	template := func(regexp, service string) PreparedQuery {
		return PreparedQuery{Name: "x-", Template: Template{Type: NamePrefixMatch, Regexp: regexp}, Service: ServiceQuery{Service: service}}
	}
	d.prepare(PreparedQuery{Name: "Taken", Service: web})
	for want, q := range map[string]PreparedQuery{
		"Must provide a Service name to query":        {Name: "a"},
		"Bad NearestN '-1'":                           {Service: ServiceQuery{Service: "web", Failover: Failover{NearestN: -1}}},
		"Targets cannot be":                           {Service: ServiceQuery{Service: "web", Failover: Failover{NearestN: 1, Targets: []Target{{Datacenter: "dc2"}}}}},
		"a failover target needs":                     {Service: ServiceQuery{Service: "web", Failover: Failover{Targets: []Target{{Peer: "p"}}}}},
		"there are no cluster peers":                  {Service: ServiceQuery{Service: "web", Peer: "p"}},
		"there are no sameness groups":                {Service: ServiceQuery{Service: "web", SamenessGroup: "g"}},
		"Bad DNS TTL 'soon'":                          {Service: web, DNS: DNSOptions{TTL: "soon"}},
		"DNS TTL '-1s', must be >=0":                  {Service: web, DNS: DNSOptions{TTL: "-1s"}},
		"Token is \"<hidden>\"":                       {Service: web, Token: "<hidden>"},
		"unknown Template.Type \"glob\"":              {Service: web, Template: Template{Type: "glob"}},
		"Template has no Type":                        {Service: web, Template: Template{Regexp: "a"}},
		"bad Template.Regexp: error parsing":          template("(", "web"),
		"the limit is 4096":                           template(strings.Repeat("a", 4097), "web"),
		"${nope} is unknown":                          template("", "${nope}"),
		"lacks the }":                                 template("", "${name.full"),
		"a whole number from 0 on":                    template("", "${match(-1)}"),
		"name 'taken' aliases an existing query name": {Name: "taken", Service: web},
		"invalid session 'nobody'":                    {Session: "nobody", Service: web},
		"ID must be empty when creating":              {ID: "00000000-0000-4000-8000-00000000dead", Service: web},
	} {
		if id, err := d.tryPrepare(q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s %v, want %q", id, err, want)
		}
	}
	if rep, err := List.Call(t.Context(), d, &catalog.DCSpecificRequest{}); err != nil || len(rep.Queries) != 1 {
		t.Errorf("%+v, %v: what was refused is there", rep, err)
	}
}

func TestAQueryIsReplacedAndDeleted(t *testing.T) {
	d := newFederation(t, "dc1").dcs["dc1"]
	id := d.prepare(PreparedQuery{Name: "one", Service: ServiceQuery{Service: "web"}})
	d.prepare(PreparedQuery{Name: "two", Service: ServiceQuery{Service: "web"}})
	change := func(op Op, q PreparedQuery) error {
		_, err := Apply.Call(t.Context(), d, &ApplyRequest{Op: op, Query: &q})
		return err
	}
	get := func() (*PreparedQuery, error) {
		rep, err := Get.Call(t.Context(), d, &SpecificRequest{QueryID: id})
		if err != nil {
			return nil, err
		}
		return rep.Queries[0], nil
	}
	before, err := get()
	if err != nil {
		t.Fatal(err)
	}
	if err := change(Update, PreparedQuery{ID: id, Name: "two", Service: ServiceQuery{Service: "api"}}); err == nil {
		t.Error("two queries have one name")
	}
	if err := change(Update, PreparedQuery{ID: id, Name: "ONE", Service: ServiceQuery{Service: "api"}}); err != nil {
		t.Error(err)
	}
	after, err := get()
	if err != nil || after.Service.Service != "api" || after.CreateIndex != before.CreateIndex || after.ModifyIndex <= before.ModifyIndex {
		t.Errorf("%+v, %v after %+v", after, err, before)
	}
	if err := change(Delete, PreparedQuery{ID: strings.ToUpper(id)}); err != nil {
		t.Error(err)
	}
	if _, err := get(); err == nil || err.Error() != NotFound {
		t.Errorf("after the delete: %v", err)
	}
	for _, op := range []Op{Update, Delete} {
		if err := change(op, PreparedQuery{ID: id, Service: ServiceQuery{Service: "web"}}); err == nil || !strings.HasPrefix(err.Error(), "Cannot modify non-existent prepared query: '") {
			t.Errorf("%s of what is gone: %v", op, err)
		}
	}
	if err := change("rename", PreparedQuery{ID: d.prepare(PreparedQuery{Service: ServiceQuery{Service: "x"}})}); err == nil {
		t.Error("an unknown operation was taken")
	}
	if _, err := Execute.Call(t.Context(), d, &ExecuteRequest{QueryIDOrName: "one"}); err == nil || err.Error() != NotFound {
		t.Errorf("execute: %v", err)
	}
}

func TestAQueryEndsWithItsSession(t *testing.T) {
	d := newFederation(t, "dc1").dcs["dc1"]
	d.register("web", catalog.NodeService{Service: "web"})
	made, err := session.Apply.Call(t.Context(), d, &session.ApplyRequest{Op: session.Create, Session: session.Session{Node: "n-web"}})
	if err != nil {
		t.Fatal(err)
	}
	d.prepare(PreparedQuery{Name: "bound", Session: *made, Service: ServiceQuery{Service: "web"}})
	d.prepare(PreparedQuery{Name: "free", Service: ServiceQuery{Service: "web"}})
	if _, err := catalog.Deregister.Call(t.Context(), d, &catalog.DeregisterRequest{Node: "n-web"}); err != nil {
		t.Fatal(err)
	}
	rep, err := List.Call(t.Context(), d, &catalog.DCSpecificRequest{})
	if err != nil || len(rep.Queries) != 1 || rep.Queries[0].Name != "free" {
		t.Errorf("%+v, %v", rep, err)
	}
}

// reader may read queries, and not see their tokens.
type reader struct{ rpc.AllowAll }

func (reader) Allow(r rpc.Resource, access rpc.Access, _ string) bool {
	return r != rpc.ResourceACL && access == rpc.AccessRead
}

func TestTokensAndUnnamedQueriesAreHidden(t *testing.T) {
	d := newFederation(t, "dc1").dcs["dc1"]
	id := d.prepare(PreparedQuery{Name: "named", Token: "secret", Service: ServiceQuery{Service: "web"}})
	unnamed := d.prepare(PreparedQuery{Token: "secret", Service: ServiceQuery{Service: "web"}})
	call := func() *rpc.Call { return &rpc.Call{Authz: reader{}} }
	listed, err := d.list(t.Context(), call(), &catalog.DCSpecificRequest{})
	if err != nil || len(listed.Queries) != 1 || listed.Queries[0].Token != "<hidden>" {
		t.Errorf("%+v, %v", listed, err)
	}
	for _, id := range []string{id, unnamed} {
		rep, err := d.get(t.Context(), call(), &SpecificRequest{QueryID: id})
		if err != nil || rep.Queries[0].Token != "<hidden>" {
			t.Errorf("%+v, %v", rep, err)
		}
		if rep, err = d.get(t.Context(), anyone(), &SpecificRequest{QueryID: id}); err != nil || rep.Queries[0].Token != "secret" {
			t.Errorf("%+v, %v", rep, err)
		}
	}
	_, err = d.apply(t.Context(), call(), &ApplyRequest{Op: Delete, Query: &PreparedQuery{ID: id}})
	if !errors.Is(err, rpc.ErrPermissionDenied) {
		t.Errorf("delete: %v", err)
	}
}
