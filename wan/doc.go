// Package wan is the gossip pool of a federation: every server of every datacenter,
// each under the name node.datacenter.
//
// Client agents are not let in. One server of a datacenter that joins brings the
// others: each floods the servers of its LAN pool into the WAN pool, see [Flooder].
package wan
