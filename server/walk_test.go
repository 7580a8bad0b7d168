package server

import (
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/coordinate"
	"github.com/hanse-project/hanse/event"
	"github.com/hanse-project/hanse/federation"
	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/kv/digest"
	"github.com/hanse-project/hanse/mesh"
	"github.com/hanse-project/hanse/mesh/cert"
	"github.com/hanse-project/hanse/mesh/entry"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/query"
	"github.com/hanse-project/hanse/replicate/link"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/txn"
)

// world is what the requests of the walk have to name.
type world struct{ publicSession, secretSession, publicQuery, secretQuery, trust string }

// markers stand in every row about a secret thing of a resource.
var markers = map[rpc.Resource]string{
	rpc.ResourceNode: "secret-node", rpc.ResourceService: "secret-service",
	rpc.ResourceKey: "secret/key", rpc.ResourceSession: "secret-node",
	rpc.ResourceQuery: "secret-query",
}

// step says what one method guards.
type step struct {
	// open methods guard nothing.
	open bool
	// guards are the resources by which rows are left out.
	guards []rpc.Resource
	reads  []readStep
	writes []writeStep
	// allowed are writes to public things.
	allowed []writeStep
}

type readStep struct {
	request func() rpc.Request
	// shows is in the answer to who has every right.
	shows string
	// secret says that the request asks for a secret thing.
	secret bool
}

type writeStep struct {
	// guard is the resource without which the write is refused.
	guard   rpc.Resource
	request func() rpc.Request
}

// walk has a step for every method.
func (w world) walk() map[string]step {
	walk := map[string]step{
		"Hanse.ConfirmTerm": {open: true}, "Hanse.Kinship": {open: true}, "Hanse.ReadIndex": {open: true},
		operator.Ping.Name: {open: true}, operator.Leader.Name: {open: true},
		operator.Peers.Name: {open: true}, operator.Stats.Name: {open: true},
		catalog.ListDatacenters.Name: {open: true}, coordinate.ListDatacenters.Name: {open: true},
	}
	w.kv(walk)
	w.sessions(walk)
	w.catalog(walk)
	w.coordinates(walk)
	w.transactions(walk)
	w.queries(walk)
	w.events(walk)
	w.entries(walk)
	w.mesh(walk)
	w.operator(walk)
	w.links(walk)
	return walk
}

func (world) kv(walk map[string]step) {
	key := []rpc.Resource{rpc.ResourceKey}
	get := func(key string) func() rpc.Request { return func() rpc.Request { return &kv.KeyRequest{Key: key} } }
	walk[kv.Get.Name] = step{guards: key, reads: []readStep{
		{request: get("secret/key"), shows: "secret/key", secret: true}}}
	walk[kv.List.Name] = step{guards: key, reads: []readStep{
		{request: get(""), shows: "public/key"}, {request: get("secret/"), shows: "secret/key", secret: true}}}
	walk[kv.ListKeys.Name] = step{guards: key, reads: []readStep{
		{request: func() rpc.Request { return &kv.KeyListRequest{} }, shows: "public/key"}}}
	changes := func(prefix string) func() rpc.Request {
		return func() rpc.Request { return &kv.ChangesRequest{Prefix: prefix, Since: 1} }
	}
	walk[kv.Changes.Name] = step{guards: key, reads: []readStep{
		{request: changes(""), shows: "public/key"}, {request: changes("secret/"), shows: "secret/key", secret: true}}}
	page := func(req kv.PageRequest) func() rpc.Request {
		return func() rpc.Request { again := req; return &again }
	}
	walk[kv.EntriesPage.Name] = step{guards: key, reads: []readStep{
		{request: page(kv.PageRequest{Count: true}), shows: "public/key"},
		{request: page(kv.PageRequest{Prefix: "secret/"}), shows: "secret/key", secret: true},
		{request: page(kv.PageRequest{Keys: []string{"public/key", "secret/key"}}), shows: "public/key"},
		{request: page(kv.PageRequest{Keys: []string{"secret/key"}}), shows: "secret/key", secret: true}}}
	digests := func(prefix string) func() rpc.Request {
		return func() rpc.Request { return &kv.DigestsRequest{Query: digest.Query{Prefix: prefix}} }
	}
	walk[kv.Digests.Name] = step{guards: key, reads: []readStep{
		{request: digests("public/"), shows: `"key"`}, {request: digests("secret/"), shows: `"key"`, secret: true},
		{request: digests(""), shows: "public/key", secret: true}}} // a sum says something of all that is in it
	apply := func(op kv.Verb, key string) writeStep {
		return writeStep{rpc.ResourceKey, func() rpc.Request {
			return &kv.ApplyRequest{Op: op, DirEnt: kv.Entry{Key: key, Session: "11111111-2222-3333-4444-555555555555"}}
		}}
	}
	var writes []writeStep
	for _, op := range []kv.Verb{kv.Set, kv.Delete, kv.DeleteCAS, kv.CAS, kv.Lock, kv.Unlock, kv.DeleteTree} {
		writes = append(writes, apply(op, "secret/key"))
	}
	for _, prefix := range []string{"", "sec", "secret/"} {
		writes = append(writes, apply(kv.DeleteTree, prefix))
	}
	walk[kv.Apply.Name] = step{writes: writes, allowed: []writeStep{
		apply(kv.Set, "public/key"), apply(kv.Delete, "public/key"), apply(kv.DeleteTree, "public/")}}
}

