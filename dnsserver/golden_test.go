package dnsserver

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/query"
	"github.com/hanse-project/hanse/test/golden"
)

// patience is how long an answer may take on a busy machine.
const patience = 20 * time.Second

// recordedWorld is what the recordings asked about.
func recordedWorld(t testing.TB) world {
	t.Helper()
	w := newWorld(t, "dc1", "dc2")
	service := func(node string, s catalog.NodeService, checks ...*catalog.HealthCheck) *catalog.RegisterRequest {
		s.ID = strings.ToLower(s.Service) + "-" + node
		for i, c := range checks {
			c.Node, c.ServiceID, c.CheckID = node, s.ID, fmt.Sprint(s.ID, "-", i)
		}
		return &catalog.RegisterRequest{Node: node, SkipNodeUpdate: true, Service: &s, Checks: checks}
	}
	is := func(status string) *catalog.HealthCheck { return &catalog.HealthCheck{Name: "check", Status: status} }
	version := map[string]string{"consul-network-segment": "", "consul-version": "1.21.4"}
	dc1 := []*catalog.RegisterRequest{
		{Node: "alpha", Address: "127.31.1.1", NodeMeta: version, Service: &catalog.NodeService{ID: "consul", Service: "consul", Port: 27300}},
		{Node: "gamma", Address: "127.31.1.9", NodeMeta: map[string]string{"rack": "r9", "consul-network-segment": "", "consul-version": "1.21.4"}},
		{Node: "ext1", Address: "10.1.0.11", NodeMeta: map[string]string{"os": "linux", "rack": "r1", "rfc1035-note": "txt value"}},
		{Node: "ext2", Address: "10.1.0.12", NodeMeta: map[string]string{"rack": "r2"}},
		{Node: "ext3", Address: "10.1.0.13"},
		{Node: "ext4", Address: "2001:db8::4"},
		{Node: "ext5", Address: "host.example.com"},
		{Node: "Mixed-Case", Address: "10.1.0.16"},
		{Node: "dot.node", Address: "10.1.0.17"},
		service("ext1", catalog.NodeService{Service: "web", Tags: catalog.Tags{"v1", "primary"}, Address: "10.1.0.111", Port: 80,
			Weights: &catalog.Weights{Passing: 10, Warning: 2}}, is(catalog.Passing)),
		service("ext2", catalog.NodeService{Service: "web", Tags: catalog.Tags{"v2"}, Port: 80,
			Weights: &catalog.Weights{Passing: 5, Warning: 3}}, is(catalog.Warning)),
		service("ext3", catalog.NodeService{Service: "web", Tags: catalog.Tags{"v1"}, Port: 80}, is(catalog.Critical)),
		service("ext3", catalog.NodeService{Service: "down"}, is(catalog.Critical)),
		service("ext4", catalog.NodeService{Service: "six", Port: 8080}),
		service("ext2", catalog.NodeService{Service: "cname", Address: "db.example.com", Port: 9091}),
		service("ext5", catalog.NodeService{Service: "named", Port: 9092}),
		service("Mixed-Case", catalog.NodeService{Service: "MixedCase", Port: 7000}),
		service("ext2", catalog.NodeService{Service: "native", Connect: catalog.Connect{Native: true}}),
	}
	for i := range 30 {
		node := fmt.Sprintf("big%02d", i+1)
		dc1 = append(dc1, &catalog.RegisterRequest{Node: node, Address: fmt.Sprint("10.3.0.", i+1)},
			service(node, catalog.NodeService{Service: "many", Port: 6001 + i}))
	}
	w["dc1"].register(t, dc1...)
	w["dc2"].register(t,
		&catalog.RegisterRequest{Node: "far1", Address: "10.2.0.11", NodeMeta: map[string]string{"rack": "r1"},
			Service: &catalog.NodeService{ID: "web", Service: "web", Port: 80}},
		&catalog.RegisterRequest{Node: "far2", Address: "10.2.0.12", Service: &catalog.NodeService{ID: "geo", Service: "geo"}},
	)
	w["dc1"].prepare(t,
		query.PreparedQuery{Name: "q-web", Service: query.ServiceQuery{Service: "web", OnlyPassing: true}, DNS: query.DNSOptions{TTL: "7s"}},
		query.PreparedQuery{Name: "q-geo", Service: query.ServiceQuery{Service: "geo", Failover: query.Failover{Datacenters: []string{"dc2"}}}},
		query.PreparedQuery{Name: "tpl-", Template: query.Template{Type: query.NamePrefixMatch}, Service: query.ServiceQuery{Service: "${name.suffix}"}},
	)
	return w
}

