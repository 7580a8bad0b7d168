package operator

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// Log is what the endpoint asks of this server's part in the log.
type Log interface {
	Leader() raft.Server
	Configuration() (servers []raft.Server, index uint64)
	RemovePeer(ctx context.Context, id raft.ServerID) error
	RaftStats() (RaftStats, error)
	// TransferLeadership hands the lead to the server, to any if its ID is "".
	TransferLeadership(ctx context.Context, to raft.Server) error
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

// Config is what the endpoint needs.
type Config struct {
	Log   Log
	Pools Pools
	// Store and Proposer keep the configuration of autopilot, and Defaults is the one that
	// holds until it is set.
	Store    *store.Store
	Proposer store.Log
	Defaults autopilot.Config
	// Pilot is how the leader's autopilot sees the servers, read-only.
	Pilot func() *autopilot.State
	// Progress is the last log index of each server, as far as the leader knows.
	Progress func() map[raft.ServerID]uint64
	// Forward asks one server of another datacenter.
	Forward func(ctx context.Context, dc string, req *KeyringRequest) (*KeyringResponses, error)
}

// Endpoint answers the methods on a server.
type Endpoint struct{ Config }

// NewEndpoint makes the endpoint.
func NewEndpoint(c Config) *Endpoint { return &Endpoint{c} }

// Methods binds the methods of this package.
func (e *Endpoint) Methods() []rpc.Handler {
	return []rpc.Handler{
		Ping.Handle(e.ping), Leader.Handle(e.leader), Peers.Handle(e.peers), Stats.Handle(e.stats),
		GetConfiguration.Handle(e.configuration),
		RemovePeerByAddress.Handle(e.removePeer), RemovePeerByID.Handle(e.removePeer),
		Keyring.Handle(e.keyring),
		GetAutopilot.Handle(e.getAutopilot), SetAutopilot.Handle(e.setAutopilot),
		ServerHealth.Handle(e.serverHealth), AutopilotState.Handle(e.autopilotState),
		TransferLeader.Handle(e.transferLeader),
	}
}

func (e *Endpoint) ping(context.Context, *rpc.Call, *rpc.Empty) (*rpc.Nothing, error) {
	return &rpc.Nothing{}, nil
}

func (e *Endpoint) leader(context.Context, *rpc.Call, *DCRequest) (*string, error) {
	return new(string(e.Log.Leader().Address)), nil
}

func (e *Endpoint) peers(context.Context, *rpc.Call, *DCRequest) (*[]string, error) {
	servers, _ := e.Log.Configuration()
	peers := make([]string, len(servers))
	for i, s := range servers {
		peers[i] = string(s.Address)
	}
	return &peers, nil
}

func (e *Endpoint) stats(context.Context, *rpc.Call, *rpc.Empty) (*RaftStats, error) {
	stats, err := e.Log.RaftStats()
	return &stats, err
}

func (e *Endpoint) configuration(_ context.Context, call *rpc.Call, _ *DCRequest) (*RaftConfiguration, error) {
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessRead, ""); err != nil {
		return nil, err
	}
	servers, index := e.Log.Configuration()
	leader, last := e.Log.Leader(), e.Progress()
	rep := &RaftConfiguration{Index: index, Servers: make([]*RaftServer, len(servers))}
	for i, s := range servers {
		node := e.Pools.NodeName(string(s.ID))
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
	servers, _ := e.Log.Configuration()
	for _, s := range servers {
		if string(s.ID) == req.ID || string(s.Address) == req.Address {
			if err := e.Log.RemovePeer(ctx, s.ID); err != nil {
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