func (w world) sessions(walk map[string]step) {
	guard := []rpc.Resource{rpc.ResourceSession}
	one := func(id string) func() rpc.Request {
		return func() rpc.Request { return &session.SpecificRequest{SessionID: id} }
	}
	walk[session.Get.Name] = step{guards: guard, reads: []readStep{
		{request: one(w.publicSession), shows: "public-node"}, {request: one(w.secretSession), shows: "secret-node", secret: true}}}
	walk[session.List.Name] = step{guards: guard, reads: []readStep{{request: one(""), shows: "public-node"}}}
	walk[session.NodeSessions.Name] = step{guards: guard, reads: []readStep{{shows: "secret-node", secret: true,
		request: func() rpc.Request { return &catalog.NodeSpecificRequest{Node: "secret-node"} }}}}
	walk[session.Renew.Name] = step{writes: []writeStep{{rpc.ResourceSession, one(w.secretSession)}},
		allowed: []writeStep{{rpc.ResourceSession, one(w.publicSession)}}}
	apply := func(op session.Op, s session.Session) writeStep {
		return writeStep{rpc.ResourceSession, func() rpc.Request { return &session.ApplyRequest{Op: op, Session: s} }}
	}
	walk[session.Apply.Name] = step{
		writes: []writeStep{
			apply(session.Create, session.Session{Node: "secret-node"}),
			apply(session.Destroy, session.Session{ID: w.secretSession})},
		allowed: []writeStep{
			apply(session.Create, session.Session{Node: "public-node"}),
			apply(session.Destroy, session.Session{ID: w.publicSession})},
	}
}

