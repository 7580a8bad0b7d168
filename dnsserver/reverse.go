package dnsserver

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/catalog"
)

// reverse answers which nodes and services have an address. What is not in the catalog
// is asked of the recursors.
func (s *Server) reverse(ctx context.Context, r *request) *dns.Msg {
	a, err := s.holders(ctx, r)
	switch {
	case err != nil:
		return s.message(r, s.failed(r, err))
	case a != nil:
		return s.message(r, a)
	case len(r.settings.Recursors) > 0:
		return s.recurse(r)
	}
	return s.message(r, s.noName(r, s.zones.domain))
}

// holders are the names of an address, nil if it has none here.
func (s *Server) holders(ctx context.Context, r *request) (*answer, error) {
	addr, ok := reversed(r.Name)
	if !ok || !r.asks(dns.TypePTR) {
		return nil, nil
	}
	a := new(answer)
	if err := s.nodesAt(ctx, r, a, addr); err != nil {
		return nil, err
	}
	if a.empty() {
		if err := s.servicesAt(ctx, r, a, addr); err != nil {
			return nil, err
		}
	}
	if a.empty() {
		return nil, nil
	}
	return a, nil
}

func (s *Server) nodesAt(ctx context.Context, r *request, a *answer, addr netip.Addr) error {
	req := &catalog.DCSpecificRequest{}
	req.Filter = fmt.Sprintf("Address == %q", addr)
	rep, err := ask(ctx, s, r, &catalog.ListNodes, req)
	if err != nil {
		return err
	}
	for _, node := range rep.Nodes {
		addPointer(r, a, nodeName(node.Node, s.cfg.Datacenter, s.zones.domain), ttl(r.settings.NodeTTL))
	}
	return nil
}

func (s *Server) servicesAt(ctx context.Context, r *request, a *answer, addr netip.Addr) error {
	rep, err := ask(ctx, s, r, &catalog.ListServiceNodes, &catalog.ServiceSpecificRequest{ServiceAddress: addr.String()})
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, row := range rep.ServiceNodes {
		if !seen[row.ServiceName] {
			seen[row.ServiceName] = true
			addPointer(r, a, row.ServiceName+".service."+s.cfg.Datacenter+"."+s.zones.domain, r.settings.serviceTTL(row.ServiceName))
		}
	}
	return nil
}

// addPointer adds a name, unless it is one that DNS cannot hold.
func addPointer(r *request, a *answer, name string, ttl uint32) {
	if _, ok := dns.IsDomainName(name); ok {
		a.add(r, record{rr: &dns.PTR{Hdr: header(r.Name, dns.TypePTR, ttl), Ptr: name}})
	}
}
