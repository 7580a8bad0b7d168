// Package operator is what the people who run a datacenter ask its servers: who
// leads, who is in the quorum, which gossip keys are in use, and whether a server
// is there at all.
package operator
