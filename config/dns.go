package config

import (
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// DNS is how questions over DNS are answered. The agent takes over its changes on a reload.
// See https://developer.hashicorp.com/consul/docs/reference/agent/configuration-file/dns.
type DNS struct {
	AllowStale         bool                     // any server may answer, not only one that proves that it is up to date
	MaxStale           time.Duration            // an answer older than that is asked for again, of one that proves it; 0 trusts none
	UseCache           bool                     // answer from the cache of this agent
	CacheMaxAge        time.Duration            // an older answer of the cache is not taken; 0 takes all
	NodeTTL            time.Duration            // of the records of nodes
	ServiceTTL         map[string]time.Duration // by name, or by what it begins with in front of a "*"
	OnlyPassing        bool                     // instances with a check in warning are left out, too
	UDPAnswerLimit     int                      // records in an answer over UDP without EDNS; 0 means no limit
	ARecordLimit       int                      // records in an answer to A, AAAA and ANY; 0 means no limit
	EnableTruncate     bool                     // a shortened answer says so, and the client comes again over TCP
	DisableCompression bool
	NodeMetaTXT        bool   // the metadata of nodes come as TXT beside their addresses
	RecursorStrategy   string // [SequentialRecursors] or [RandomRecursors]
	RecursorTimeout    time.Duration
	SOA                SOA
}

// The orders in which recursors are asked.
const (
	SequentialRecursors = "sequential"
	RandomRecursors     = "random"
)

// SOA is the timing of the zone, in seconds.
type SOA struct {
	Refresh, Retry, Expire int
	MinTTL                 int // how long others may remember that there is no such name
}

func DefaultDNS() DNS {
	return DNS{
		AllowStale: true, MaxStale: 87600 * time.Hour, ServiceTTL: map[string]time.Duration{},
		UDPAnswerLimit: 3, NodeMetaTXT: true, RecursorStrategy: SequentialRecursors, RecursorTimeout: 2 * time.Second,
		SOA: SOA{Refresh: 3600, Retry: 600, Expire: 86400},
	}
}

// dnsPort is where a recursor listens that was named without its port.
const dnsPort = 53

// resolveRecursors gives each recursor its port. What is no address stays, to be
// refused with the other mistakes.
func (d *draft) resolveRecursors() {
	for i, written := range d.Recursors {
		if ip, err := netip.ParseAddr(strings.Trim(written, "[]")); err == nil {
			d.Recursors[i] = hostPort(ip.String(), dnsPort)
		}
	}
}

func (c *Config) checkDNS(errs *mistakes) {
	for _, addr := range c.Recursors {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			host = addr
		} else if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			errs.add("recursors", "%q has no port from 1 to 65535", addr)
		}
		if ip, err := netip.ParseAddr(host); err != nil {
			errs.add("recursors", "%q is not an IP address, with or without a port", addr)
		} else if ip.IsUnspecified() {
			errs.add("recursors", "%q is where one listens, and nobody to ask: name the address of a DNS server", addr)
		}
	}
	if c.AltDomain != "" && c.AltDomain == c.Domain {
		errs.add("alt_domain", "%q is the domain itself: name another, or leave it out", c.AltDomain)
	}
	for key, domain := range byKey(map[string]string{"domain": c.Domain, "alt_domain": c.AltDomain}) {
		if domain != "" && !dnsZone(domain) {
			errs.add(key, "%q is no domain: use labels of up to 63 letters, digits, dashes and underscores, with dots between", domain)
		}
	}
	d := &c.DNS
	if d.RecursorStrategy != SequentialRecursors && d.RecursorStrategy != RandomRecursors {
		errs.add("dns_config.recursor_strategy", "is %q: use %q or %q", d.RecursorStrategy, SequentialRecursors, RandomRecursors)
	}
	if d.RecursorTimeout <= 0 {
		errs.add("dns_config.recursor_timeout", "is %v: use a positive duration", d.RecursorTimeout)
	}
	checkTTL(errs, "dns_config.node_ttl", "", d.NodeTTL)
	for service, ttl := range byKey(d.ServiceTTL) {
		if i := strings.IndexByte(service, '*'); i >= 0 && i != len(service)-1 {
			errs.add("dns_config.service_ttl", "%q: a * stands only at the end of a name", service)
		}
		checkTTL(errs, "dns_config.service_ttl", strconv.Quote(service)+" ", ttl)
	}
	for key, d := range byKey(map[string]time.Duration{"dns_config.max_stale": d.MaxStale, "dns_config.cache_max_age": d.CacheMaxAge}) {
		if d < 0 {
			errs.add(key, "is %v: it cannot be negative", d)
		}
	}
	for key, n := range byKey(map[string]int{"dns_config.udp_answer_limit": d.UDPAnswerLimit, "dns_config.a_record_limit": d.ARecordLimit}) {
		if n < 0 {
			errs.add(key, "is %d: it cannot be negative", n)
		}
	}
	for key, n := range byKey(map[string]int{
		"dns_config.soa.refresh": d.SOA.Refresh, "dns_config.soa.retry": d.SOA.Retry,
		"dns_config.soa.expire": d.SOA.Expire, "dns_config.soa.min_ttl": d.SOA.MinTTL,
	}) {
		if n < 0 || n > math.MaxInt32 {
			errs.add(key, "is %d: use 0 to %d, in seconds", n, math.MaxInt32)
		}
	}
}

// checkTTL looks at the lifetime of a record, of which DNS knows whole seconds.
func checkTTL(errs *mistakes, key, of string, ttl time.Duration) {
	if ttl < 0 || ttl.Seconds() > math.MaxInt32 {
		errs.add(key, "%sis %v: use 0s to %ds", of, ttl, math.MaxInt32)
	}
}

// dnsZone tells whether a domain can be asked for. Zones with an underscore exist.
func dnsZone(domain string) bool {
	return len(domain) <= 200 && dnsName(strings.ReplaceAll(domain, "_", "-"))
}

// debug is what /v1/agent/self shows of it, in the names that clients know.
func (d *DNS) debug() map[string]any {
	ttls := map[string]string{}
	for service, ttl := range d.ServiceTTL {
		ttls[service] = ttl.String()
	}
	return map[string]any{
		"DNSAllowStale": d.AllowStale, "DNSMaxStale": d.MaxStale.String(), "DNSUseCache": d.UseCache,
		"DNSCacheMaxAge": d.CacheMaxAge.String(), "DNSNodeTTL": d.NodeTTL.String(), "DNSServiceTTL": ttls,
		"DNSOnlyPassing": d.OnlyPassing, "DNSUDPAnswerLimit": d.UDPAnswerLimit, "DNSARecordLimit": d.ARecordLimit,
		"DNSEnableTruncate": d.EnableTruncate, "DNSDisableCompression": d.DisableCompression, "DNSNodeMetaTXT": d.NodeMetaTXT,
		"DNSRecursorStrategy": d.RecursorStrategy, "DNSRecursorTimeout": d.RecursorTimeout.String(),
		"DNSSOA": map[string]int{"Refresh": d.SOA.Refresh, "Retry": d.SOA.Retry, "Expire": d.SOA.Expire, "Minttl": d.SOA.MinTTL},
	}
}

// dnsURLs are the addresses as /v1/agent/self shows them: DNS is spoken over both.
func dnsURLs(addrs []string) []string {
	out := []string{}
	for _, addr := range addrs {
		out = append(out, tcp(addr), "udp://"+addr)
	}
	return out
}
