// Package federation knows which datacenters there are, which servers they have, and
// in what order to try them.
//
// Package server feeds it with what gossip says of members, and the forwarder, whose
// Picker it is, with what it sees of connections. Of the servers of a datacenter the
// nearest come first, and those about equally near take turns. A server whose
// connections failed moves to the back at once, long before gossip notices, and
// comes forward again when it answers, or after a short time.
//
// It also answers how all of that looks from this server ([GetStatus]), together with what
// the forwarder knows of its calls and each datacenter says of its leader.
//
// A datacenter exists as long as gossip knows a server of it, even a failed one.
package federation
