// Package dnsserver is the DNS face of an agent: it parses a question, calls one method
// through [rpc.Caller], and renders the answer. It holds no rules of the domains.
//
// What may surprise:
//
//   - A name is read from its right end: the last label that names a kind (node, service,
//     query, addr, …) parts what is asked for from where. Names of nodes may hold dots.
//   - Answers are in random order, and over UDP without EDNS at most three of them are
//     given (dns_config.udp_answer_limit). A shortened answer says so only if
//     dns_config.enable_truncate asks for it, as in Consul.
//   - Names that exist have an empty answer for types that they have no records of; only
//     a name without any instance or node is NXDOMAIN.
//   - Each question has a goroutine and a deadline of its own, so that a datacenter that
//     is slow to answer holds up nobody who asks for another.
package dnsserver
