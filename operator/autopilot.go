package operator

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
)

// AutopilotConfig says how servers enter and leave the quorum by themselves. See
// https://developer.hashicorp.com/consul/api-docs/operator/autopilot.
type AutopilotConfig struct {
	CleanupDeadServers      bool
	LastContactThreshold    time.Duration
	MaxTrailingLogs         uint64
	MinQuorum               uint
	ServerStabilizationTime time.Duration
	// The three below are kept for those who set them, and mean nothing here.
	RedundancyZoneTag       string
	DisableUpgradeMigration bool
	UpgradeVersionTag       string
	// CreateIndex and ModifyIndex are 0 while the servers' own settings hold.
	CreateIndex uint64
	ModifyIndex uint64
}

// Pilot is the part of the configuration that is acted upon.
func (c *AutopilotConfig) Pilot() autopilot.Config {
	return autopilot.Config{
		CleanupDeadServers: c.CleanupDeadServers, LastContactThreshold: c.LastContactThreshold,
		MaxTrailingLogs: c.MaxTrailingLogs, MinQuorum: c.MinQuorum, ServerStabilizationTime: c.ServerStabilizationTime,
	}
}

// AutopilotSetRequest replaces the configuration, with CAS only if its ModifyIndex is
// still the one in Config.
type AutopilotSetRequest struct {
	rpc.Write
	Config AutopilotConfig
	CAS    bool
}

// AutopilotServerHealth is how autopilot sees one server.
type AutopilotServerHealth struct {
	ID      string
	Name    string
	Address string
	// SerfStatus is serf's number: 1 alive, 2 leaving, 3 left, 4 failed.
	SerfStatus  int
	Version     string
	Leader      bool
	LastContact time.Duration
	LastTerm    uint64
	LastIndex   uint64
	Healthy     bool
	Voter       bool
	StableSince time.Time
}

// AutopilotHealthReply is the health of all servers, in the order of their names.
type AutopilotHealthReply struct {
	Healthy bool
	// FailureTolerance is how many voters may be lost before the quorum is.
	FailureTolerance int
	Servers          []AutopilotServerHealth
}

// TransferLeaderRequest hands the lead to the server with that ID, to any if it is "".
type TransferLeaderRequest struct {
	rpc.Write
	ID string
}

// TransferLeaderReply says that the lead was handed over.
type TransferLeaderReply struct{ Success bool }

// The methods of autopilot.
var (
	GetAutopilot = rpc.Method[DCRequest, AutopilotConfig]{Info: rpc.Info{
		Name: "Operator.AutopilotGetConfiguration", Resource: rpc.ResourceOperator}}
	SetAutopilot = rpc.Method[AutopilotSetRequest, bool]{Info: rpc.Info{
		Name: "Operator.AutopilotSetConfiguration", Write: true, Resource: rpc.ResourceOperator}}
	ServerHealth = rpc.Method[DCRequest, AutopilotHealthReply]{Info: rpc.Info{
		Name: "Operator.ServerHealth", Leader: true, Resource: rpc.ResourceOperator}}
	AutopilotState = rpc.Method[DCRequest, autopilot.State]{Info: rpc.Info{
		Name: "Operator.AutopilotState", Leader: true, Resource: rpc.ResourceOperator}}
	// TransferLeader is known to Hanse alone: others have it elsewhere than in this protocol.
	TransferLeader = rpc.Method[TransferLeaderRequest, TransferLeaderReply]{Info: rpc.Info{
		Name: "Hanse.TransferLeader", Write: true, Resource: rpc.ResourceOperator}}
)

// Autopilot is the configuration in force: the one that was set, or else the servers' own.
func Autopilot(v *store.View, own autopilot.Config) AutopilotConfig {
	if set, found := lookup(v); found {
		return *set
	}
	return AutopilotConfig{
		CleanupDeadServers: own.CleanupDeadServers, LastContactThreshold: own.LastContactThreshold,
		MaxTrailingLogs: own.MaxTrailingLogs, MinQuorum: own.MinQuorum, ServerStabilizationTime: own.ServerStabilizationTime,
	}
}

