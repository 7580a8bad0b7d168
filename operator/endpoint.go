package operator

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/hanse-project/hanse/rpc"
)

// Log is what the endpoint asks of this server's part in the log.
type Log interface {
	Leader() raft.Server
	Configuration() (servers []raft.Server, index uint64)
	RemovePeer(ctx context.Context, id raft.ServerID) error
	RaftStats() (RaftStats, error)
}

// Pools is what the endpoint asks of gossip.
type Pools interface {
	// NodeName is the name of the server with that ID, "" if there is none.
	NodeName(id string) string
	// Keyring carries out one operation on the LAN pool, or on the WAN pool.
	Keyring(wan bool, operation, key string, relayFactor uint8) *KeyringResponse
	// Datacenters are the names of the other datacenters.
	Datacenters() []string
}

// Endpoint answers the methods on a server.
type Endpoint struct {
	log   Log
	pools Pools
	// progress is the last log index of each server, as far as the leader knows.
	progress func() map[raft.ServerID]uint64
	// forward asks one server of another datacenter.
	forward func(ctx context.Context, dc string, req *KeyringRequest) (*KeyringResponses, error)
}

// NewEndpoint makes the endpoint. progress is the last log index of each server, as far
// as the leader knows; forward asks one server of another datacenter.
func NewEndpoint(log Log, pools Pools, progress func() map[raft.ServerID]uint64,
	forward func(ctx context.Context, dc string, req *KeyringRequest) (*KeyringResponses, error)) *Endpoint {
	return &Endpoint{log: log, pools: pools, progress: progress, forward: forward}
}

// Methods binds the methods of this package.
func (e *Endpoint) Methods() []rpc.Handler {
	return []rpc.Handler{
		Ping.Handle(e.ping), Leader.Handle(e.leader), Peers.Handle(e.peers), Stats.Handle(e.stats),
		GetConfiguration.Handle(e.configuration),
		RemovePeerByAddress.Handle(e.removePeer), RemovePeerByID.Handle(e.removePeer),
		Keyring.Handle(e.keyring),
	}
}

func (e *Endpoint) ping(context.Context, *rpc.Call, *rpc.Empty) (*rpc.Nothing, error) {
	return &rpc.Nothing{}, nil
}

func (e *Endpoint) leader(context.Context, *rpc.Call, *DCRequest) (*string, error) {
	return new(string(e.log.Leader().Address)), nil
}

func (e *Endpoint) peers(context.Context, *rpc.Call, *DCRequest) (*[]string, error) {
	servers, _ := e.log.Configuration()
	peers := make([]string, len(servers))
	for i, s := range servers {
		peers[i] = string(s.Address)
	}
	return &peers, nil
}

func (e *Endpoint) stats(context.Context, *rpc.Call, *rpc.Empty) (*RaftStats, error) {
	stats, err := e.log.RaftStats()
	return &stats, err
}

func (e *Endpoint) configuration(_ context.Context, call *rpc.Call, _ *DCRequest) (*RaftConfiguration, error) {
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessRead, ""); err != nil {
		return nil, err
	}
	servers, index := e.log.Configuration()
	leader, last := e.log.Leader(), e.progress()
	rep := &RaftConfiguration{Index: index, Servers: make([]*RaftServer, len(servers))}
	for i, s := range servers {
		node := e.pools.NodeName(string(s.ID))
		if node == "" {
			node = "(unknown)"
		}
		rep.Servers[i] = &RaftServer{
			ID: string(s.ID), Node: node, Address: string(s.Address),
			Leader: s.ID == leader.ID, Voter: s.Suffrage == raft.Voter, ProtocolVersion: "3",
			LastIndex: last[s.ID],
		}
	}
	return rep, nil
}

func (e *Endpoint) removePeer(ctx context.Context, call *rpc.Call, req *RemovePeerRequest) (*rpc.Nothing, error) {
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessWrite, ""); err != nil {
		return nil, err
	}
	if (req.ID == "") == (req.Address == "") {
		return nil, rpc.Invalid("Must specify either ?id with the server's ID or ?address with IP:port of peer to remove")
	}
	servers, _ := e.log.Configuration()
	for _, s := range servers {
		if string(s.ID) == req.ID || string(s.Address) == req.Address {
			if err := e.log.RemovePeer(ctx, s.ID); err != nil {
				return nil, fmt.Errorf("remove %s at %s from the raft configuration: %w", s.ID, s.Address, err)
			}
			return &rpc.Nothing{}, nil
		}
	}
	if req.ID != "" {
		return nil, rpc.Invalid(fmt.Sprintf("id %q was not found in the Raft configuration", req.ID))
	}
	return nil, rpc.Invalid(fmt.Sprintf("address %q was not found in the Raft configuration", req.Address))
}
