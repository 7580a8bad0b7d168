package httpapi_test

import (
	"context"
	"errors"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/agent"
	"github.com/hanse-project/hanse/config"
)

// host is an address that only this test listens on.
const host = "127.83.1.1"

// startAgent runs a whole agent, and returns a client of it once it can be written to.
func startAgent(t *testing.T) *api.Client {
	t.Helper()
	set := flag.NewFlagSet("agent", flag.ContinueOnError)
	flags := config.Register(set)
	if err := set.Parse([]string{"-dev", "-node", "alpha", "-bind", host, "-client", host}); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := flags.Load()
	if err != nil {
		t.Fatal(err)
	}
	a, err := agent.New(cfg, agent.Options{Log: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: t.Output()})})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the agent ended badly: %v", err)
		}
	})
	c, err := api.NewClient(&api.Config{Address: host + ":8500"})
	if err != nil {
		t.Fatal(err)
	}
	// A write waits for a leader. The node's check comes from that one, sooner or later than
	// the rest of the node comes from the agent.
	for index := uint64(0); ; {
		checks, meta, err := c.Health().Node("alpha", &api.QueryOptions{WaitIndex: index, WaitTime: time.Second})
		if err == nil && len(checks) > 0 {
			return c
		}
		if err == nil {
			index = meta.LastIndex
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatal("the agent ended before it had a leader")
		case <-t.Context().Done():
			t.Fatalf("no leader: %v", err)
		default:
		}
	}
}

// The client that nearly every Go program uses must see nothing unusual.
func TestTheUsualClientIsAtHome(t *testing.T) {
	c := startAgent(t)
	t.Run("kv", func(t *testing.T) { clientKV(t, c.KV()) })
	t.Run("txn", func(t *testing.T) { clientTxn(t, c.Txn()) })
	t.Run("catalog", func(t *testing.T) { clientCatalog(t, c) })
	t.Run("agent", func(t *testing.T) { clientAgent(t, c) })
}

func clientKV(t *testing.T, c *api.KV) {
	if _, err := c.Put(&api.KVPair{Key: "config/a", Value: []byte("1"), Flags: 42}, nil); err != nil {
		t.Fatal(err)
	}
	pair, meta, err := c.Get("config/a", nil)
	if err != nil || pair == nil || string(pair.Value) != "1" || pair.Flags != 42 || meta.LastIndex != pair.ModifyIndex || !meta.KnownLeader {
		t.Fatalf("%+v %+v %v", pair, meta, err)
	}
	if done, _, err := c.CAS(&api.KVPair{Key: "config/a", Value: []byte("2"), ModifyIndex: pair.ModifyIndex}, nil); !done || err != nil {
		t.Fatalf("cas: %v %v", done, err)
	}
	if done, _, err := c.DeleteCAS(pair, nil); done || err != nil {
		t.Fatalf("delete with an old index: %v %v", done, err)
	}
	if pair, _, err := c.Get("none", nil); pair != nil || err != nil {
		t.Fatalf("a missing key: %v %v", pair, err)
	}
	if keys, _, err := c.Keys("", "/", nil); err != nil || len(keys) != 1 || keys[0] != "config/" {
		t.Fatalf("keys: %v %v", keys, err)
	}
	if pair, _, err = c.Get("config/a", &api.QueryOptions{WaitIndex: meta.LastIndex + 100, WaitTime: 10 * time.Millisecond}); err != nil || string(pair.Value) != "2" {
		t.Fatalf("a wait that ends: %v %v", pair, err)
	}
	if _, err := c.Put(&api.KVPair{Key: "big", Value: make([]byte, 512<<10+1)}, nil); err == nil || !strings.Contains(err.Error(), "is too large") {
		t.Fatalf("a large value: %v", err)
	}
	if _, err := c.DeleteTree("config/", nil); err != nil {
		t.Fatal(err)
	}
	if pairs, _, err := c.List("", nil); len(pairs) != 0 || err != nil {
		t.Fatalf("list: %v %v", pairs, err)
	}
}

func clientTxn(t *testing.T, c *api.Txn) {
	ok, rep, _, err := c.Txn(api.TxnOps{
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "a", Value: []byte("1")}},
		{KV: &api.KVTxnOp{Verb: api.KVGet, Key: "a"}},
		{Node: &api.NodeTxnOp{Verb: api.NodeSet, Node: api.Node{Node: "n", Address: "10.0.0.9"}}},
	}, nil)
	if err != nil || !ok || len(rep.Results) != 3 || string(rep.Results[1].KV.Value) != "1" || rep.Results[2].Node.Address != "10.0.0.9" {
		t.Fatalf("%v %+v %v", ok, rep, err)
	}
	ok, rep, _, err = c.Txn(api.TxnOps{
		{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "b", Value: []byte("1")}},
		{KV: &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: "a"}},
	}, nil)
	if err != nil || ok || len(rep.Errors) != 1 || rep.Errors[0].OpIndex != 1 {
		t.Fatalf("%v %+v %v", ok, rep, err)
	}
	ok, rep, _, err = c.Txn(api.TxnOps{{KV: &api.KVTxnOp{Verb: api.KVGetOrEmpty, Key: "b"}}}, nil)
	if err != nil || !ok || len(rep.Results) != 1 || rep.Results[0].KV.Value != nil {
		t.Fatalf("%v %+v %v", ok, rep, err)
	}
	many := make(api.TxnOps, 128)
	for i := range many {
		many[i] = &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVSet, Key: "many", Value: []byte("x")}}
	}
	if ok, _, _, err := c.Txn(many, nil); !ok || err != nil {
		t.Fatalf("128 operations: %v", err)
	}
	if _, _, _, err := c.Txn(append(many, many[0]), nil); err == nil || !strings.Contains(err.Error(), "is too large") {
		t.Fatalf("129 operations: %v", err)
	}
}

