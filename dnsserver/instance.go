package dnsserver

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/catalog"
)

// weight is an instance's share of the answers, by its health.
func weight(n *catalog.CheckServiceNode) uint16 {
	shares := catalog.Weights{Passing: 1, Warning: 1}
	if n.Service.Weights != nil {
		shares = *n.Service.Weights
	}
	share := shares.Passing
	for _, check := range n.Checks {
		switch check.Status {
		case catalog.Critical:
			return 0
		case catalog.Warning:
			share = shares.Warning
		}
	}
	return uint16(min(max(share, 0), 65535))
}

// nodeName is the name under which a node is found.
func nodeName(node, dc, domain string) string { return node + ".node." + dc + "." + domain }

// addrName is a name that spells an address.
func addrName(address, dc, domain string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return dns.Fqdn(address)
	}
	return hexOf(addr.Unmap()) + ".addr." + dc + "." + domain
}

// reached is an instance in dc as it is reached from here: by what is tagged for the WAN,
// its port too, if dc is another datacenter and translate_wan_addrs is set.
func (s *Server) reached(n *catalog.CheckServiceNode, dc string) *catalog.CheckServiceNode {
	if !s.farFrom(dc) {
		return n
	}
	far := n.Translated()
	return &far
}

// farFrom tells whether the addresses of a datacenter are to be translated.
func (s *Server) farFrom(dc string) bool { return s.cfg.TranslateWAN && dc != s.cfg.Datacenter }

// instanceAddress is where an instance in dc is reached: its own address, or else its
// node's.
func (s *Server) instanceAddress(r *request, n *catalog.CheckServiceNode, dc string) string {
	if n.Service.Address == "" {
		return s.nodeAddress(r, n.Node, dc)
	}
	tagged := func(tag string) string { return n.Service.TaggedAddresses[tag].Address }
	return s.choose(r, n.Service.Address, dc, tagged)
}

// nodeAddress is where a node in dc is reached.
func (s *Server) nodeAddress(r *request, n *catalog.Node, dc string) string {
	return s.choose(r, n.Address, dc, func(tag string) string { return n.TaggedAddresses[tag] })
}

// choose takes, of addresses of several families, the one that is asked for.
func (s *Server) choose(r *request, address, dc string, tagged func(string) string) string {
	network := "lan"
	if s.farFrom(dc) {
		network = "wan"
	}
	family, is6 := "", false
	switch r.Qtype {
	case dns.TypeA:
		family = "_ipv4"
	case dns.TypeAAAA:
		family, is6 = "_ipv6", true
	default:
		return address
	}
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Unmap().Is6() == is6 {
		return address
	}
	if other := tagged(network + family); other != "" {
		return other
	}
	return address
}

// queryTTL is the lifetime that a prepared query asks for, or else that of its service.
func queryTTL(text string, service uint32) (uint32, error) {
	if text == "" {
		return service, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("its TTL: %w", err)
	}
	return ttl(max(d, 0)), nil
}