func (world) catalog(walk map[string]step) {
	guards := []rpc.Resource{rpc.ResourceNode, rpc.ResourceService}
	all := func() rpc.Request { return &catalog.DCSpecificRequest{} }
	state := func() rpc.Request { return &catalog.ChecksInStateRequest{State: catalog.AnyState} }
	for name, read := range map[string]readStep{
		catalog.ListNodes.Name:     {request: all, shows: "public-node"},
		catalog.ListServices.Name:  {request: all, shows: "public-service"},
		catalog.NodeDump.Name:      {request: all, shows: "public-node"},
		catalog.ChecksInState.Name: {request: state, shows: "public-node"},
	} {
		walk[name] = step{guards: guards, reads: []readStep{read}}
	}
	node := func(name string) func() rpc.Request {
		return func() rpc.Request { return &catalog.NodeSpecificRequest{Node: name} }
	}
	for _, name := range []string{
		catalog.GetNodeServices.Name, catalog.GetNodeServiceList.Name, catalog.NodeChecks.Name, catalog.GetNodeInfo.Name,
	} {
		walk[name] = step{guards: guards, reads: []readStep{
			{request: node("public-node"), shows: "public-service"}, {request: node("secret-node"), shows: "secret-node", secret: true}}}
	}
	service := func(name string) func() rpc.Request {
		return func() rpc.Request { return &catalog.ServiceSpecificRequest{ServiceName: name} }
	}
	for _, name := range []string{catalog.ListServiceNodes.Name, catalog.ServiceChecks.Name, catalog.HealthServiceNodes.Name} {
		walk[name] = step{guards: guards, reads: []readStep{
			{request: service("public-service"), shows: "public-node"}, {request: service("secret-service"), shows: "secret-service", secret: true}}}
	}
	walk[catalog.GatewayServices.Name] = step{open: true} // there are none, whoever asks
	walk[catalog.Register.Name] = step{
		writes: []writeStep{
			register(rpc.ResourceNode, catalog.RegisterRequest{Node: "secret-new"}),
			register(rpc.ResourceNode, catalog.RegisterRequest{Node: "secret-node", NodeMeta: map[string]string{"a": "b"}}),
			register(rpc.ResourceService, catalog.RegisterRequest{Node: "public-node", Service: &catalog.NodeService{Service: "secret-new"}}),
			register(rpc.ResourceService, catalog.RegisterRequest{Node: "public-node",
				Service: &catalog.NodeService{ID: "secret-service", Service: "public-new"}}), // takes the place of a secret one
			register(rpc.ResourceNode, catalog.RegisterRequest{Node: "secret-node", SkipNodeUpdate: true,
				Check: &catalog.HealthCheck{CheckID: "new", Status: catalog.Passing}}),
			register(rpc.ResourceService, catalog.RegisterRequest{Node: "public-node",
				Check: &catalog.HealthCheck{CheckID: "new", ServiceID: "secret-service", Status: catalog.Passing}}),
		},
		allowed: []writeStep{
			register(rpc.ResourceNode, catalog.RegisterRequest{Node: "public-node", NodeMeta: map[string]string{"a": "b"}}),
			register(rpc.ResourceService, catalog.RegisterRequest{Node: "public-node", Service: &catalog.NodeService{Service: "public-new"}}),
		},
	}
	walk[catalog.Deregister.Name] = step{
		writes: []writeStep{
			deregister(rpc.ResourceNode, catalog.DeregisterRequest{Node: "secret-node"}),
			deregister(rpc.ResourceNode, catalog.DeregisterRequest{Node: "secret-node", CheckID: "secret-node:alive"}),
		},
		allowed: []writeStep{deregister(rpc.ResourceNode, catalog.DeregisterRequest{Node: "public-node", ServiceID: "public-service"})},
	}
}

func (world) coordinates(walk map[string]step) {
	guards := []rpc.Resource{rpc.ResourceNode}
	node := func(name string) func() rpc.Request {
		return func() rpc.Request { return &catalog.NodeSpecificRequest{Node: name} }
	}
	walk[coordinate.Node.Name] = step{guards: guards, reads: []readStep{
		{request: node("public-node"), shows: "public-node"}, {request: node("secret-node"), shows: "secret-node", secret: true}}}
	walk[coordinate.ListNodes.Name] = step{guards: guards, reads: []readStep{
		{request: func() rpc.Request { return &catalog.DCSpecificRequest{} }, shows: "public-node"}}}
	update := func(name string) writeStep {
		return writeStep{rpc.ResourceNode, func() rpc.Request { return &coordinate.UpdateRequest{Node: name, Coord: somewhere()} }}
	}
	walk[coordinate.Update.Name] = step{
		writes: []writeStep{update("secret-node")}, allowed: []writeStep{update("public-node")}}
}

// somewhere is a valid coordinate.
func somewhere() *coordinate.Point {
	return &coordinate.Point{Vec: make([]float64, 8), Error: 1.5, Height: 1e-5}
}

func register(guard rpc.Resource, req catalog.RegisterRequest) writeStep {
	req.Address = "127.0.0.1"
	return writeStep{guard, func() rpc.Request { again := req; return &again }}
}

func deregister(guard rpc.Resource, req catalog.DeregisterRequest) writeStep {
	return writeStep{guard, func() rpc.Request { again := req; return &again }}
}