func (e *Endpoint) getAutopilot(_ context.Context, call *rpc.Call, _ *DCRequest) (*AutopilotConfig, error) {
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessRead, ""); err != nil {
		return nil, err
	}
	return new(Autopilot(e.Store.Read(nil), e.Defaults)), nil
}

// setAutopilot answers false also to a change without CAS, as servers always did.
func (e *Endpoint) setAutopilot(ctx context.Context, call *rpc.Call, req *AutopilotSetRequest) (*bool, error) {
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessWrite, ""); err != nil {
		return nil, err
	}
	if err := req.Config.check(); err != nil {
		return nil, err
	}
	done, _, err := store.Propose[bool](ctx, e.Proposer, opSet, &setAutopilot{Config: req.Config, CAS: req.CAS})
	if err != nil {
		return nil, err
	}
	return new(done && req.CAS), nil
}

func (c *AutopilotConfig) check() error {
	switch {
	case c.LastContactThreshold <= 0:
		return rpc.Invalid("LastContactThreshold must be positive: no server would be healthy")
	case c.ServerStabilizationTime < 0:
		return rpc.Invalid("ServerStabilizationTime cannot be negative")
	}
	return nil
}

func (e *Endpoint) autopilotState(_ context.Context, call *rpc.Call, _ *DCRequest) (*autopilot.State, error) {
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessRead, ""); err != nil {
		return nil, err
	}
	return e.Pilot(), nil
}

// serfNumbers are serf's own numbers of what autopilot says in words.
var serfNumbers = map[autopilot.NodeStatus]int{autopilot.NodeAlive: 1, autopilot.NodeLeft: 3, autopilot.NodeFailed: 4}

func (e *Endpoint) serverHealth(_ context.Context, call *rpc.Call, _ *DCRequest) (*AutopilotHealthReply, error) {
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessRead, ""); err != nil {
		return nil, err
	}
	state := e.Pilot()
	rep := &AutopilotHealthReply{Healthy: state.Healthy, FailureTolerance: state.FailureTolerance, Servers: []AutopilotServerHealth{}}
	for id, s := range state.Servers {
		rep.Servers = append(rep.Servers, AutopilotServerHealth{
			ID: string(id), Name: s.Server.Name, Address: string(s.Server.Address), SerfStatus: serfNumbers[s.Server.NodeStatus],
			Version: s.Server.Version, Leader: s.State == autopilot.RaftLeader, LastContact: s.Stats.LastContact,
			LastTerm: s.Stats.LastTerm, LastIndex: s.Stats.LastIndex, Healthy: s.Health.Healthy, Voter: s.HasVotingRights(),
			StableSince: s.Health.StableSince,
		})
	}
	slices.SortFunc(rep.Servers, func(a, b AutopilotServerHealth) int { return strings.Compare(a.Name, b.Name) })
	return rep, nil
}

func (e *Endpoint) transferLeader(ctx context.Context, call *rpc.Call, req *TransferLeaderRequest) (*TransferLeaderReply, error) {
	if err := call.Allow(rpc.ResourceOperator, rpc.AccessWrite, ""); err != nil {
		return nil, err
	}
	servers, _ := e.Log.Configuration()
	leader := e.Log.Leader()
	to := raft.Server{}
	for _, s := range servers {
		switch {
		case req.ID == "" && s.ID != leader.ID && s.Suffrage == raft.Voter:
			return e.handOver(ctx, to)
		case req.ID != "" && strings.EqualFold(string(s.ID), req.ID):
			to = s
		}
	}
	switch {
	case req.ID == "":
		return nil, rpc.Failed("cannot find peer") // this server is the only one with a vote
	case to.ID == "":
		return nil, rpc.Failed("id \"" + req.ID + "\" was not found in the Raft configuration")
	case to.ID == leader.ID:
		return nil, rpc.Failed("id \"" + req.ID + "\" leads already")
	case to.Suffrage != raft.Voter:
		return nil, rpc.Failed("id \"" + req.ID + "\" has no vote, so it cannot lead")
	}
	return e.handOver(ctx, to)
}

func (e *Endpoint) handOver(ctx context.Context, to raft.Server) (*TransferLeaderReply, error) {
	if err := e.Log.TransferLeadership(ctx, to); err != nil {
		return nil, err
	}
	return &TransferLeaderReply{Success: true}, nil
}
