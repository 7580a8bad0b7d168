package dnsserver

import (
	"context"
	"math/rand/v2"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/catalog"
)

const (
	// serversService is the service that the servers of a datacenter are instances of.
	serversService = "consul"
	// maxNameServers is how many of them are named.
	maxNameServers = 3
)

// zone answers questions for SOA and NS, at any name below the domain: soa is nil for the
// latter.
func (s *Server) zone(ctx context.Context, r *request, t target, soa dns.RR) *answer {
	servers, glue, err := s.nameServers(ctx, r, t.domain)
	if err != nil {
		failure := s.failed(r, err)
		if soa == nil {
			return failure
		}
	}
	a := &answer{extra: glue, ordered: true}
	if soa != nil {
		a.add(r, record{rr: soa})
		a.authority = servers
		return a
	}
	for _, ns := range servers {
		a.add(r, record{rr: ns})
	}
	return a
}

// nameServers are servers of this datacenter, with their addresses.
func (s *Server) nameServers(ctx context.Context, r *request, domain string) (servers, glue []dns.RR, err error) {
	rep, err := ask(ctx, s, r, &catalog.HealthServiceNodes,
		&catalog.ServiceSpecificRequest{ServiceName: serversService, HealthFilterType: catalog.NotCritical})
	if err != nil {
		return nil, nil, err
	}
	ttl := ttl(r.settings.NodeTTL)
	for _, i := range rand.Perm(len(rep.Nodes)) {
		node := rep.Nodes[i].Node
		name := nodeName(node.Node, s.cfg.Datacenter, domain)
		address := addressRecord(name, s.nodeAddress(r, node, s.cfg.Datacenter), ttl)
		if _, ok := dns.IsDomainName(name); !ok || address == nil {
			continue
		}
		servers = append(servers, &dns.NS{Hdr: header(domain, dns.TypeNS, ttl), Ns: name})
		glue = append(glue, address)
		if len(servers) == maxNameServers {
			break
		}
	}
	return servers, glue, nil
}
