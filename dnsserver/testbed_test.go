package dnsserver

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/query"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
)

// world is datacenters of one server each.
type world map[string]*server

// server is one server: its real store and its real endpoints over a log that is always
// committed.
type server struct {
	world   world
	dc      string
	store   *store.Store
	methods map[string]rpc.Handler

	mu    sync.Mutex
	index uint64
	authz rpc.Authorizer
	hook  hook
}

// hook is asked before a call is made to a datacenter.
type hook func(ctx context.Context, dc string, m *rpc.Info, req rpc.Request) error

// allow sets what callers may do.
func (s *server) allow(authz rpc.Authorizer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authz = authz
}

// before sets what is asked before each call.
func (s *server) before(h hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

func (s *server) settings() (rpc.Authorizer, hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.authz, s.hook
}

// newWorld starts the datacenters.
func newWorld(t testing.TB, dcs ...string) world {
	t.Helper()
	w := world{}
	for _, dc := range dcs {
		s, err := store.New(catalog.Module(dc), session.Module(), query.Module())
		if err != nil {
			t.Fatal(err)
		}
		srv := &server{world: w, dc: dc, store: s, methods: map[string]rpc.Handler{}, authz: rpc.AllowAll{}, index: 10}
		w[dc] = srv
		services := catalog.NewEndpoint(s, srv, dc)
		queries := query.NewEndpoint(query.Config{
			Store: s, Log: srv, Datacenter: dc, Datacenters: func() []string { return slices.Sorted(maps.Keys(w)) },
			Remote: func(string) rpc.Caller { return srv }, Catalog: services, Resolver: rpc.AllowAll{}, Logger: hclog.NewNullLogger(),
		})
		for _, h := range append(services.Methods(), queries.Methods()...) {
			srv.methods[h.Name] = h
		}
	}
	return w
}

// Propose implements store.Log.
func (s *server) Propose(_ context.Context, entry []byte) (any, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	return s.store.Apply(&raft.Log{Type: raft.LogCommand, Index: s.index, Data: entry}), s.index, nil
}

// Call implements rpc.Caller.
func (s *server) Call(ctx context.Context, m *rpc.Info, req rpc.Request, _ func() any) (any, error) {
	dc := *req.Envelope().Datacenter
	if dc == "" {
		dc = s.dc
	}
	if _, before := s.settings(); before != nil {
		if err := before(ctx, dc, m, req); err != nil {
			return nil, err
		}
	}
	there := s.world[dc]
	if there == nil {
		return nil, rpc.ErrNoPath
	}
	authz, _ := there.settings()
	call := &rpc.Call{Authz: authz}
	if there == s {
		call.Watch = rpc.WatchOf(ctx)
	}
	for {
		after := req.Envelope().Query
		blocks := m.Blocking && after != nil && after.MinQueryIndex > 0
		if blocks {
			call.Watch = rpc.WatchSet{}
		}
		rep, err := there.methods[m.Name].Serve(ctx, call, req)
		if err != nil {
			return nil, err
		}
		r, ok := rep.(rpc.Reply)
		if !ok {
			return rep, nil
		}
		r.QueryMeta().ResultsFilteredByACLs = call.Filtered()
		if !blocks || r.QueryMeta().Index > after.MinQueryIndex {
			return rep, nil
		}
		if err := call.Watch.WatchCtx(ctx); err != nil {
			return nil, err
		}
	}
}

// register puts nodes, services and checks into the catalog.
func (s *server) register(t testing.TB, requests ...*catalog.RegisterRequest) {
	t.Helper()
	for _, req := range requests {
		if _, err := catalog.Register.Call(context.Background(), s, req); err != nil {
			t.Fatalf("register %s: %v", req.Node, err)
		}
	}
}

// prepare stores queries.
func (s *server) prepare(t testing.TB, queries ...query.PreparedQuery) {
	t.Helper()
	for i := range queries {
		if _, err := query.Apply.Call(context.Background(), s, &query.ApplyRequest{Op: query.Create, Query: &queries[i]}); err != nil {
			t.Fatalf("query %s: %v", queries[i].Name, err)
		}
	}
}

// face is a DNS server that runs until the test ends.
type face struct {
	*Server
	udp, tcp string
	registry *prometheus.Registry
}

// serve starts the DNS face of an agent.
func serve(t testing.TB, caller rpc.Caller, change func(*Config)) *face {
	t.Helper()
	registry := prometheus.NewRegistry()
	cfg := Config{
		Caller: caller, Datacenter: "dc1", Node: "alpha", Domain: "consul", Log: hclog.NewNullLogger(),
		Registerer: registry,
		Settings:   Settings{DNS: config.DefaultDNS()},
	}
	if change != nil {
		change(&cfg)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &face{Server: New(cfg), udp: conn.LocalAddr().String(), tcp: ln.Addr().String(), registry: registry}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx, []net.PacketConn{conn}, []net.Listener{ln}) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the DNS server ended with %v", err)
		}
	})
	return f
}

// exchange sends one packet and reads one.
func (f *face) exchange(t testing.TB, proto string, m *dns.Msg) *dns.Msg {
	t.Helper()
	addr := f.udp
	if proto == "tcp" {
		addr = f.tcp
	}
	client := &dns.Client{Net: proto, UDPSize: dns.MaxMsgSize, Timeout: patience}
	reply, _, err := client.Exchange(m, addr)
	if err != nil {
		t.Fatalf("%s over %s: %v", m.Question[0].Name, proto, err)
	}
	return reply
}
