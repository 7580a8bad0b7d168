package dnsserver

import (
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/cache"
	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/rpc"
)

// Config is what a [Server] is made of.
type Config struct {
	// Caller carries its calls.
	Caller rpc.Caller
	// Datacenter and Node are the agent's.
	Datacenter, Node string
	// Domain and AltDomain are what it answers for, without dots at their ends. The
	// second may be "".
	Domain, AltDomain string
	// Cache keeps answers for dns_config.use_cache; nil keeps none.
	Cache *cache.Cache
	// Token is the secret that is sent with each call; nil sends none.
	Token func() string
	// TranslateWAN answers with the WAN addresses of what is in other datacenters.
	TranslateWAN bool
	Settings     Settings
	Log          hclog.Logger
	// Registerer takes what is counted, if it is set.
	Registerer prometheus.Registerer
}

// Settings are what [Server.Apply] can change while the server runs.
type Settings struct {
	config.DNS
	// Recursors are asked about other domains, each as ip:port.
	Recursors []string
}

// ttl is a lifetime as records carry it.
func ttl(d time.Duration) uint32 { return uint32(d / time.Second) }

// serviceTTL is the lifetime of a service's records: that of its name, or else of the
// longest beginning of it that has one.
func (s *Settings) serviceTTL(service string) uint32 {
	service = strings.ToLower(service)
	best, longest := time.Duration(0), -1
	for name, d := range s.ServiceTTL {
		name = strings.ToLower(name)
		if name == service {
			return ttl(d)
		}
		if prefix, wild := strings.CutSuffix(name, "*"); wild && len(prefix) > longest && strings.HasPrefix(service, prefix) {
			best, longest = d, len(prefix)
		}
	}
	return ttl(best)
}

// fqdn is a domain with a dot at its end, in lower case, and "" for none.
func fqdn(domain string) string {
	if domain == "" {
		return ""
	}
	return strings.ToLower(dns.Fqdn(domain))
}
