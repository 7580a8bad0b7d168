package dnsserver

import (
	"net/netip"
	"testing"
)

func TestNamesAreReadFromTheirEnd(t *testing.T) {
	z := zones{"consul.", "alt.example."}
	addr := netip.MustParseAddr
	for name, want := range map[string]target{
		"consul.":                                           {kind: kindZone},
		"web.service.consul.":                               {kind: kindService, name: "web"},
		"WEB.Service.CONSUL.":                               {kind: kindService, name: "web"},
		"web.service.dc2.consul.":                           {kind: kindService, name: "web", dc: "dc2"},
		"web.service.DC2.dc.consul.":                        {kind: kindService, name: "web", dc: "dc2"},
		"v1.web.service.consul.":                            {kind: kindService, name: "web", tag: "v1"},
		"v1.2.web.service.consul.":                          {kind: kindService, name: "web", tag: "v1.2"},
		"_web._tcp.service.consul.":                         {kind: kindService, name: "web"},
		"_web._v1.service.dc2.consul.":                      {kind: kindService, name: "web", tag: "v1", dc: "dc2"},
		"_web._v1.consul.":                                  {kind: kindService, name: "web", tag: "v1"},
		"_web._tcp.dc2.consul.":                             {kind: kindService, name: "web", dc: "dc2"},
		"n1.node.consul.":                                   {kind: kindNode, name: "n1"},
		"a.b.c.node.dc2.consul.":                            {kind: kindNode, name: "a.b.c", dc: "dc2"},
		"node.node.consul.":                                 {kind: kindNode, name: "node"},
		"web.query.consul.":                                 {kind: kindQuery, name: "web"},
		"geo.eu.web.query.dc2.consul.":                      {kind: kindQuery, name: "geo.eu.web", dc: "dc2"},
		"_web._tcp.query.consul.":                           {kind: kindQuery, name: "web"},
		"web.connect.consul.":                               {kind: kindConnect, name: "web"},
		"web.ingress.consul.":                               {kind: kindIngress, name: "web"},
		"web.virtual.consul.":                               {kind: kindVirtual, name: "web"},
		"7f000001.addr.consul.":                             {kind: kindAddr, addr: addr("127.0.0.1")},
		"00000000000000000000000000000001.addr.dc2.consul.": {kind: kindAddr, addr: addr("::1"), dc: "dc2"},
		"web.service.alt.example.":                          {kind: kindService, name: "web", domain: "alt.example."},
		// What is nothing.
		"service.consul.":               {kind: kindUnknown},
		"web.consul.":                   {kind: kindUnknown},
		"web.service.a.b.consul.":       {kind: kindUnknown},
		"web.service.ns.ns.dc2.consul.": {kind: kindUnknown},
		"v1.web.connect.consul.":        {kind: kindUnknown},
		"7f0000.addr.consul.":           {kind: kindUnknown},
		"_._tcp.service.consul.":        {kind: kindUnknown},
		"_web.consul.":                  {kind: kindService, name: "_web"},
	} {
		domain, labels, ours := z.of(name)
		if !ours {
			t.Errorf("%s is in none of the domains", name)
			continue
		}
		if want.domain == "" {
			want.domain = "consul."
		}
		if got := parse(domain, labels); got != want {
			t.Errorf("%s\n got %+v\nwant %+v", name, got, want)
		}
	}
	for _, name := range []string{".", "example.", "consul.example.", "notconsul."} {
		if _, _, ours := z.of(name); ours {
			t.Errorf("%s is in a domain of ours", name)
		}
	}
}

func TestTheLongerOfTwoDomainsCounts(t *testing.T) {
	z := zones{"consul.", "west.consul."}
	if domain, labels, _ := z.of("web.service.west.consul."); domain != "west.consul." || len(labels) != 2 {
		t.Errorf("%q with %q before it", domain, labels)
	}
}

func TestAddressesAreReadBackwards(t *testing.T) {
	for name, want := range map[string]string{
		"1.2.0.192.in-addr.arpa.": "192.0.2.1",
		"1.2.0.192.IN-ADDR.ARPA.": "192.0.2.1",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.": "2001:db8::1",
	} {
		if got, ok := reversed(name); !ok || got.String() != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
	for _, name := range []string{"in-addr.arpa.", "1.in-addr.arpa.", "256.2.0.192.in-addr.arpa.", "1.1.2.0.192.in-addr.arpa.",
		"ip6.arpa.", "1.ip6.arpa.", "g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.", "x.arpa."} {
		if got, ok := reversed(name); ok {
			t.Errorf("%s: %v", name, got)
		}
	}
}
