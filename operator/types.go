package operator

import "github.com/hanse-project/hanse/rpc"

// DCRequest asks about a whole datacenter.
type DCRequest struct{ rpc.Read }

// RaftServer is a server in the Raft configuration.
type RaftServer struct {
	ID              string
	Node            string
	Address         string
	Leader          bool
	ProtocolVersion string
	Voter           bool
	LastIndex       uint64
}

// RaftConfiguration is who takes part in the log.
type RaftConfiguration struct {
	Servers []*RaftServer
	// Index is the log index of the configuration.
	Index uint64
}

// RemovePeerRequest names the server to take out of the configuration, by one of the two.
type RemovePeerRequest struct {
	rpc.Write
	Address string
	ID      string
}

// RaftStats is how far a server's log is.
type RaftStats struct {
	// LastContact is a duration as text, "0s" on the leader, "never" before there was one.
	LastContact string
	LastTerm    uint64
	LastIndex   uint64
}

// KeyringRequest asks for an operation on the gossip keys of every pool.
type KeyringRequest struct {
	rpc.Read
	// Operation is list, install, use or remove.
	Operation string
	// Key is the key in base64, except for list.
	Key string
	// Forwarded is set by the first server when it asks those of other datacenters.
	Forwarded   bool
	LocalOnly   bool
	RelayFactor uint8
}

// KeyringResponses are the answers of all pools.
type KeyringResponses struct {
	Responses []*KeyringResponse
	rpc.Meta
}

// KeyringResponse is the answer of one pool.
type KeyringResponse struct {
	WAN        bool
	Datacenter string
	Segment    string
	Partition  string
	// Messages are the complaints of members, by name.
	Messages map[string]string
	// Keys and PrimaryKeys count the members that hold a key.
	Keys        map[string]int
	PrimaryKeys map[string]int
	NumNodes    int
	Error       string
}

// The methods. Those of Status are answered by whichever server is asked.
var (
	Ping = rpc.Method[rpc.Empty, rpc.Nothing]{Info: rpc.Info{
		Name: "Status.Ping", Route: rpc.Local}}
	Leader = rpc.Method[DCRequest, string]{Info: rpc.Info{
		Name: "Status.Leader", Route: rpc.AnyServer}}
	Peers = rpc.Method[DCRequest, []string]{Info: rpc.Info{
		Name: "Status.Peers", Route: rpc.AnyServer}}
	Stats = rpc.Method[rpc.Empty, RaftStats]{Info: rpc.Info{
		Name: "Status.RaftStats", Route: rpc.Local}}
	// GetConfiguration is what a datacenter that lost its majority is repaired by, so that
	// any server may be asked.
	GetConfiguration = rpc.Method[DCRequest, RaftConfiguration]{Info: rpc.Info{
		Name: "Operator.RaftGetConfiguration", Leader: true, StaleAnywhere: true, Resource: rpc.ResourceOperator}}
	RemovePeerByAddress = rpc.Method[RemovePeerRequest, rpc.Nothing]{Info: rpc.Info{
		Name: "Operator.RaftRemovePeerByAddress", Write: true, Resource: rpc.ResourceOperator}}
	RemovePeerByID = rpc.Method[RemovePeerRequest, rpc.Nothing]{Info: rpc.Info{
		Name: "Operator.RaftRemovePeerByID", Write: true, Resource: rpc.ResourceOperator}}
	Keyring = rpc.Method[KeyringRequest, KeyringResponses]{Info: rpc.Info{
		Name: "Internal.KeyringOperation", Route: rpc.Local, Class: rpc.List, Resource: rpc.ResourceKeyring}}
)
