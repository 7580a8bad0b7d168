// Package server is the server role of an agent.
//
// It lists the domain modules and puts their methods into one [Table], which does
// for every method what every method needs: it finds the datacenter and the server
// that may answer, resolves the token, counts and times the call, proves that a read
// is not older than what was acknowledged before it, and waits for the index of a
// blocking query.
//
// What a leader owes its datacenter (the catalog in step with gossip, servers in and
// out of the quorum, tombstones reaped) is done by duties, each alive exactly while
// this server leads.
package server