// tuned are the settings of the second agent of the recordings.
func tuned(c *Config) {
	s := &c.Settings
	s.NodeTTL, s.OnlyPassing, s.UDPAnswerLimit, s.EnableTruncate, s.NodeMetaTXT = 30*time.Second, true, 2, true, false
	s.ServiceTTL = map[string]time.Duration{"web": 5 * time.Second, "*": 10 * time.Second}
	s.SOA.MinTTL, s.SOA.Refresh, s.SOA.Retry, s.SOA.Expire = 60, 1800, 300, 43200
	c.AltDomain = "alt.example"
}

// Consul drops its EDNS record from an answer that it shortens. A server keeps it
// (RFC 6891), and so do we.
var withEDNS = []string{"EDNS 1232, SRV", "EDNS 512, SRV", "EDNS 100 is treated as 512"}

func TestAnswersAreThoseResolversKnow(t *testing.T) {
	exchanges, err := golden.DNSExchanges()
	if err != nil {
		t.Fatal(err)
	}
	w := recordedWorld(t)
	faces := map[string]*face{
		"server dc1, default dns_config":                  serve(t, w["dc1"], nil),
		"client agent dc1, default dns_config":            serve(t, w["dc1"], func(c *Config) { c.Node = "gamma" }),
		"client agent dc1, tuned dns_config (see README)": serve(t, w["dc1"], tuned),
	}
	for _, x := range exchanges {
		t.Run(x.Note, func(t *testing.T) {
			f := faces[x.Agent]
			if f == nil {
				t.Fatalf("no agent is a %q", x.Agent)
			}
			var asked, want dns.Msg
			if err := asked.Unpack(x.Query); err != nil {
				t.Fatal(err)
			}
			if err := want.Unpack(x.Reply); err != nil {
				t.Fatal(err)
			}
			got := f.exchange(t, x.Proto, &asked)
			if got.MsgHdr != want.MsgHdr {
				t.Errorf("header\n got %v\nwant %v", got.MsgHdr, want.MsgHdr)
			}
			if !slices.Equal(got.Question, want.Question) {
				t.Errorf("question\n got %v\nwant %v", got.Question, want.Question)
			}
			wantExtra := meaning(want.Extra)
			if opt := asked.IsEdns0(); opt != nil && slices.Contains(withEDNS, x.Note) {
				wantExtra = append(wantExtra, edns(max(opt.UDPSize(), 512)))
				slices.Sort(wantExtra)
			}
			for _, section := range []struct {
				name      string
				got, want []string
			}{
				{"answer", meaning(got.Answer), meaning(want.Answer)},
				{"authority", meaning(got.Ns), meaning(want.Ns)},
				{"additional", meaning(got.Extra), wantExtra},
			} {
				if !slices.Equal(section.got, section.want) {
					t.Errorf("%s\n got %v\nwant %v", section.name, section.got, section.want)
				}
			}
		})
	}
}

func edns(size uint16) string { return fmt.Sprintf("EDNS, %d bytes", size) }

var (
	serial = regexp.MustCompile(`(hostmaster\.\S+) \d+`)
	big    = regexp.MustCompile(`\bbig\d\d|\b10\.3\.0\.\d+|\b60\d\d\b`)
)

// meaning is a section without its order, and without what chance decides.
func meaning(section []dns.RR) []string {
	all := []string{}
	for _, rr := range section {
		if opt, ok := rr.(*dns.OPT); ok {
			all = append(all, edns(opt.UDPSize()))
			continue
		}
		text := strings.ReplaceAll(rr.String(), "\t", " ")
		all = append(all, big.ReplaceAllString(serial.ReplaceAllString(text, "$1 TIME"), "ANY"))
	}
	slices.Sort(all)
	return all
}
