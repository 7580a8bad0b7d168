package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/query"
	"github.com/hanse-project/hanse/rpc"
)

// find answers a question about a name in one of our domains.
func (s *Server) find(ctx context.Context, r *request, t target) *answer {
	switch r.Qtype {
	case dns.TypeSOA:
		return s.zone(ctx, r, t, s.soa(r, t.domain))
	case dns.TypeNS:
		return s.zone(ctx, r, t, nil)
	case dns.TypeAXFR, dns.TypeIXFR:
		return &answer{rcode: dns.RcodeNotImplemented}
	}
	a, err := s.lookup(ctx, r, t)
	switch {
	case err == nil && a != nil:
		return a
	case err == nil, errors.Is(err, rpc.ErrNoPath):
		return s.noName(r, t.domain)
	}
	return s.failed(r, err)
}

// noName is the answer about a name that does not exist.
func (s *Server) noName(r *request, domain string) *answer {
	return &answer{rcode: dns.RcodeNameError, authority: []dns.RR{s.soa(r, domain)}}
}

// noRecord is the answer about a name that has no records of the type.
func (s *Server) noRecord(r *request, domain string) *answer {
	return &answer{authority: []dns.RR{s.soa(r, domain)}}
}

// lookup answers from the catalog. The answer is nil for a name that does not exist.
func (s *Server) lookup(ctx context.Context, r *request, t target) (*answer, error) {
	switch t.kind {
	case kindNode:
		return s.node(ctx, r, t)
	case kindService, kindConnect, kindIngress:
		return s.service(ctx, r, t)
	case kindQuery:
		return s.query(ctx, r, t)
	case kindAddr:
		return s.address(r, t), nil
	case kindVirtual:
		return &answer{}, nil // no service has such an address
	}
	return nil, nil
}

// dcOf is the datacenter that a target is in.
func (s *Server) dcOf(t target) string {
	if t.dc == "" {
		return s.cfg.Datacenter
	}
	return t.dc
}

func (s *Server) node(ctx context.Context, r *request, t target) (*answer, error) {
	rep, err := ask(ctx, s, r, &catalog.GetNodeServiceList, &catalog.NodeSpecificRequest{Read: rpc.Read{Datacenter: t.dc}, Node: t.name})
	if err != nil || rep.NodeServices.Node == nil {
		return nil, err
	}
	node, ttl := rep.NodeServices.Node, ttl(r.settings.NodeTTL)
	if s.farFrom(s.dcOf(t)) {
		node = node.Translated()
	}
	a := new(answer)
	if rr := addressRecord(r.Name, s.nodeAddress(r, node, s.dcOf(t)), ttl); rr != nil {
		s.addAddress(ctx, r, a, rr)
	}
	notes := metaRecords(r.Name, node.Meta, ttl)
	switch {
	case r.asks(dns.TypeTXT):
		for _, rr := range notes {
			a.add(r, record{rr: rr})
		}
		a.ordered = true
	case r.settings.NodeMetaTXT && (r.Qtype == dns.TypeA || r.Qtype == dns.TypeAAAA):
		a.extra = notes
	}
	return a, nil
}

func (s *Server) service(ctx context.Context, r *request, t target) (*answer, error) {
	req := &catalog.ServiceSpecificRequest{
		Read: rpc.Read{Datacenter: t.dc}, ServiceName: t.name, HealthFilterType: catalog.NotCritical,
		Connect: t.kind == kindConnect, Ingress: t.kind == kindIngress,
	}
	if t.tag != "" {
		req.TagFilter, req.ServiceTags = true, []string{t.tag}
	}
	req.UseCache = r.settings.UseCache
	if r.settings.OnlyPassing {
		req.HealthFilterType = catalog.OnlyPassing
	}
	rep, err := ask(ctx, s, r, &catalog.HealthServiceNodes, req)
	if err != nil {
		return nil, err
	}
	if r.trace.reply != nil && r.trace.calls == 1 {
		if known := s.memo.from(r, rep); known != nil {
			return known, nil
		}
	}
	return s.instances(ctx, r, t, rep.Nodes, s.dcOf(t), r.settings.serviceTTL(t.name)), nil
}

