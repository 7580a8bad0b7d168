package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/hanse-project/hanse/operator"
)

// span is a duration as JSON shows it: a text. It is read from a number of nanoseconds too.
type span time.Duration

// MarshalJSON implements json.Marshaler.
func (s span) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(s).String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (s *span) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return json.Unmarshal(data, (*int64)(s))
	}
	d, err := time.ParseDuration(text)
	*s = span(d)
	return err
}

// autopilotConfig is the configuration as it is shown.
type autopilotConfig struct {
	CleanupDeadServers      bool
	LastContactThreshold    span
	MaxTrailingLogs         uint64
	MinQuorum               uint
	ServerStabilizationTime span
	RedundancyZoneTag       string
	DisableUpgradeMigration bool
	UpgradeVersionTag       string
	CreateIndex             uint64
	ModifyIndex             uint64
}

func (a *API) autopilotConfiguration(_ http.ResponseWriter, r *request) (any, error) {
	req := &operator.DCRequest{}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	c, err := operator.GetAutopilot.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	return autopilotConfig{
		CleanupDeadServers: c.CleanupDeadServers, LastContactThreshold: span(c.LastContactThreshold), MaxTrailingLogs: c.MaxTrailingLogs,
		MinQuorum: c.MinQuorum, ServerStabilizationTime: span(c.ServerStabilizationTime), RedundancyZoneTag: c.RedundancyZoneTag,
		DisableUpgradeMigration: c.DisableUpgradeMigration, UpgradeVersionTag: c.UpgradeVersionTag,
		CreateIndex: c.CreateIndex, ModifyIndex: c.ModifyIndex,
	}, nil
}

// autopilotConfigure replaces the configuration. What the body leaves out gets the
// documented default.
func (a *API) autopilotConfigure(_ http.ResponseWriter, r *request) (any, error) {
	body, err := r.body(maxBody)
	if err != nil {
		return nil, err
	}
	c := autopilotConfig{
		CleanupDeadServers: true, LastContactThreshold: span(200 * time.Millisecond), MaxTrailingLogs: 250, ServerStabilizationTime: span(10 * time.Second),
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := decodeAll(dec, &c); err != nil {
		return nil, badRequest("Error parsing autopilot config: " + err.Error())
	}
	req := &operator.AutopilotSetRequest{Config: operator.AutopilotConfig{
		CleanupDeadServers: c.CleanupDeadServers, LastContactThreshold: time.Duration(c.LastContactThreshold), MaxTrailingLogs: c.MaxTrailingLogs,
		MinQuorum: c.MinQuorum, ServerStabilizationTime: time.Duration(c.ServerStabilizationTime), RedundancyZoneTag: c.RedundancyZoneTag,
		DisableUpgradeMigration: c.DisableUpgradeMigration, UpgradeVersionTag: c.UpgradeVersionTag,
	}}
	a.write(r, &req.Write)
	if r.has("cas") {
		n, err := strconv.ParseUint(r.query.Get("cas"), 10, 64)
		if err != nil {
			return nil, badRequest("Error parsing cas value: " + err.Error())
		}
		req.Config.ModifyIndex, req.CAS = n, true
	}
	done, err := operator.SetAutopilot.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	return *done || !req.CAS, nil
}

// serfWords are the states of members by serf's numbers.
var serfWords = [...]string{"none", "alive", "leaving", "left", "failed"}

// autopilotHealth tells how the servers are. Status 429 says that one is not well.
func (a *API) autopilotHealth(_ http.ResponseWriter, r *request) (any, error) {
	req := &operator.DCRequest{}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	rep, err := operator.ServerHealth.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	if !rep.Healthy {
		r.status = http.StatusTooManyRequests
	}
	type health struct {
		ID, Name, Address, SerfStatus, Version string
		Leader                                 bool
		LastContact                            span
		LastTerm, LastIndex                    uint64
		Healthy, Voter                         bool
		StableSince                            time.Time
	}
	servers := make([]health, len(rep.Servers))
	for i, s := range rep.Servers {
		word := "unknown"
		if s.SerfStatus >= 0 && s.SerfStatus < len(serfWords) {
			word = serfWords[s.SerfStatus]
		}
		servers[i] = health{
			s.ID, s.Name, s.Address, word, s.Version, s.Leader, span(s.LastContact), s.LastTerm, s.LastIndex,
			s.Healthy, s.Voter, s.StableSince.Round(time.Second).UTC(),
		}
	}
	return struct {
		Healthy          bool
		FailureTolerance int
		Servers          []health
	}{rep.Healthy, rep.FailureTolerance, servers}, nil
}

func (a *API) autopilotState(_ http.ResponseWriter, r *request) (any, error) {
	req := &operator.DCRequest{}
	if err := a.read(r, &req.Read); err != nil {
		return nil, err
	}
	state, err := operator.AutopilotState.Call(r.Context(), a.cfg.Caller, req)
	if err != nil {
		return nil, err
	}
	return shownState(state), nil
}

// pilotServer is one server as autopilot's state shows it.
type pilotServer struct {
	ID, Name, Address, NodeStatus, Version string
	LastContact                            span
	LastTerm, LastIndex                    uint64
	Healthy                                bool
	StableSince                            time.Time
	ReadReplica                            bool
	Status                                 string
	Meta                                   map[string]string
	NodeType                               string
}

func shownState(state *autopilot.State) any {
	servers := make(map[string]pilotServer, len(state.Servers))
	for id, s := range state.Servers {
		servers[string(id)] = pilotServer{
			ID: string(id), Name: s.Server.Name, Address: string(s.Server.Address), NodeStatus: string(s.Server.NodeStatus), Version: s.Server.Version,
			LastContact: span(s.Stats.LastContact), LastTerm: s.Stats.LastTerm, LastIndex: s.Stats.LastIndex,
			Healthy: s.Health.Healthy, StableSince: s.Health.StableSince.UTC(), ReadReplica: s.Server.NodeType != autopilot.NodeVoter,
			Status: string(s.State), Meta: s.Server.Meta, NodeType: string(s.Server.NodeType),
		}
	}
	voters := make([]string, len(state.Voters))
	for i, id := range state.Voters {
		voters[i] = string(id)
	}
	return struct {
		Healthy                    bool
		FailureTolerance           int
		OptimisticFailureTolerance int
		Servers                    map[string]pilotServer
		Leader                     string
		Voters                     []string
	}{state.Healthy, state.FailureTolerance, state.FailureTolerance, servers, string(state.Leader), voters}
}
