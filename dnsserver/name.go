package dnsserver

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// kind is what a name below the domain stands for.
type kind string

// The kinds, by the labels that name them. They are also a label of metrics.
const (
	kindNode    kind = "node"
	kindService kind = "service"
	kindConnect kind = "connect"
	kindIngress kind = "ingress"
	kindVirtual kind = "virtual"
	kindQuery   kind = "query"
	kindAddr    kind = "addr"
	// The others have no label of their own.
	kindZone      kind = "zone"      // the domain itself, its SOA and its name servers
	kindReverse   kind = "ptr"       // an address
	kindRecursion kind = "recursion" // another domain
	kindUnknown   kind = "unknown"   // nothing that exists
)

var kinds = []kind{kindNode, kindService, kindConnect, kindIngress, kindVirtual, kindQuery, kindAddr}

// target is what a question asks for.
type target struct {
	kind kind
	// name is that of the node, the service or the query, in lower case.
	name string
	// tag is what instances of the service must have, "" for any.
	tag string
	// dc is the datacenter asked, in lower case, "" for the agent's.
	dc string
	// addr is what a name of [kindAddr] spells.
	addr netip.Addr
	// domain is the one that was asked, with a dot at its end.
	domain string
}

// zones are the domains that the agent answers for, each in lower case with a dot at its
// end. The second may be "".
type zones struct{ domain, alt string }

// of finds the domain that a name is in, and the labels before it, in lower case. The
// longer of two that fit is the one.
func (z zones) of(name string) (domain string, labels []string, found bool) {
	name = strings.ToLower(name)
	for _, zone := range []string{z.domain, z.alt} {
		if zone != "" && len(zone) > len(domain) && dns.IsSubDomain(zone, name) {
			domain = zone
		}
	}
	if domain == "" {
		return "", nil, false
	}
	if rest := strings.TrimSuffix(name[:len(name)-len(domain)], "."); rest != "" {
		labels = dns.SplitDomainName(rest)
	}
	return domain, labels, true
}

// parse reads the labels before the domain. A name of [kindUnknown] does not exist.
func parse(domain string, labels []string) target {
	unknown := target{kind: kindUnknown, domain: domain}
	if len(labels) == 0 {
		unknown.kind = kindZone
		return unknown
	}
	at, k := kindAt(labels)
	if at < 0 {
		return unknown
	}
	what, where := labels[:at], labels[at:]
	if k != "" {
		where = where[1:]
	} else { // _web._tcp.consul
		what, where, k = labels[:at+1], labels[at+1:], kindService
	}
	dc, ok := datacenterIn(where)
	if !ok || len(what) == 0 {
		return unknown
	}
	t := target{kind: k, dc: dc, domain: domain}
	switch k {
	case kindService:
		t.name, t.tag, ok = serviceIn(what)
	case kindConnect, kindIngress, kindVirtual:
		t.name, ok = what[0], len(what) == 1
	case kindQuery:
		if name, _, rfc := rfc2782(what); rfc {
			t.name = name
		} else {
			t.name = strings.Join(what, ".")
		}
	case kindAddr:
		t.addr, ok = addressIn(what)
	case kindNode:
		t.name = strings.Join(what, ".")
	}
	if !ok {
		return unknown
	}
	return t
}

// kindAt finds the last label that names a kind. For _web._tcp without one it is the
// place of the last label with an underscore, and the kind is "".
func kindAt(labels []string) (int, kind) {
	for i, label := range slices.Backward(labels) {
		if k := kind(label); slices.Contains(kinds, k) {
			return i, k
		}
		if strings.HasPrefix(label, "_") {
			return i, ""
		}
	}
	return -1, ""
}

// datacenterIn reads what follows the kind: nothing, DC, or DC.dc.
func datacenterIn(where []string) (string, bool) {
	switch {
	case len(where) == 0:
		return "", true
	case len(where) == 1, len(where) == 2 && where[1] == "dc":
		return where[0], true
	}
	return "", false
}

// serviceIn reads SERVICE, TAG.SERVICE, or _SERVICE._TAG, where tcp is no tag. A tag may
// hold dots.
func serviceIn(what []string) (service, tag string, ok bool) {
	if service, tag, rfc := rfc2782(what); rfc {
		return service, tag, service != ""
	}
	last := len(what) - 1
	return what[last], strings.Join(what[:last], "."), true
}

func rfc2782(what []string) (name, proto string, ok bool) {
	if len(what) != 2 || !strings.HasPrefix(what[0], "_") || !strings.HasPrefix(what[1], "_") {
		return "", "", false
	}
	if proto = what[1][1:]; proto == "tcp" {
		proto = ""
	}
	return what[0][1:], proto, true
}

// addressIn reads an address in hexadecimal digits.
func addressIn(what []string) (netip.Addr, bool) {
	if len(what) != 1 {
		return netip.Addr{}, false
	}
	raw, err := hex.DecodeString(what[0])
	if err != nil {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(raw)
}

// hexOf writes an address as a label.
func hexOf(addr netip.Addr) string { return hex.EncodeToString(addr.AsSlice()) }

// reversed reads the address out of a name below in-addr.arpa. or ip6.arpa.
func reversed(name string) (netip.Addr, bool) {
	name = strings.ToLower(name)
	if rest, v4 := strings.CutSuffix(name, ".in-addr.arpa."); v4 {
		parts := strings.Split(rest, ".")
		slices.Reverse(parts)
		addr, err := netip.ParseAddr(strings.Join(parts, "."))
		return addr, err == nil && addr.Is4()
	}
	rest, v6 := strings.CutSuffix(name, ".ip6.arpa.")
	digits := strings.Split(rest, ".")
	if !v6 || len(digits) != 32 {
		return netip.Addr{}, false
	}
	slices.Reverse(digits)
	raw, err := hex.DecodeString(strings.Join(digits, ""))
	if err != nil || len(raw) != 16 {
		return netip.Addr{}, false
	}
	addr, ok := netip.AddrFromSlice(raw)
	return addr, ok
}

// isReverse tells whether a name is one of an address.
func isReverse(name string) bool { return dns.IsSubDomain("arpa.", name) }
