// Package lan is the gossip pool of one datacenter: its servers and client agents.
//
// Only members of this datacenter are let in, and no two live members may share a
// node ID. User events travel here and nowhere else; package event reads them.
package lan
