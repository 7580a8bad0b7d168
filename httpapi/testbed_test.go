package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
	"github.com/hashicorp/serf/serf"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/cache"
	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/consensus"
	"github.com/hanse-project/hanse/coordinate"
	"github.com/hanse-project/hanse/event"
	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/mesh"
	"github.com/hanse-project/hanse/mesh/entry"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/query"
	"github.com/hanse-project/hanse/replicate/link"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/txn"
)

// server is one server of a datacenter: its real store and its real endpoints over a
// log that is always committed.
type server struct {
	dc      string
	store   *store.Store
	methods map[string]rpc.Handler
	leads   bool
	// events are those that an agent of the datacenter without services has heard.
	events *event.History
	// others are the servers of all datacenters, this one too.
	others map[string]*server

	mu    sync.Mutex
	index uint64
}

func newServer(t testing.TB, dc string, raftServer raft.Server, keyring *ring) *server {
	t.Helper()
	s, err := store.New(catalog.Module("dc1"), coordinate.Module(), session.Module(), kv.Module(), txn.Module(), query.Module(),
		entry.Module(), mesh.Module(), operator.Module(), link.Module())
	if err != nil {
		t.Fatal(err)
	}
	srv := &server{dc: dc, store: s, methods: map[string]rpc.Handler{}, leads: raftServer.ID != "", index: 10, events: event.NewHistory()}
	log := &quorum{srv, raftServer}
	lasts := func() map[raft.ServerID]uint64 { return map[raft.ServerID]uint64{raftServer.ID: s.AppliedIndex()} }
	ops := operator.NewEndpoint(operator.Config{
		Log: log, Pools: keyring, Store: s, Proposer: srv, Defaults: consensus.DefaultAutopilot, Progress: lasts,
		Pilot: func() *autopilot.State { return pilotOf(raftServer) },
		Forward: func(context.Context, string, *operator.KeyringRequest) (*operator.KeyringResponses, error) {
			return keyring.remote, nil
		},
	})
	timers := session.NewTimers(s, srv, hclog.NewNullLogger())
	services := catalog.NewEndpoint(s, srv, dc)
	services.MeasureBy(coordinate.Ruler)
	places := coordinate.NewEndpoint(coordinate.Config{Store: s, Log: srv, Logger: hclog.NewNullLogger(), Datacenters: wanPlaces})
	go places.Run(t.Context(), 5*time.Millisecond)
	queries := query.NewEndpoint(query.Config{
		Store: s, Log: srv, Datacenter: dc, Datacenters: func() []string { return slices.Sorted(maps.Keys(srv.others)) },
		Remote:  func(string) rpc.Caller { return &callers{dc, srv.others, tokens{}} },
		Catalog: services, Resolver: tokens{}, Logger: hclog.NewNullLogger(),
	})
	links := link.NewEndpoint(s, srv, dc, link.NewManager(link.ManagerConfig{
		Store: s, Datacenter: dc, Caller: &callers{dc, map[string]*server{dc: srv}, tokens{}},
	}))
	for _, handlers := range [][]rpc.Handler{
		session.NewEndpoint(s, srv, timers).Methods(), kv.NewEndpoint(s, srv, 512<<10).Methods(), services.Methods(),
		event.NewEndpoint(newAir(srv.events)).Methods(), txn.NewEndpoint(s, srv, dc, 512<<10).Methods(), ops.Methods(), queries.Methods(), places.Methods(),
		entry.NewEndpoint(s, srv).Methods(), mesh.NewEndpoint(s, srv, dc, true).Methods(), links.Methods(),
	} {
		for _, h := range handlers {
			srv.methods[h.Name] = h
		}
	}
	if _, _, err := store.Propose[bool](t.Context(), srv, store.OpIdentity, &store.Identity{ID: "id of " + dc, Incarnation: "first"}); err != nil {
		t.Fatal(err)
	}
	return srv
}

