// Package httpapi is the HTTP face of an agent: it parses a request, calls one method
// through an [rpc.Caller], and renders the answer as Consul does. It keeps no state
// and no rules of the domains.
//
// Paths, parameters, JSON, headers, status codes and error texts are those of
// https://developer.hashicorp.com/consul/api-docs, because clients depend on them.
// Two headers are ours: X-Hanse-Reason says in one word why a call failed, and
// X-Hanse-Datacenter-Id with X-Hanse-Incarnation which history an index belongs to.
package httpapi
