package operator

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/rpc/rpctest"
	"github.com/hanse-project/hanse/store/storetest"
)

// metaOfRequests are the fields of other questions that peers send along.
type metaOfRequests struct {
	rpc.Read
	NodeMetaFilters map[string]string
	PeerName        string
	Source          struct {
		Datacenter, Ip, Node, NodePartition, Segment string
		DisableNode                                  bool
	}
}

// What peers send decodes without a field left over, and encodes to as many bytes.
func TestTypesAreThoseOfPeers(t *testing.T) {
	rpctest.Compare(t, "testdata/rpc.jsonl", rpctest.Types{
		"Operator.AutopilotGetConfiguration": {rpctest.Made[metaOfRequests], rpctest.Made[AutopilotConfig]},
		"Operator.AutopilotSetConfiguration": {rpctest.Made[AutopilotSetRequest], rpctest.Made[bool]},
		"Operator.ServerHealth":              {rpctest.Made[metaOfRequests], rpctest.Made[AutopilotHealthReply]},
		"Operator.AutopilotState":            {rpctest.Made[metaOfRequests], rpctest.Made[autopilot.State]},
	})
}

// group is a log of three servers, the first of which leads.
type group struct {
	Log
	to   raft.Server
	fail error
}

func (g *group) Leader() raft.Server { return raft.Server{ID: "a", Address: "a:1"} }

func (g *group) Configuration() ([]raft.Server, uint64) {
	return []raft.Server{{ID: "a"}, {ID: "b", Address: "b:1"}, {ID: "c", Suffrage: raft.Nonvoter}}, 1
}

func (g *group) TransferLeadership(_ context.Context, to raft.Server) error {
	g.to = to
	return g.fail
}

func newEndpoint(t *testing.T, g *group) *Endpoint {
	s, log := storetest.New(t, Module())
	return NewEndpoint(Config{Log: g, Store: s, Proposer: log, Defaults: autopilot.Config{LastContactThreshold: time.Second, MaxTrailingLogs: 5}})
}

func anyone() *rpc.Call { return &rpc.Call{Authz: rpc.AllowAll{}} }

func TestConfigurationOfAutopilot(t *testing.T) {
	e := newEndpoint(t, &group{})
	get := func() AutopilotConfig {
		t.Helper()
		c, err := e.getAutopilot(t.Context(), anyone(), &DCRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return *c
	}
	set := func(c AutopilotConfig, cas bool) bool {
		t.Helper()
		done, err := e.setAutopilot(t.Context(), anyone(), &AutopilotSetRequest{Config: c, CAS: cas})
		if err != nil {
			t.Fatal(err)
		}
		return *done
	}
	c := get()
	if c.LastContactThreshold != time.Second || c.MaxTrailingLogs != 5 || c.ModifyIndex != 0 {
		t.Fatalf("before it is set: %+v", c)
	}
	c.MaxTrailingLogs = 300
	if !set(c, true) {
		t.Error("the first change is refused")
	}
	if set(c, true) {
		t.Error("an old index is taken")
	}
	c = get()
	if c.MaxTrailingLogs != 300 || c.ModifyIndex == 0 || c.CreateIndex != c.ModifyIndex {
		t.Errorf("after it was set: %+v", c)
	}
	created := c.CreateIndex
	c.MinQuorum = 3
	if !set(c, true) {
		t.Error("the index in force is refused")
	}
	c.UpgradeVersionTag, c.ModifyIndex = "x", 0
	if set(c, false) { // others answer so, too
		t.Error("a change without an index is answered with true")
	}
	if c = get(); c.MinQuorum != 3 || c.UpgradeVersionTag != "x" || c.CreateIndex != created || c.ModifyIndex <= created {
		t.Errorf("in the end: %+v", c)
	}
	for _, bad := range []AutopilotConfig{{}, {LastContactThreshold: -1}, {LastContactThreshold: 1, ServerStabilizationTime: -1}} {
		if _, err := e.setAutopilot(t.Context(), anyone(), &AutopilotSetRequest{Config: bad}); rpc.ReasonOf(err) != rpc.ReasonInvalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}

	restored, _ := storetest.New(t, Module())
	if err := restored.Restore(storetest.Snapshot(t, e.Store)); err != nil {
		t.Fatal(err)
	}
	if got := Autopilot(restored.Read(nil), autopilot.Config{}); got != c {
		t.Errorf("a snapshot holds %+v, want %+v", got, c)
	}
}

func TestLeadIsHandedOver(t *testing.T) {
	g := &group{}
	e := newEndpoint(t, g)
	for id, want := range map[string]string{
		"": "", "b": "", "B": "", "a": `id "a" leads already`, "c": `id "c" has no vote, so it cannot lead`,
		"d": `id "d" was not found in the Raft configuration`,
	} {
		g.to = raft.Server{ID: "nobody"}
		rep, err := e.transferLeader(t.Context(), anyone(), &TransferLeaderRequest{ID: id})
		switch {
		case want != "":
			if err == nil || err.Error() != want || g.to.ID != "nobody" {
				t.Errorf("%q: %v to %v, want %s", id, err, g.to, want)
			}
		case err != nil || !rep.Success || id == "" && g.to.ID != "" || id != "" && g.to.ID != "b":
			t.Errorf("%q: %v %v to %v", id, rep, err, g.to)
		}
	}
	g.fail = errors.New("disk full")
	if _, err := e.transferLeader(t.Context(), anyone(), &TransferLeaderRequest{}); !errors.Is(err, g.fail) {
		t.Errorf("err %v", err)
	}
}
