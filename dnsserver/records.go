package dnsserver

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

func header(name string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// addressRecord is A or AAAA for an address, CNAME for the name of a host, and nil for
// what is neither: the catalog takes any text.
func addressRecord(name, address string, ttl uint32) dns.RR {
	if addr, err := netip.ParseAddr(address); err == nil {
		return ipRecord(name, addr, ttl)
	}
	if !isHost(address) {
		return nil
	}
	return &dns.CNAME{Hdr: header(name, dns.TypeCNAME, ttl), Target: dns.Fqdn(address)}
}

// isHost tells whether a text can be the name of a host: letters, digits, dashes and, as
// containers have them, underscores, in labels that a name can hold.
func isHost(text string) bool {
	if _, ok := dns.IsDomainName(text); !ok || strings.Trim(text, ".") == "" {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		return !letter && !('0' <= r && r <= '9') && !strings.ContainsRune("-_.", r)
	})
}

func ipRecord(name string, addr netip.Addr, ttl uint32) dns.RR {
	addr = addr.Unmap()
	ip := net.IP(addr.AsSlice())
	if addr.Is4() {
		return &dns.A{Hdr: header(name, dns.TypeA, ttl), A: ip}
	}
	return &dns.AAAA{Hdr: header(name, dns.TypeAAAA, ttl), AAAA: ip}
}

// rawMeta is what the names of metadata begin with whose values are given as they are.
const rawMeta = "rfc1035-"

// metaRecords are the metadata of a node as TXT, in the order of their names.
func metaRecords(name string, meta map[string]string, ttl uint32) []dns.RR {
	var all []dns.RR
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		text := meta[key]
		if !strings.HasPrefix(strings.ToLower(key), rawMeta) {
			text = attribute.Replace(key) + "=" + text
		}
		all = append(all, &dns.TXT{Hdr: header(name, dns.TypeTXT, ttl), Txt: chunks(text)})
	}
	return all
}

// attribute quotes what would end the name of an attribute (RFC 1464).
var attribute = strings.NewReplacer("`", "``", "=", "`=")

// presentation writes bytes that the packer takes for the beginning of an escape.
var presentation = strings.NewReplacer(`\`, `\\`)

// chunks cuts a text to the 255 bytes that one string of TXT holds.
func chunks(text string) []string {
	const most = 255
	var all []string
	for len(text) > most {
		all, text = append(all, presentation.Replace(text[:most])), text[most:]
	}
	return append(all, presentation.Replace(text))
}

// soa says who speaks for a domain, and how long others may remember that a name is not
// there.
func (s *Server) soa(r *request, domain string) dns.RR {
	t := r.settings.SOA
	return &dns.SOA{
		Hdr: header(domain, dns.TypeSOA, uint32(t.MinTTL)),
		Ns:  "ns." + domain, Mbox: "hostmaster." + domain, Serial: uint32(time.Now().Unix()),
		Refresh: uint32(t.Refresh), Retry: uint32(t.Retry), Expire: uint32(t.Expire), Minttl: uint32(t.MinTTL),
	}
}