func (w world) transactions(walk map[string]step) {
	apply := func(guard rpc.Resource, op txn.Op) writeStep {
		return writeStep{guard, func() rpc.Request {
			return &txn.Request{Ops: []*txn.Op{{KV: &txn.KVOp{Verb: kv.Set, DirEnt: kv.Entry{Key: "public/key"}}}, &op}}
		}}
	}
	walk[txn.Apply.Name] = step{
		writes: []writeStep{
			apply(rpc.ResourceKey, txn.Op{KV: &txn.KVOp{Verb: kv.Set, DirEnt: kv.Entry{Key: "secret/key"}}}),
			apply(rpc.ResourceKey, txn.Op{KV: &txn.KVOp{Verb: kv.DeleteTree, DirEnt: kv.Entry{Key: ""}}}),
			apply(rpc.ResourceNode, txn.Op{Node: &txn.NodeOp{Verb: catalog.Delete, Node: catalog.Node{Node: "secret-node"}}}),
			apply(rpc.ResourceNode, txn.Op{Node: &txn.NodeOp{Verb: catalog.Set, Node: catalog.Node{Node: "secret-new", Address: "127.0.0.1"}}}),
			apply(rpc.ResourceService, txn.Op{Service: &txn.ServiceOp{Verb: catalog.Set, Node: "public-node", Service: catalog.NodeService{Service: "secret-service"}}}),
			apply(rpc.ResourceNode, txn.Op{Check: &txn.CheckOp{Verb: catalog.Delete, Check: catalog.HealthCheck{Node: "secret-node", CheckID: "secret-node:alive"}}}),
			apply(rpc.ResourceSession, txn.Op{Session: &txn.SessionOp{Verb: session.End, Session: session.Session{ID: w.secretSession}}}),
		},
		allowed: []writeStep{apply(rpc.ResourceKey, txn.Op{KV: &txn.KVOp{Verb: kv.Set, DirEnt: kv.Entry{Key: "public/other"}}})},
	}
	read := func(key, node string) func() rpc.Request {
		return func() rpc.Request {
			return &txn.ReadRequest{Ops: []*txn.Op{
				{KV: &txn.KVOp{Verb: kv.ReadTree, DirEnt: kv.Entry{Key: key}}},
				{Node: &txn.NodeOp{Verb: catalog.Get, Node: catalog.Node{Node: node}}},
				{Service: &txn.ServiceOp{Verb: catalog.Get, Node: node, Service: catalog.NodeService{ID: "secret-service"}}},
			}}
		}
	}
	walk[txn.Read.Name] = step{guards: []rpc.Resource{rpc.ResourceKey, rpc.ResourceNode, rpc.ResourceService}, reads: []readStep{
		{request: read("public/", "public-node"), shows: "public"}, {request: read("secret/", "secret-node"), shows: "secret", secret: true}}}
}

func (w world) queries(walk map[string]step) {
	guard := []rpc.Resource{rpc.ResourceQuery}
	get := func(id string) func() rpc.Request {
		return func() rpc.Request { return &query.SpecificRequest{QueryID: id} }
	}
	walk[query.Get.Name] = step{guards: guard, reads: []readStep{
		{request: get(w.publicQuery), shows: "public-query"}, {request: get(w.secretQuery), shows: "secret-query", secret: true}}}
	walk[query.List.Name] = step{guards: guard, reads: []readStep{
		{request: func() rpc.Request { return &catalog.DCSpecificRequest{} }, shows: "public-query"}}}
	named := func(name string) func() rpc.Request {
		return func() rpc.Request { return &query.ExecuteRequest{QueryIDOrName: name} }
	}
	walk[query.Explain.Name] = step{guards: guard, reads: []readStep{
		{request: named("public-query"), shows: "public-query"}, {request: named("secret-query"), shows: "secret-query", secret: true}}}
	instances := []rpc.Resource{rpc.ResourceNode, rpc.ResourceService}
	walk[query.Execute.Name] = step{guards: instances, reads: []readStep{
		{request: named("public-query"), shows: "public-node"}, {request: named("secret-query"), shows: "secret-service", secret: true}}}
	remote := func(service string) func() rpc.Request {
		return func() rpc.Request {
			return &query.ExecuteRemoteRequest{Query: query.PreparedQuery{Service: query.ServiceQuery{Service: service}}}
		}
	}
	walk[query.ExecuteRemote.Name] = step{guards: instances, reads: []readStep{
		{request: remote("public-service"), shows: "public-node"}, {request: remote("secret-service"), shows: "secret-service", secret: true}}}
	apply := func(op query.Op, id, name string) writeStep {
		return writeStep{rpc.ResourceQuery, func() rpc.Request {
			return &query.ApplyRequest{Op: op, Query: &query.PreparedQuery{ID: id, Name: name, Service: query.ServiceQuery{Service: "any"}}}
		}}
	}
	walk[query.Apply.Name] = step{
		writes: []writeStep{
			apply(query.Create, "", "secret-new"),
			apply(query.Update, w.publicQuery, "secret-new"),
			apply(query.Update, w.secretQuery, "public-new"),
			apply(query.Delete, w.secretQuery, ""),
		},
		allowed: []writeStep{
			apply(query.Create, "", "public-new"), apply(query.Update, w.publicQuery, "public-other"), apply(query.Delete, w.publicQuery, "")},
	}
}