func (s *Server) query(ctx context.Context, r *request, t target) (*answer, error) {
	req := &query.ExecuteRequest{
		Read: rpc.Read{Datacenter: t.dc}, QueryIDOrName: t.name,
		Source: catalog.QuerySource{Datacenter: s.cfg.Datacenter, Ip: r.client.String()},
		Agent:  catalog.QuerySource{Datacenter: s.cfg.Datacenter, Node: s.cfg.Node},
	}
	// The cache does not follow what queries find, so that the settings must say how old it may be.
	req.UseCache = r.settings.UseCache && r.settings.CacheMaxAge > 0
	rep, err := ask(ctx, s, r, &query.Execute, req)
	if err != nil {
		if strings.Contains(err.Error(), query.NotFound) {
			return nil, nil
		}
		return nil, err
	}
	ttl, err := queryTTL(rep.DNS.TTL, r.settings.serviceTTL(rep.Service))
	if err != nil {
		return nil, fmt.Errorf("prepared query %q: %w", t.name, err)
	}
	a := s.instances(ctx, r, t, rep.Nodes, rep.Datacenter, ttl)
	if a != nil {
		a.ordered, a.tailored = true, true // the query has its own order
	}
	return a, nil
}

// instances makes the records of a service's instances in dc. It is nil if there are none.
func (s *Server) instances(ctx context.Context, r *request, t target, nodes []catalog.CheckServiceNode, dc string, ttl uint32) *answer {
	if len(nodes) == 0 {
		return nil
	}
	if r.Qtype == dns.TypeTXT { // a service has no texts, and gives what it has
		all := *r
		all.Qtype = dns.TypeANY
		r = &all
	}
	a, seen := new(answer), map[string]bool{} // instances at one place are one to whoever asks
	if r.Qtype == dns.TypeSRV {
		for i := range nodes {
			if rec, ok := s.srv(r, t, s.reached(&nodes[i], dc), dc, ttl); ok && isNew(seen, rec.rr) {
				a.add(r, rec)
			}
		}
	} else {
		for i := range nodes {
			if rr := addressRecord(r.Name, s.instanceAddress(r, s.reached(&nodes[i], dc), dc), ttl); rr != nil && isNew(seen, rr) {
				s.addAddress(ctx, r, a, rr)
			}
		}
	}
	if a.empty() {
		return s.noRecord(r, t.domain)
	}
	return a
}

// isNew tells whether a record is unlike those seen before, and notes it.
func isNew(seen map[string]bool, rr dns.RR) bool {
	var key string
	switch rr := rr.(type) {
	case *dns.A:
		key = string(rr.A)
	case *dns.AAAA:
		key = string(rr.AAAA)
	case *dns.SRV:
		key = rr.Target + strconv.Itoa(int(rr.Port))
	default:
		key = rr.String()
	}
	if seen[key] {
		return false
	}
	seen[key] = true
	return true
}

// addAddress adds the record of an address if the question asks for its type.
func (s *Server) addAddress(ctx context.Context, r *request, a *answer, rr dns.RR) {
	switch rr := rr.(type) {
	case *dns.CNAME:
		if r.asks(dns.TypeCNAME) || r.asks(dns.TypeA) || r.asks(dns.TypeAAAA) {
			a.add(r, record{rr: rr, chain: s.chase(ctx, r, rr.Target)})
		}
	default:
		if r.asks(rr.Header().Rrtype) {
			a.add(r, record{rr: rr})
		}
	}
}

// srv is the record of an instance, with the address of its target.
func (s *Server) srv(r *request, t target, n *catalog.CheckServiceNode, dc string, ttl uint32) (record, bool) {
	host := nodeName(n.Node.Node, dc, t.domain)
	srv := &dns.SRV{Hdr: header(r.Name, dns.TypeSRV, ttl), Priority: 1, Weight: weight(n), Port: uint16(n.Service.Port), Target: host}
	rec := record{rr: srv}
	address := s.instanceAddress(r, n, dc)
	_, spellable := dns.IsDomainName(host)
	switch rr := addressRecord(host, address, ttl).(type) {
	case nil:
		return rec, false
	case *dns.CNAME:
		srv.Target = rr.Target // a target is no alias (RFC 2782)
	default:
		if !spellable || n.Service.Address != "" && address != s.nodeAddress(r, n.Node, dc) {
			srv.Target = addrName(address, dc, t.domain)
			rr.Header().Name = srv.Target
		}
		rec.glue = []dns.RR{rr}
	}
	if r.settings.NodeMetaTXT && spellable {
		rec.notes = metaRecords(host, n.Node.Meta, ttl)
	}
	return rec, true
}

// address answers for a name that spells its address.
func (s *Server) address(r *request, t target) *answer {
	rr := ipRecord(r.Name, t.addr, ttl(r.settings.NodeTTL))
	if !r.asks(rr.Header().Rrtype) {
		return s.noRecord(r, t.domain)
	}
	a := new(answer)
	a.add(r, record{rr: rr})
	return a
}