func clientCatalog(t *testing.T, c *api.Client) {
	_, err := c.Catalog().Register(&api.CatalogRegistration{
		Node: "ext", Address: "10.0.0.1", NodeMeta: map[string]string{"rack": "r1"},
		Service: &api.AgentService{ID: "web-1", Service: "web", Port: 80, Tags: []string{"v1", "blue"}, Weights: api.AgentWeights{Passing: 3, Warning: 1}},
		Checks: api.HealthChecks{{
			Node: "ext", CheckID: "web", Name: "web", Status: api.HealthPassing, ServiceID: "web-1",
			Definition: api.HealthCheckDefinition{HTTP: "http://10.0.0.1/", IntervalDuration: 10 * time.Second, TimeoutDuration: time.Second},
		}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	found, meta, err := c.Health().ServiceMultipleTags("web", []string{"v1", "blue"}, true, &api.QueryOptions{NodeMeta: map[string]string{"rack": "r1"}, Near: "_agent", UseCache: true})
	if err != nil || len(found) != 1 || found[0].Service.Weights.Passing != 3 || meta.CacheHit {
		t.Fatalf("%+v %v", found, err)
	}
	if d := found[0].Checks[0].Definition; d.HTTP != "http://10.0.0.1/" || d.IntervalDuration != 10*time.Second {
		t.Fatalf("definition %+v", d)
	}
	if found, _, err := c.Health().ServiceMultipleTags("web", []string{"v1", "green"}, false, nil); len(found) != 0 || err != nil {
		t.Fatalf("with another tag: %v %v", found, err)
	}
	if services, _, err := c.Catalog().Services(&api.QueryOptions{Filter: `ServiceName == "web"`}); err != nil || len(services["web"]) != 2 {
		t.Fatalf("%v %v", services, err)
	}
	if _, _, err := c.Catalog().Nodes(&api.QueryOptions{Filter: "nonsense"}); err == nil || !strings.Contains(err.Error(), "boolean expression") {
		t.Fatalf("a bad filter: %v", err)
	}
	if node, _, err := c.Catalog().Node("ext", nil); err != nil || node.Services["web-1"].Port != 80 {
		t.Fatalf("%+v %v", node, err)
	}
	if checks, _, err := c.Health().State(api.HealthAny, nil); err != nil || len(checks) != 2 {
		t.Fatalf("%v %v", checks, err)
	}
	if _, err := c.Catalog().Deregister(&api.CatalogDeregistration{Node: "ext"}, nil); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.Catalog().Nodes(&api.QueryOptions{Datacenter: "nowhere"})
	if status, ok := errors.AsType[api.StatusError](err); !ok || status.Code != 500 || !strings.HasPrefix(status.Body, "No path to datacenter") {
		t.Fatalf("an unknown datacenter: %v", err)
	}
}

func clientAgent(t *testing.T, c *api.Client) {
	if name, err := c.Status().Leader(); err != nil || name != host+":8300" {
		t.Fatalf("leader %q %v", name, err)
	}
	if members, err := c.Agent().MembersOpts(api.MembersOpts{Filter: "Status == 1"}); err != nil || len(members) != 1 || members[0].Name != "alpha" {
		t.Fatalf("%+v %v", members, err)
	}
	if conf, err := c.Operator().RaftGetConfiguration(nil); err != nil || len(conf.Servers) != 1 || !conf.Servers[0].Leader {
		t.Fatalf("%+v %v", conf, err)
	}
	if services, err := c.Agent().Services(); err != nil || len(services) != 0 {
		t.Fatalf("%v %v", services, err)
	}
	archive, meta, err := c.Snapshot().Save(nil)
	if err != nil || meta.LastIndex < 2 {
		t.Fatalf("%+v %v", meta, err)
	}
	defer archive.Close()
	if _, err := c.KV().Put(&api.KVPair{Key: "later"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Snapshot().Restore(nil, archive); err != nil {
		t.Fatal(err)
	}
	if pair, _, err := c.KV().Get("later", nil); pair != nil || err != nil {
		t.Fatalf("a key from after the snapshot is still there: %v %v", pair, err)
	}
	if self, err := c.Agent().Self(); err != nil || self["Config"]["NodeName"] != "alpha" {
		t.Fatalf("%v %v", self, err)
	}
	if metrics, err := c.Agent().Metrics(); err != nil || len(metrics.Gauges) == 0 {
		t.Fatalf("%+v %v", metrics, err)
	}
	if err := c.Agent().ForceLeave("nobody"); err == nil || !strings.Contains(err.Error(), "No node found with name") {
		t.Fatalf("force-leave of nobody: %v", err)
	}
	if err := c.Agent().Leave(); err != nil {
		t.Fatal(err)
	}
}
