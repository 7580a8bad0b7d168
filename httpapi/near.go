package httpapi

import (
	"net"
	"net/netip"
	"strings"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/query"
)

// source is the node that ?near sorts by: one of the datacenter that is asked, the node
// of this agent, or the one at the address of whoever asks.
func (a *API) source(r *request) catalog.QuerySource {
	s := catalog.QuerySource{Datacenter: a.datacenter(r), Node: r.query.Get("near")}
	switch s.Node {
	case query.NearAgent:
		s.Datacenter, s.Node = a.cfg.Datacenter, a.cfg.Node
	case catalog.NearIP:
		s.Ip = r.from()
	}
	return s
}

// from is the address of whoever asks: the first one that X-Forwarded-For names, or else
// the other end of the connection. It is "" for a Unix socket.
func (r *request) from() string {
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",")
	if addr, err := netip.ParseAddr(strings.TrimSpace(first)); err == nil {
		return addr.Unmap().String()
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	return addr.Unmap().String()
}