// Propose implements store.Log.
func (s *server) Propose(_ context.Context, entry []byte) (any, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	return s.store.Apply(&raft.Log{Type: raft.LogCommand, Index: s.index, Data: entry}), s.index, nil
}

// wanPlaces are where the servers of the recorded federation were.
func wanPlaces() []coordinate.DatacenterMap {
	at := func(node string, p coordinate.Point) []*coordinate.Coordinate {
		return []*coordinate.Coordinate{{Node: node, Coord: &p}}
	}
	return []coordinate.DatacenterMap{
		{Datacenter: "dc1", AreaID: coordinate.AreaWAN, Coordinates: at("alpha", coordinate.Point{
			Vec: []float64{-0.000014243935834784438, -0.00003057207838515679, -0.000014654685061181882, 0.00002881157693292763,
				0.000015913514025040843, 0.00001042274470886044, -0.00001314698929817071, 0.00001120671575164569},
			Error: 1.4319013597977324, Adjustment: 0.000009330496875, Height: 0.00001})},
		{Datacenter: "dc2", AreaID: coordinate.AreaWAN, Coordinates: at("beta", coordinate.Point{
			Vec: make([]float64, 8), Error: 1.5, Height: 0.00001})},
	}
}

// quorum is what an operator may ask of a log with one server.
type quorum struct {
	*server
	only raft.Server
}

func (q *quorum) Leader() raft.Server { return q.only }

func (q *quorum) Configuration() ([]raft.Server, uint64) {
	if !q.leads {
		return nil, 0
	}
	return []raft.Server{q.only}, 1
}

func (q *quorum) TransferLeadership(context.Context, raft.Server) error { return nil }

// pilotOf is autopilot's state of a single healthy server.
func pilotOf(s raft.Server) *autopilot.State {
	return &autopilot.State{Healthy: true, Leader: s.ID, Voters: []raft.ServerID{s.ID}, Servers: map[raft.ServerID]*autopilot.ServerState{s.ID: {
		Server: autopilot.Server{
			ID: s.ID, Name: "alpha", Address: s.Address, NodeStatus: autopilot.NodeAlive, Version: "1.21.4", NodeType: autopilot.NodeVoter,
			Meta: map[string]string{"consul-network-segment": "", "consul-version": "1.21.4"},
		},
		State: autopilot.RaftLeader, Stats: autopilot.ServerStats{LastTerm: 2, LastIndex: 111},
		Health: autopilot.ServerHealth{Healthy: true, StableSince: time.Date(2026, 11, 21, 2, 3, 59, 921177936, time.UTC)},
	}}}
}

func (q *quorum) RemovePeer(context.Context, raft.ServerID) error { return nil }
func (q *quorum) LastIndex() uint64                               { return q.store.AppliedIndex() }
func (q *quorum) RaftStats() (operator.RaftStats, error)          { return operator.RaftStats{}, nil }

// ring answers for the gossip keys.
type ring struct {
	node     string
	answer   func(wan bool, operation, key string) *operator.KeyringResponse
	remoteDC []string
	remote   *operator.KeyringResponses
}

func (r *ring) NodeName(string) string { return r.node }
func (r *ring) Datacenters() []string  { return r.remoteDC }

func (r *ring) Keyring(wan bool, operation, key string, _ uint8) *operator.KeyringResponse {
	return r.answer(wan, operation, key)
}

// callers carries calls within one process: to the servers of the datacenters.
type callers struct {
	here     string
	servers  map[string]*server
	resolver rpc.Resolver
}

// Call implements rpc.Caller as a server does, blocking queries and all.
func (c *callers) Call(ctx context.Context, m *rpc.Info, req rpc.Request, _ func() any) (any, error) {
	env := req.Envelope()
	dc := *env.Datacenter
	if m.Route == rpc.Local {
		dc = c.here
	}
	if m.Name == catalog.ListDatacenters.Name {
		names := []string{"dc1", "dc2"}
		if c.here == "dc9" {
			names = []string{"dc9"}
		}
		return &names, nil
	}
	srv := c.servers[dc]
	if srv == nil {
		return nil, rpc.ErrNoPath
	}
	if m.Route == rpc.Forward && !srv.leads {
		return nil, rpc.ErrNoLeader
	}
	authz, err := c.resolver.Resolve(ctx, *env.Token)
	if err != nil {
		return nil, err
	}
	return srv.answer(ctx, srv.methods[m.Name], req, &rpc.Call{Authz: authz})
}