func (world) events(walk map[string]step) {
	fire := func(name string) writeStep {
		return writeStep{rpc.ResourceEvent, func() rpc.Request {
			e := &event.Event{ID: "11111111-2222-3333-4444-555555555555", Name: name}
			payload, err := e.Encode()
			if err != nil {
				panic(err) // nothing in it can fail
			}
			return &event.FireRequest{Name: name, Payload: payload}
		}}
	}
	walk[event.Fire.Name] = step{writes: []writeStep{fire("secret-event")}, allowed: []writeStep{fire("public-event")}}
}

// defaults is a config entry of a service.
func defaults(name string) *entry.Entry {
	e, err := entry.Named(api.ServiceDefaults, name)
	if err != nil {
		panic("server: " + err.Error())
	}
	return e
}

func (world) entries(walk map[string]step) {
	guard := []rpc.Resource{rpc.ResourceService}
	get := func(name string) func() rpc.Request {
		return func() rpc.Request { return &entry.Query{Kind: api.ServiceDefaults, Name: name} }
	}
	walk[entry.Get.Name] = step{guards: guard, reads: []readStep{
		{request: get("public-service"), shows: "public-service"}, {request: get("secret-service"), shows: "secret-service", secret: true}}}
	walk[entry.List.Name] = step{guards: guard, reads: []readStep{{request: get(""), shows: "public-service"}}}
	walk[entry.ListAll.Name] = step{guards: guard, reads: []readStep{
		{request: func() rpc.Request { return &entry.ListAllRequest{} }, shows: "public-service"}}}
	apply := func(name string) writeStep {
		return writeStep{rpc.ResourceService, func() rpc.Request { return &entry.ApplyRequest{Entry: defaults(name)} }}
	}
	mesh := writeStep{rpc.ResourceMesh, func() rpc.Request {
		e, err := entry.Named(api.MeshConfig, "")
		if err != nil {
			panic("server: " + err.Error())
		}
		return &entry.ApplyRequest{Entry: e}
	}}
	walk[entry.Apply.Name] = step{writes: []writeStep{apply("secret-service"), mesh}, allowed: []writeStep{apply("public-other")}}
	walk[entry.Remove.Name] = step{writes: []writeStep{apply("secret-service"), mesh}, allowed: []writeStep{apply("public-service")}}
}

func (w world) mesh(walk map[string]step) {
	walk[mesh.ListRoots.Name] = step{open: true}
	walk[mesh.GetConfig.Name] = step{reads: []readStep{
		{request: func() rpc.Request { return &mesh.ConfigRequest{} }, shows: "LeafCertTTL"}}}
	walk[mesh.SetConfig.Name] = step{writes: []writeStep{{rpc.ResourceOperator, func() rpc.Request {
		return &mesh.ConfigSetRequest{Config: &mesh.Config{Config: map[string]any{"PrivateKeyBits": 384}}}
	}}}}
	sign := func(service string) writeStep {
		return writeStep{rpc.ResourceService, func() rpc.Request {
			key, err := cert.NewKey(cert.EC, 256)
			if err != nil {
				panic("server: " + err.Error())
			}
			csr, err := cert.NewRequest(key, cert.ServiceID{TrustDomain: w.trust, Namespace: "default", Datacenter: "shanghai", Service: service})
			if err != nil {
				panic("server: " + err.Error())
			}
			return &mesh.SignRequest{CSR: csr}
		}}
	}
	walk[mesh.Sign.Name] = step{writes: []writeStep{sign("secret-service")}, allowed: []writeStep{sign("public-service")}}
}

