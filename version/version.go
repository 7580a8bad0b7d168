// Package version says which Hanse this is and which Consul it speaks like.
//
// Two versions are needed: people read Hanse's own in the banner and the docs,
// programs read the Consul level, because they parse it to decide which
// features a server has.
package version

const (
	// Hanse is the release of this code.
	Hanse = "0.1.0"

	// Consul is the release whose interfaces this code speaks. It stands wherever
	// an existing client parses a version: the build tag of gossip members,
	// /v1/agent/self, node meta and `version -format=json`.
	Consul = "1.21.4"

	// Feature is the value of the gossip tag "hanse", by which servers recognise
	// each other without trying. It rises when servers gain an RPC of our own.
	Feature = 1
)