func (s *server) answer(ctx context.Context, h rpc.Handler, req rpc.Request, call *rpc.Call) (any, error) {
	q := req.Envelope().Query
	blocks := h.Blocking && q.MinQueryIndex > 0
	if blocks {
		limited, cancel := context.WithTimeout(ctx, q.Wait())
		defer cancel()
		ctx = limited
	}
	for {
		if blocks {
			call.Watch = rpc.WatchSet{}
		}
		rep, err := h.Serve(ctx, call, req)
		if err != nil {
			return nil, err
		}
		if r, ok := rep.(rpc.Reply); ok {
			meta := r.QueryMeta()
			meta.Index = max(meta.Index, 1)
			meta.KnownLeader, meta.ResultsFilteredByACLs = s.leads, call.Filtered()
			id, _ := s.store.Read(nil).Identity()
			meta.HanseDatacenterID, meta.HanseIncarnation = id.ID, id.Incarnation
			if blocks && meta.Index <= q.MinQueryIndex && call.Watch.WatchCtx(ctx) == nil {
				continue
			}
		}
		return rep, nil
	}
}

// air carries events as gossip does, to one agent.
type air struct {
	to    *event.Receiver
	ltime serf.LamportTime
}

func newAir(to *event.History) *air {
	return &air{to: event.NewReceiver(event.Config{
		Node: "alpha", Services: maps.All(map[string][]string{}), Log: hclog.NewNullLogger(),
	}, to), ltime: 1}
}

// UserEvent implements event.Gossip.
func (a *air) UserEvent(name string, payload []byte, _ bool) error {
	if len(name)+len(payload) > 512 {
		return errors.New("user event exceeds configured limit of 512 bytes before encoding")
	}
	a.ltime++
	a.to.Take(serf.UserEvent{LTime: a.ltime, Name: name, Payload: payload})
	return nil
}

// tokens knows the holders of a few tokens, and gives everybody else everything.
type tokens map[string]rpc.Authorizer

func (t tokens) Resolve(_ context.Context, token string) (rpc.Authorizer, error) {
	if authz, known := t[token]; known {
		return authz, nil
	}
	return rpc.AllowAll{}, nil
}

// stranger is a token that may do nothing.
type stranger struct{}

func (stranger) Allow(rpc.Resource, rpc.Access, string) bool       { return false }
func (stranger) AllowPrefix(rpc.Resource, rpc.Access, string) bool { return false }
func (stranger) Holder() string {
	return "token with AccessorID 'acce5500-0000-4000-8000-00000000a004'"
}

// body is an agent's own part.
type body struct {
	lan, wan []serf.Member
	left     bool
	mute     bool
}

func (b *body) Self() any { return map[string]any{"Config": map[string]any{"Datacenter": "dc1"}} }

func (b *body) Members(wan bool, _ string) ([]serf.Member, error) {
	if wan {
		return b.wan, nil
	}
	return b.lan, nil
}

func (b *body) Join(_ context.Context, addr string, _ bool) error {
	return errors.New("1 error occurred:\n\t* Failed to join " + addr + ": dial tcp " + addr + ": connect: connection refused\n\n")
}

func (b *body) Leave(context.Context) error { b.left = true; return nil }

func (b *body) ForceLeave(_ context.Context, node string, _, _ bool) error {
	return errors.New("agent: No node found with name '" + node + "'")
}

func (b *body) Reload(context.Context) error { return nil }

func (b *body) Host(context.Context) any { return map[string]any{"CollectionTime": 1} }

