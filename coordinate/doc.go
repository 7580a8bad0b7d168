// Package coordinate is where the nodes of a datacenter are in the space of round-trip
// times.
//
// Gossip measures: every probe moves a member's coordinate a little, so that the
// distance between two of them estimates the round trip between their nodes. An agent
// tells the servers of its datacenter where it is ([Sender]); the leader gathers what it
// is told and logs it every few seconds ([Endpoint.Run]); answers that are sorted by
// distance ([Ruler]) and `hanse rtt` read it. Coordinates of the WAN are read from gossip
// and never stored.
//
// An update is a hint: one that the leader loses with its office is told again by the
// agent. The coordinate of a node is gone with the node, in the same transaction.
//
// See https://developer.hashicorp.com/consul/docs/architecture/coordinates.
package coordinate
