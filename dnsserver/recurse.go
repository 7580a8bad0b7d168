package dnsserver

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/config"
)

// recurse has a recursor answer. Without one the question is refused.
func (s *Server) recurse(r *request) *dns.Msg {
	if len(r.settings.Recursors) == 0 {
		return s.foreign(r, dns.RcodeRefused)
	}
	if reply := s.askRecursors(r.settings, r.network(), r.msg); reply != nil {
		reply.Compress = !r.settings.DisableCompression
		return reply
	}
	s.warn("no recursor answered", "question", r.Name, "type", dns.TypeToString[r.Qtype], "recursors", r.settings.Recursors)
	return s.foreign(r, dns.RcodeServerFailure)
}

// foreign is an answer about a domain that is not ours.
func (s *Server) foreign(r *request, rcode int) *dns.Msg {
	m := s.message(r, &answer{rcode: rcode})
	m.Authoritative = false
	return m
}

// askRecursors asks one after the other until one gives an answer: nil if none does. The
// settings alone say how long that may take.
func (s *Server) askRecursors(set *Settings, network string, m *dns.Msg) *dns.Msg {
	order := set.Recursors
	if set.RecursorStrategy == config.RandomRecursors {
		order = slices.Clone(order)
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	for _, addr := range order {
		asking, cancel := context.WithTimeout(s.running, set.RecursorTimeout)
		reply, err := exchange(asking, network, m, addr)
		cancel()
		if err == nil && (reply.Rcode == dns.RcodeSuccess || reply.Rcode == dns.RcodeNameError) {
			return reply
		}
		rcode := ""
		if err == nil {
			rcode = dns.RcodeToString[reply.Rcode]
		}
		s.metrics.recursorFailed()
		s.log.Debug("a recursor gave no answer", "recursor", addr, "rcode", rcode, "error", err)
	}
	return nil
}

// exchange asks the server at addr once.
func exchange(ctx context.Context, network string, m *dns.Msg, addr string) (*dns.Msg, error) {
	client := &dns.Client{Net: network, UDPSize: dns.MaxMsgSize}
	if deadline, ok := ctx.Deadline(); ok {
		client.Timeout = time.Until(deadline)
	}
	reply, _, err := client.ExchangeContext(ctx, m, addr)
	return reply, err
}

// maxDepth is how many aliases are followed, one after the other.
const maxDepth = 5

// chase finds the addresses of an alias' target: in our own domains, or of the recursors.
func (s *Server) chase(ctx context.Context, r *request, host string) []dns.RR {
	if r.depth == maxDepth {
		return nil
	}
	sub := *r
	sub.depth++
	sub.Name = host
	if domain, labels, ours := s.zones.of(host); ours {
		var found []dns.RR
		for _, rec := range s.find(ctx, &sub, parse(domain, labels)).records {
			found = append(append(found, rec.rr), rec.chain...)
		}
		return found
	}
	if len(r.settings.Recursors) == 0 {
		return nil
	}
	r.trace.unsure = true // how long it holds is for others to say
	m := new(dns.Msg).SetQuestion(host, r.Qtype)
	reply := s.askRecursors(r.settings, r.network(), m)
	if reply != nil && reply.Truncated {
		reply = s.askRecursors(r.settings, "tcp", m)
	}
	if reply == nil {
		return nil
	}
	var found []dns.RR
	for _, rr := range reply.Answer {
		switch rr.Header().Rrtype {
		case dns.TypeCNAME, dns.TypeA, dns.TypeAAAA:
			found = append(found, rr)
		}
	}
	return found
}
