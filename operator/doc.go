// Package operator is what the people who run a datacenter ask its servers: who
// leads, who is in the quorum and how it is kept, which gossip keys are in use, and
// whether a server is there at all.
//
// The configuration of autopilot is kept here once somebody sets it. Until then each
// leader goes by its own settings.
package operator