func (b *body) Monitor(_ context.Context, level hclog.Level, json bool, w io.Writer) error {
	if b.mute {
		return errors.New("nobody may listen")
	}
	_, err := fmt.Fprintf(w, "from %s, JSON: %t\n", level, json)
	return err
}

func (b *body) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("up 1\n")) })
}

func (b *body) MetricsJSON() any { return map[string]any{"Gauges": []any{}} }

// noKeys is the ring of a datacenter without encryption.
func noKeys(node string) *ring {
	return &ring{node: node, answer: func(wan bool, _, _ string) *operator.KeyringResponse {
		return &operator.KeyringResponse{WAN: wan, Datacenter: "dc1", Keys: map[string]int{}, PrimaryKeys: map[string]int{}}
	}}
}

// newFace makes a face of a single server, and the configuration it was made of.
func newFace(t testing.TB, change func(*Config)) (*API, *server) {
	t.Helper()
	srv := newServer(t, "dc1", raft.Server{ID: "a", Address: "127.0.0.1:8300"}, noKeys("alpha"))
	cfg := Config{
		Caller: &callers{"dc1", map[string]*server{"dc1": srv}, tokens{}}, Agent: &body{}, Resolver: tokens{},
		Datacenter: "dc1", Node: "alpha", MaxValue: 512 << 10, MaxTxn: 512 << 10, Log: hclog.NewNullLogger(),
		Local: newLocal(t, "alpha"), Events: srv.events,
	}
	if change != nil {
		change(&cfg)
	}
	cfg.Cache = newCache(t, cfg.Caller)
	return New(cfg), srv
}

// newCache runs a cache until the test ends.
func newCache(t testing.TB, c rpc.Caller) *cache.Cache {
	t.Helper()
	kept := cache.New(cache.Config{Caller: c, Registerer: prometheus.NewRegistry(), Log: hclog.NewNullLogger()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = kept.Run(ctx) }() // it ends because the test does
	t.Cleanup(func() { cancel(); <-done })
	return kept
}

// listen serves a handler as an agent does.
func listen(t testing.TB, handler http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config = NewServer(handler, hclog.NewNullLogger())
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// do makes one request of a handler in this process.
func do(h http.Handler, method, target, content string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, reader(content)))
	return w
}

// register puts rows into the catalog of a server.
func (s *server) register(t testing.TB, registration string) {
	t.Helper()
	req := &catalog.RegisterRequest{}
	if err := json.Unmarshal([]byte(registration), req); err != nil {
		t.Fatal(err)
	}
	req.Datacenter = s.dc
	c := &callers{s.dc, map[string]*server{s.dc: s}, tokens{}}
	if _, err := catalog.Register.Call(t.Context(), c, req); err != nil {
		t.Fatalf("register %s: %v", registration, err)
	}
}

// place says where a node is, and waits until answers know it.
func (s *server) place(t testing.TB, node string, at *coordinate.Point) {
	t.Helper()
	c := &callers{s.dc, map[string]*server{s.dc: s}, tokens{}}
	req := &coordinate.UpdateRequest{Node: node, Coord: at}
	req.Datacenter = s.dc
	ask := &catalog.NodeSpecificRequest{Node: node}
	ask.Datacenter = s.dc
	for {
		// Again and again, as agents do: what is told before the first batch begins is lost.
		if _, err := coordinate.Update.Call(t.Context(), c, req); err != nil {
			t.Fatal(err)
		}
		rep, err := coordinate.Node.Call(t.Context(), c, ask)
		if err != nil {
			t.Fatal(err)
		}
		if len(rep.Coordinates) == 1 && slices.Equal(rep.Coordinates[0].Coord.Vec, at.Vec) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *server) put(t testing.TB, key, value string) {
	t.Helper()
	req := &kv.ApplyRequest{Op: kv.Set, DirEnt: kv.Entry{Key: key, Value: []byte(value)}}
	req.Datacenter = s.dc
	c := &callers{s.dc, map[string]*server{s.dc: s}, tokens{}}
	if _, err := kv.Apply.Call(t.Context(), c, req); err != nil {
		t.Fatal(err)
	}
}
