// Package replicatehttp lets the replication engine read from and write to any
// agent that speaks Consul's HTTP API.
//
// One agent serves both ends: it forwards the source's reads to their datacenter
// and applies writes in its own. An answer is decoded entry by entry while it
// arrives, so that a large prefix is never in memory as a whole, and it counts as
// read only if it was well-formed to its last byte. Redirects are not followed:
// what another path answers says nothing about the one asked for.
package replicatehttp
