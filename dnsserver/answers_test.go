package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/query"
	"github.com/hanse-project/hanse/rpc"
)

// question is a message that asks for a name.
func question(name string, qtype uint16) *dns.Msg { return new(dns.Msg).SetQuestion(name, qtype) }

// look asks over UDP, with room for everything.
func (f *face) look(t testing.TB, name string, qtype uint16) *dns.Msg {
	t.Helper()
	return f.exchange(t, "udp", question(name, qtype).SetEdns0(4096, false))
}

// section shows records, sorted, without tabs.
func section(rrs []dns.RR) string {
	lines := []string{}
	for _, rr := range rrs {
		if rr.Header().Rrtype != dns.TypeOPT {
			lines = append(lines, strings.ReplaceAll(rr.String(), "\t", " "))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// expect compares an answer section, and the rcode.
func expect(t testing.TB, reply *dns.Msg, rcode int, lines ...string) {
	t.Helper()
	slices.Sort(lines)
	if got, want := section(reply.Answer), strings.Join(lines, "\n"); got != want || reply.Rcode != rcode {
		t.Errorf("%s: %s\n got %s\nwant %s\n%s", reply.Question[0].Name, dns.RcodeToString[reply.Rcode], got, dns.RcodeToString[rcode], want)
	}
}

func instance(node, address, service string, port int) *catalog.RegisterRequest {
	return &catalog.RegisterRequest{Node: node, Address: address, Service: &catalog.NodeService{ID: service, Service: service, Port: port}}
}

func TestInstancesAtOneAddressAreOneAnswer(t *testing.T) {
	w := newWorld(t, "dc1")
	for i, port := range []int{80, 81} {
		w["dc1"].register(t, &catalog.RegisterRequest{Node: "n", Address: "10.0.0.1",
			Service: &catalog.NodeService{ID: fmt.Sprint("web-", i), Service: "web", Port: port}})
	}
	f := serve(t, w["dc1"], nil)
	expect(t, f.look(t, "web.service.consul.", dns.TypeA), dns.RcodeSuccess, "web.service.consul. 0 IN A 10.0.0.1")
	expect(t, f.look(t, "web.service.consul.", dns.TypeSRV), dns.RcodeSuccess,
		"web.service.consul. 0 IN SRV 1 1 80 n.node.dc1.consul.", "web.service.consul. 0 IN SRV 1 1 81 n.node.dc1.consul.")
}

func TestAnswersAreShuffled(t *testing.T) {
	w := newWorld(t, "dc1")
	for i := range 10 {
		w["dc1"].register(t, instance(fmt.Sprint("n", i), fmt.Sprint("10.0.0.", i), "web", 80))
	}
	f := serve(t, w["dc1"], nil)
	for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV} {
		first := map[string]bool{}
		for n := 0; len(first) < 10; n++ {
			if n == 5000 {
				t.Fatalf("of ten instances %d were ever first for %s", len(first), dns.TypeToString[qtype])
			}
			_, data, _ := strings.Cut(f.look(t, "web.service.consul.", qtype).Answer[0].String(), "IN")
			first[data] = true
		}
	}
}

func TestWeightsFollowHealth(t *testing.T) {
	w := newWorld(t, "dc1")
	set := func(status string) {
		w["dc1"].register(t, &catalog.RegisterRequest{Node: "n", Address: "10.0.0.1",
			Service: &catalog.NodeService{ID: "web", Service: "web", Port: 80, Weights: &catalog.Weights{Passing: 70000, Warning: 3}},
			Check:   &catalog.HealthCheck{CheckID: "c", Name: "c", ServiceID: "web", Status: status}})
	}
	f := serve(t, w["dc1"], nil)
	for status, want := range map[string][]string{
		catalog.Passing: {"web.service.consul. 0 IN SRV 1 65535 80 n.node.dc1.consul."},
		catalog.Warning: {"web.service.consul. 0 IN SRV 1 3 80 n.node.dc1.consul."},
	} {
		set(status)
		expect(t, f.look(t, "web.service.consul.", dns.TypeSRV), dns.RcodeSuccess, want...)
	}
	set(catalog.Critical)
	expect(t, f.look(t, "web.service.consul.", dns.TypeSRV), dns.RcodeNameError)
}

func TestLifetimesByNameAndBeginning(t *testing.T) {
	w := newWorld(t, "dc1")
	for _, service := range []string{"web", "web-api", "db", "Mail"} {
		w["dc1"].register(t, instance("n", "10.0.0.1", service, 80))
	}
	f := serve(t, w["dc1"], func(c *Config) {
		c.Settings.ServiceTTL = map[string]time.Duration{"web": 5 * time.Second, "web*": 6 * time.Second, "w*": 7 * time.Second, "mail": 8 * time.Second}
		c.Settings.NodeTTL = 9 * time.Second
	})
	for name, want := range map[string]uint32{
		"web.service.consul.": 5, "web-api.service.consul.": 6, "db.service.consul.": 0, "MAIL.service.consul.": 8, "n.node.consul.": 9,
	} {
		if got := f.look(t, name, dns.TypeA).Answer[0].Header().Ttl; got != want {
			t.Errorf("%s lives for %d s, want %d", name, got, want)
		}
	}
}

func TestMetadataAreTexts(t *testing.T) {
	w := newWorld(t, "dc1")
	long := strings.Repeat("x", 300)
	w["dc1"].register(t, &catalog.RegisterRequest{Node: "n", Address: "10.0.0.1", NodeMeta: map[string]string{
		"a=b`c": "1", "RFC1035-x": `quote " and \ slash`, "long": long, "empty": "",
	}})
	f := serve(t, w["dc1"], nil)
	var got []string
	for _, rr := range f.look(t, "n.node.consul.", dns.TypeTXT).Answer {
		got = append(got, unescaped(strings.Join(rr.(*dns.TXT).Txt, "")))
	}
	want := []string{"a`=b``c=1", "empty=", "long=" + long, `quote " and \ slash`}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// unescaped undoes how the library shows bytes.
func unescaped(text string) string {
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(text)
}

func TestAddressesOfSeveralFamiliesAndNetworks(t *testing.T) {
	w := newWorld(t, "dc1", "dc2")
	for _, dc := range []string{"dc1", "dc2"} {
		w[dc].register(t, &catalog.RegisterRequest{
			Node: "n", Address: "10.0.0.1",
			TaggedAddresses: map[string]string{"lan": "10.0.0.1", "lan_ipv6": "2001:db8::1", "wan": "192.0.2.1", "wan_ipv6": "2001:db8::2"},
			Service: &catalog.NodeService{ID: "web", Service: "web", Address: "10.0.0.3", Port: 80,
				TaggedAddresses: map[string]catalog.ServiceAddress{"wan": {Address: "192.0.2.3"}, "lan_ipv6": {Address: "2001:db8::3"}}},
		}, &catalog.RegisterRequest{
			Node: "n", SkipNodeUpdate: true,
			Service: &catalog.NodeService{ID: "api", Service: "api", Port: 80,
				TaggedAddresses: map[string]catalog.ServiceAddress{"wan": {Address: "192.0.2.4", Port: 8080}}},
		})
	}
	plain := serve(t, w["dc1"], nil)
	translating := serve(t, w["dc1"], func(c *Config) { c.TranslateWAN = true })
	for _, c := range []struct {
		f     *face
		name  string
		qtype uint16
		want  string
	}{
		{plain, "n.node.consul.", dns.TypeA, "A 10.0.0.1"},
		{plain, "n.node.consul.", dns.TypeAAAA, "AAAA 2001:db8::1"},
		{plain, "n.node.dc2.consul.", dns.TypeA, "A 10.0.0.1"},
		{plain, "web.service.consul.", dns.TypeAAAA, "AAAA 2001:db8::3"},
		{translating, "n.node.consul.", dns.TypeA, "A 10.0.0.1"},
		{translating, "n.node.dc2.consul.", dns.TypeA, "A 192.0.2.1"},
		{translating, "n.node.dc2.consul.", dns.TypeAAAA, "AAAA 2001:db8::2"},
		{translating, "web.service.dc2.consul.", dns.TypeA, "A 192.0.2.3"},
		{translating, "web.service.consul.", dns.TypeA, "A 10.0.0.3"},
		{translating, "web.service.dc2.consul.", dns.TypeSRV, "SRV 1 1 80 c0000203.addr.dc2.consul."},
		{plain, "api.service.dc2.consul.", dns.TypeSRV, "SRV 1 1 80 n.node.dc2.consul."},
		{translating, "api.service.consul.", dns.TypeSRV, "SRV 1 1 80 n.node.dc1.consul."},
		{translating, "api.service.dc2.consul.", dns.TypeSRV, "SRV 1 1 8080 c0000204.addr.dc2.consul."},
		{translating, "api.service.dc2.consul.", dns.TypeA, "A 192.0.2.4"},
	} {
		expect(t, c.f.look(t, c.name, c.qtype), dns.RcodeSuccess, c.name+" 0 IN "+c.want)
	}
}

func TestNamesThatDNSCannotHold(t *testing.T) {
	w := newWorld(t, "dc1")
	long := strings.Repeat("n", 64)
	w["dc1"].register(t, instance(long, "10.0.0.1", "web", 80), instance("m", "not an address..", "odd", 80))
	f := serve(t, w["dc1"], nil)
	expect(t, f.look(t, "web.service.consul.", dns.TypeSRV), dns.RcodeSuccess, "web.service.consul. 0 IN SRV 1 1 80 0a000001.addr.dc1.consul.")
	expect(t, f.look(t, "1.0.0.10.in-addr.arpa.", dns.TypePTR), dns.RcodeSuccess, "1.0.0.10.in-addr.arpa. 0 IN PTR web.service.dc1.consul.")
	expect(t, f.look(t, "odd.service.consul.", dns.TypeA), dns.RcodeSuccess)
	expect(t, f.look(t, "odd.service.consul.", dns.TypeSRV), dns.RcodeSuccess)
	expect(t, f.look(t, "consul.", dns.TypeNS), dns.RcodeSuccess)
}

// The catalog takes any text for an address. What is no name of a host is not answered.
func TestAddressesThatAreNone(t *testing.T) {
	w := newWorld(t, "dc1")
	for i, address := range []string{"not an address", "10.0.0.1:80", "http://host", "a..b", ".", "\"", "\x01"} {
		w["dc1"].register(t, instance(fmt.Sprint("n", i), address, "web", 80))
	}
	w["dc1"].register(t, instance("m", "10.0.0.1", "web", 80), instance("o", "my_host.example.COM", "web", 80))
	f := serve(t, w["dc1"], nil)
	name := "web.service.consul."
	expect(t, f.look(t, name, dns.TypeA), dns.RcodeSuccess, name+" 0 IN A 10.0.0.1", name+" 0 IN CNAME my_host.example.COM.")
	expect(t, f.look(t, name, dns.TypeSRV), dns.RcodeSuccess, name+" 0 IN SRV 1 1 80 m.node.dc1.consul.", name+" 0 IN SRV 1 1 80 my_host.example.COM.")
	expect(t, f.look(t, "n0.node.consul.", dns.TypeA), dns.RcodeSuccess)
}

func TestWhatATokenMayNotSeeIsNotThere(t *testing.T) {
	w := newWorld(t, "dc1")
	w["dc1"].register(t, instance("public", "10.0.0.1", "web", 80), instance("secret", "10.0.0.2", "web", 80), instance("public", "10.0.0.1", "secret", 80))
	f := serve(t, w["dc1"], nil)
	name := "web.service.consul."
	both := []string{name + " 0 IN A 10.0.0.1", name + " 0 IN A 10.0.0.2"}
	expect(t, f.look(t, name, dns.TypeA), dns.RcodeSuccess, both...)
	w["dc1"].allow(noSecrets{})
	w["dc1"].register(t, instance("another", "10.0.0.3", "web", 80)) // the answer before may be shared until now
	limited := []string{both[0], name + " 0 IN A 10.0.0.3"}
	expect(t, f.look(t, name, dns.TypeA), dns.RcodeSuccess, limited...)
	expect(t, f.look(t, "secret.service.consul.", dns.TypeA), dns.RcodeNameError)
	expect(t, f.look(t, "secret.node.consul.", dns.TypeA), dns.RcodeNameError)
	expect(t, f.look(t, "2.0.0.10.in-addr.arpa.", dns.TypePTR), dns.RcodeNameError)
	// What was left out of an answer is shared with nobody: it is there once it may be seen.
	w["dc1"].allow(rpc.AllowAll{})
	expect(t, f.look(t, name, dns.TypeA), dns.RcodeSuccess, append(both, limited[1])...)
}

// noSecrets hides what is called secret.
type noSecrets struct{ rpc.AllowAll }

func (noSecrets) Allow(_ rpc.Resource, _ rpc.Access, name string) bool { return name != "secret" }

func TestTheTokenOfTheAgentIsSent(t *testing.T) {
	w := newWorld(t, "dc1")
	sent := make(chan string, 1)
	w["dc1"].before(func(_ context.Context, _ string, _ *rpc.Info, req rpc.Request) error {
		sent <- *req.Envelope().Token
		return nil
	})
	f := serve(t, w["dc1"], func(c *Config) { c.Token = func() string { return "for DNS" } })
	f.look(t, "web.service.consul.", dns.TypeA)
	if got := <-sent; got != "for DNS" {
		t.Errorf("the token %q was sent", got)
	}
}

func TestAPreparedQueryIsToldWhoAsks(t *testing.T) {
	w := newWorld(t, "dc1")
	w["dc1"].register(t, instance("n", "10.0.0.1", "web", 80))
	w["dc1"].prepare(t, query.PreparedQuery{Name: "q", Service: query.ServiceQuery{Service: "web"}})
	asked := make(chan *query.ExecuteRequest, 1)
	w["dc1"].before(func(_ context.Context, _ string, _ *rpc.Info, req rpc.Request) error {
		asked <- req.(*query.ExecuteRequest)
		return nil
	})
	f := serve(t, w["dc1"], nil)
	f.look(t, "q.query.consul.", dns.TypeA)
	if req := <-asked; req.Source.Ip != "127.0.0.1" || req.Source.Node != "" || req.Agent.Node != "alpha" || req.Agent.Datacenter != "dc1" {
		t.Errorf("from %+v at %+v", req.Source, req.Agent)
	}
	m := question("q.query.consul.", dns.TypeA).SetEdns0(1232, false)
	opt := m.IsEdns0()
	opt.Option = append(opt.Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(198, 51, 100, 0)})
	reply := f.exchange(t, "udp", m)
	if req := <-asked; req.Source.Ip != "198.51.100.0" {
		t.Errorf("the subnet became %q", req.Source.Ip)
	}
	said := reply.IsEdns0()
	if said == nil || len(said.Option) != 1 || said.Option[0].String() != "198.51.100.0/24/24" {
		t.Errorf("the answer says of the subnet: %v", said)
	}
}

func TestPreparedQueriesThatCannotBeAnswered(t *testing.T) {
	w := newWorld(t, "dc1")
	f := serve(t, w["dc1"], nil)
	w["dc1"].prepare(t, query.PreparedQuery{Name: "none", Service: query.ServiceQuery{Service: "web"}})
	expect(t, f.look(t, "none.query.consul.", dns.TypeA), dns.RcodeNameError)
	expect(t, f.look(t, "other.query.consul.", dns.TypeSRV), dns.RcodeNameError)
}

func TestWhatFailsIsAFailureAndIsCounted(t *testing.T) {
	w := newWorld(t, "dc1")
	for err, rcode := range map[error]int{
		rpc.ErrNoLeader: dns.RcodeServerFailure, rpc.ErrUnreachable: dns.RcodeServerFailure, rpc.ErrPermissionDenied: dns.RcodeServerFailure,
		errors.New("something"): dns.RcodeServerFailure, rpc.Wrap(rpc.ErrNoPath, "dc9"): dns.RcodeNameError,
	} {
		w["dc1"].before(func(context.Context, string, *rpc.Info, rpc.Request) error { return err })
		f := serve(t, w["dc1"], nil)
		for _, name := range []string{"web.service.consul.", "n.node.consul.", "q.query.consul."} {
			expect(t, f.look(t, name, dns.TypeA), rcode)
		}
		counted := float64(0)
		if rcode == dns.RcodeServerFailure {
			counted = 3
		}
		if got := f.failures(t); got != counted {
			t.Errorf("%v: %v failures are counted, want %v", err, got, counted)
		}
	}
}

// failures is how many lookups are counted as failed.
func (f *face) failures(t testing.TB) (sum float64) {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "hanse_dns_failures_total" {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestStaleAnswers(t *testing.T) {
	w := newWorld(t, "dc1")
	w["dc1"].register(t, instance("n", "10.0.0.1", "web", 80))
	aged := &old{server: w["dc1"], age: time.Minute}
	for _, c := range []struct {
		allow bool
		max   time.Duration
		calls string
	}{
		{true, time.Hour, "stale"}, {true, time.Second, "stale proven"}, {true, 0, "stale proven"}, {false, time.Hour, "proven"},
	} {
		aged.take()
		f := serve(t, aged, func(cfg *Config) { cfg.Settings.AllowStale, cfg.Settings.MaxStale = c.allow, c.max })
		expect(t, f.look(t, "web.service.consul.", dns.TypeA), dns.RcodeSuccess, "web.service.consul. 0 IN A 10.0.0.1")
		if got := strings.Join(aged.take(), " "); got != c.calls {
			t.Errorf("allow_stale %v, max_stale %v: calls were %s, want %s", c.allow, c.max, got, c.calls)
		}
	}
}

// old is a server that has not heard from its leader for a while.
type old struct {
	*server
	age time.Duration

	mu    sync.Mutex
	calls []string
}

// take returns which calls there were.
func (o *old) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	calls := o.calls
	o.calls = nil
	return calls
}

func (o *old) Call(ctx context.Context, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	kind := "proven"
	if req.Envelope().Query.AllowStale {
		kind = "stale"
	}
	o.mu.Lock()
	o.calls = append(o.calls, kind)
	o.mu.Unlock()
	rep, err := o.server.Call(ctx, m, req, newReply)
	if r, ok := rep.(rpc.Reply); ok {
		r.QueryMeta().LastContact = o.age
	}
	return rep, err
}

// A datacenter that does not answer holds up neither others nor what comes after it on
// the same connection, and ends as a failure.
func TestASlowDatacenterHoldsUpNobody(t *testing.T) {
	w := newWorld(t, "dc1", "dc2")
	w["dc1"].register(t, instance("n", "10.0.0.1", "web", 80))
	hanging, overtaken := make(chan struct{}, 1), make(chan struct{})
	overtake := sync.OnceFunc(func() { close(overtaken) })
	w["dc1"].before(func(ctx context.Context, dc string, _ *rpc.Info, _ rpc.Request) error {
		if dc != "dc2" {
			return nil
		}
		hanging <- struct{}{}
		<-ctx.Done()
		<-overtaken // however late the quick answer is read
		return context.Cause(ctx)
	})
	f := serve(t, w["dc1"], nil)
	conn, err := dns.DialTimeout("tcp", f.tcp, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	defer overtake() // in any case
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	slow, quick := question("web.service.dc2.consul.", dns.TypeA), question("web.service.consul.", dns.TypeA)
	if err := conn.WriteMsg(slow); err != nil {
		t.Fatal(err)
	}
	<-hanging
	expect(t, f.look(t, "web.service.consul.", dns.TypeA), dns.RcodeSuccess, "web.service.consul. 0 IN A 10.0.0.1")
	if err := conn.WriteMsg(quick); err != nil {
		t.Fatal(err)
	}
	for _, want := range []*dns.Msg{quick, slow} {
		reply, err := conn.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		if reply.Id != want.Id {
			t.Fatalf("%s was answered out of its turn", reply.Question[0].Name)
		}
		overtake()
		if want == slow {
			expect(t, reply, dns.RcodeServerFailure)
		}
	}
}