func (world) links(walk map[string]step) {
	key := []rpc.Resource{rpc.ResourceKey}
	walk[link.List.Name] = step{reads: []readStep{
		{request: func() rpc.Request { return &link.ListRequest{Status: true} }, shows: "public-link"}}}
	walk[link.Explain.Name] = step{guards: key, reads: []readStep{
		{request: func() rpc.Request { return &link.ExplainRequest{Key: "public/key"} }, shows: "public/key"},
		{request: func() rpc.Request { return &link.ExplainRequest{Key: "secret/key"} }, shows: "secret/key", secret: true}}}
	order := func(guard rpc.Resource, verb link.Verb, prefix string) writeStep {
		return writeStep{guard, func() rpc.Request {
			req := &link.OrderRequest{Verb: verb, Name: "public-link", Fields: []string{"source_datacenter", "prefix", "destination_prefix", "enabled"}}
			req.Link = link.Link{SourceDatacenter: "beijing", Prefix: "from/", DestinationPrefix: prefix}
			return req
		}}
	}
	writes := []writeStep{order(rpc.ResourceKey, link.Set, "secret/"), order(rpc.ResourceKey, link.Set, "sec")}
	for _, verb := range []link.Verb{link.Set, link.Remove, link.Pause, link.Resume, link.Resync, link.Approve, link.Reject, link.Verify} {
		writes = append(writes, order(rpc.ResourceOperator, verb, "public/"))
	}
	walk[link.Order.Name] = step{writes: writes, allowed: []writeStep{order(rpc.ResourceKey, link.Set, "public/")}}
}

func (world) operator(walk map[string]step) {
	walk[federation.GetStatus.Name] = step{reads: []readStep{
		{request: func() rpc.Request { return &federation.StatusRequest{} }, shows: "shanghai"}}}
	walk[operator.GetConfiguration.Name] = step{reads: []readStep{
		{request: func() rpc.Request { return &operator.DCRequest{} }, shows: "public-server"}}}
	for _, name := range []string{operator.GetAutopilot.Name, operator.ServerHealth.Name, operator.AutopilotState.Name} {
		walk[name] = step{reads: []readStep{{request: func() rpc.Request { return &operator.DCRequest{} }}}}
	}
	walk[catalog.GetUsage.Name] = step{reads: []readStep{
		{request: func() rpc.Request { return &catalog.UsageRequest{} }, shows: "connect-native"}}}
	walk[operator.SetAutopilot.Name] = step{writes: []writeStep{{rpc.ResourceOperator, func() rpc.Request {
		return &operator.AutopilotSetRequest{Config: operator.AutopilotConfig{LastContactThreshold: time.Second}}
	}}}}
	walk[operator.TransferLeader.Name] = step{writes: []writeStep{{rpc.ResourceOperator, func() rpc.Request {
		return &operator.TransferLeaderRequest{}
	}}}}
	remove := func() rpc.Request { return &operator.RemovePeerRequest{ID: "11111111-2222-3333-4444-555555555555"} }
	for _, name := range []string{operator.RemovePeerByAddress.Name, operator.RemovePeerByID.Name} {
		walk[name] = step{writes: []writeStep{{rpc.ResourceOperator, remove}}}
	}
	keyring := func(operation string) writeStep {
		return writeStep{rpc.ResourceKeyring, func() rpc.Request {
			return &operator.KeyringRequest{Operation: operation, Key: "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=", LocalOnly: true}
		}}
	}
	walk[operator.Keyring.Name] = step{writes: []writeStep{
		keyring("list"), keyring("install"), keyring("use"), keyring("remove")}}
}
