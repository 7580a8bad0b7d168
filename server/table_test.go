package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/coordinate"
	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/gossip/gossiptest"
	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/lan"
	"github.com/hanse-project/hanse/mesh"
	"github.com/hanse-project/hanse/mesh/entry"
	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/query"
	"github.com/hanse-project/hanse/replicate/link"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
)

// Tokens of the walk. The empty one may do everything; denyOne + a resource may do
// everything but touch secret things of that resource.
const (
	denyAll = "deny all"
	denyOne = "deny one "
)

type tokens struct{}

func (tokens) Resolve(_ context.Context, token string) (rpc.Authorizer, error) {
	if token == denyAll {
		return denying{all: true}, nil
	}
	if one, ok := strings.CutPrefix(token, denyOne); ok {
		return denying{one: rpc.Resource(one)}, nil
	}
	return rpc.AllowAll{}, nil
}

type denying struct {
	all bool
	one rpc.Resource
}

func (d denying) Allow(r rpc.Resource, _ rpc.Access, name string) bool {
	return !d.all && (r != d.one || name != "" && !strings.HasPrefix(name, "secret"))
}

func (d denying) AllowPrefix(r rpc.Resource, _ rpc.Access, prefix string) bool {
	return !d.all && (r != d.one || !strings.HasPrefix("secret", prefix) && !strings.HasPrefix(prefix, "secret"))
}

func (denying) Holder() string { return "token of the test" }

// startAlone runs a server that leads a datacenter of its own.
func startAlone(t *testing.T) *Server {
	t.Helper()
	const id = "11111111-2222-3333-4444-555555555555"
	log := gossiptest.Logger(t)
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pool, err := lan.New(lan.Config{
		NodeName: "public-server", NodeID: id, Datacenter: "shanghai",
		Server:  &gossip.ServerTags{Port: port.Addr().(*net.TCPAddr).Port, Bootstrap: true, Expect: 1},
		Options: gossip.Options{BindAddr: "127.0.0.1", Dev: true, Log: log},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{
		Datacenter: "shanghai", NodeName: "public-server", NodeID: id, Expect: 1, Hold: 30 * time.Second,
		TombstoneTTL: time.Hour, CoordinatePeriod: 10 * time.Millisecond, MaxValue: 1 << 10, Mesh: true, LAN: pool, Port: port, Advertise: port.Addr(),
		Resolver: tokens{}, Registerer: prometheus.NewRegistry(), DropGauges: func(...string) {}, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := pool.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// populate makes public and secret things of every kind.
func populate(t *testing.T, s *Server) world {
	t.Helper()
	do := func(m *rpc.Info, req rpc.Request) any {
		t.Helper()
		reply, err := s.table.Call(t.Context(), m, req, nil)
		if err != nil {
			t.Fatalf("%s: %v", m.Name, err)
		}
		return reply
	}
	for _, node := range []string{"public-node", "secret-node"} {
		for _, service := range []string{"public-service", "secret-service"} {
			do(&catalog.Register.Info, &catalog.RegisterRequest{
				Node: node, Address: "127.0.0.1", Service: &catalog.NodeService{Service: service},
				Checks: []*catalog.HealthCheck{
					{CheckID: node + ":alive", Name: "alive", Status: catalog.Passing},
					{CheckID: service + ":up", Name: "up", Status: catalog.Passing, ServiceID: service},
				},
			})
		}
	}
	for _, key := range []string{"public/key", "secret/key"} {
		do(&kv.Apply.Info, &kv.ApplyRequest{Op: kv.Set, DirEnt: kv.Entry{Key: key}})
	}
	for _, node := range []string{"public-node", "secret-node"} {
		do(&coordinate.Update.Info, &coordinate.UpdateRequest{Node: node, Coord: somewhere()})
	}
	for known := (&coordinate.Coordinates{}); len(known.Coordinates) < 2; { // they are logged a moment later
		next := &catalog.DCSpecificRequest{}
		next.MinQueryIndex = known.Index
		known = do(&coordinate.ListNodes.Info, next).(*coordinate.Coordinates)
	}
	for own := (&catalog.IndexedHealthChecks{}); len(own.HealthChecks) == 0; { // the leader notes its own node a moment later, too
		next := &catalog.NodeSpecificRequest{Node: "public-server"}
		next.MinQueryIndex = own.Index
		own = do(&catalog.NodeChecks.Info, next).(*catalog.IndexedHealthChecks)
	}
	for _, name := range []string{"public-service", "secret-service"} {
		do(&entry.Apply.Info, &entry.ApplyRequest{Entry: defaults(name)})
	}
	do(&link.Order.Info, &link.OrderRequest{Verb: link.Set, Name: "public-link", Fields: []string{"source_datacenter", "prefix", "enabled"},
		Link: link.Link{SourceDatacenter: "beijing", Prefix: "from/"}})
	create := func(node string) string {
		return *do(&session.Apply.Info, &session.ApplyRequest{Op: session.Create, Session: session.Session{Node: node}}).(*string)
	}
	prepare := func(kind string) string {
		return *do(&query.Apply.Info, &query.ApplyRequest{Op: query.Create, Query: &query.PreparedQuery{
			Name: kind + "-query", Service: query.ServiceQuery{Service: kind + "-service"},
		}}).(*string)
	}
	trust := do(&mesh.ListRoots.Info, &mesh.RootsRequest{Read: rpc.Read{QueryOptions: rpc.QueryOptions{MinQueryIndex: 1}}}).(*mesh.Roots)
	return world{
		publicSession: create("public-node"), secretSession: create("secret-node"),
		publicQuery: prepare("public"), secretQuery: prepare("secret"), trust: trust.TrustDomain,
	}
}

// ask calls a method as the holder of a token, and returns the answer as JSON.
func ask(t *testing.T, s *Server, name, token string, req rpc.Request) (string, any, error) {
	t.Helper()
	m := s.table.methods[name]
	*req.Envelope().Token = token
	reply, err := s.table.Call(t.Context(), m.Info, req, m.NewReply)
	if err != nil {
		return "", nil, err
	}
	text, err := json.Marshal(reply)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), reply, nil
}

// state is everything that a write could have changed.
func state(t *testing.T, s *Server) string {
	t.Helper()
	var all strings.Builder
	for name, req := range map[string]rpc.Request{
		kv.List.Name: &kv.KeyRequest{}, catalog.NodeDump.Name: &catalog.DCSpecificRequest{},
		session.List.Name: &session.SpecificRequest{}, query.List.Name: &catalog.DCSpecificRequest{}, entry.ListAll.Name: &entry.ListAllRequest{}, mesh.ListRoots.Name: &mesh.RootsRequest{}, operator.GetConfiguration.Name: &operator.DCRequest{},
		link.List.Name: &link.ListRequest{},
	} {
		text, _, err := ask(t, s, name, "", req)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(text)
	}
	parts := strings.Split(all.String(), "}")
	slices.Sort(parts) // the questions come in any order
	return strings.Join(parts, "\n")
}

func TestEveryMethodAsksTheAuthorizer(t *testing.T) {
	s := startAlone(t)
	w := populate(t, s)
	walk := w.walk()
	for _, name := range slices.Sorted(maps.Keys(s.table.methods)) {
		if _, listed := walk[name]; !listed {
			t.Errorf("%s is missing from the walk: say there what it guards", name)
		}
	}
	for name, step := range walk {
		m := s.table.methods[name]
		switch {
		case m == nil:
			t.Errorf("%s is in the walk and not in the table", name)
		case (m.Resource == "") != step.open:
			t.Errorf("%s declares that it guards %q, and the walk says otherwise", name, m.Resource)
		case !step.open && len(step.reads)+len(step.writes) == 0:
			t.Errorf("the walk has no request for %s", name)
		case m.Write && len(step.writes) == 0:
			t.Errorf("the walk has no write for %s", name)
		default:
			t.Run(name, func(t *testing.T) {
				for _, r := range step.reads {
					r.check(t, s, name, step.guards)
				}
				before := state(t, s)
				for _, w := range step.writes {
					w.check(t, s, name)
				}
				if after := state(t, s); after != before {
					t.Errorf("a refused write changed the state from\n%s\nto\n%s", before, after)
				}
			})
		}
	}
}

func (r *readStep) check(t *testing.T, s *Server, name string, guards []rpc.Resource) {
	t.Helper()
	shown, _, err := ask(t, s, name, "", r.request())
	if err != nil || !strings.Contains(shown, r.shows) {
		t.Fatalf("with every right: %s, %v, want %q in it", shown, err, r.shows)
	}
	text, reply, err := ask(t, s, name, denyAll, r.request())
	switch {
	case errors.Is(err, rpc.ErrPermissionDenied):
	case err != nil:
		t.Errorf("without any right: %v", err)
	case strings.Contains(text, "public") || strings.Contains(text, "secret"):
		t.Errorf("without any right: %s", text)
	default:
		if rep, ok := reply.(rpc.Reply); ok && !rep.QueryMeta().ResultsFilteredByACLs {
			t.Errorf("without any right: the answer does not say that it was filtered: %s", text)
		}
	}
	for _, resource := range guards {
		text, _, err := ask(t, s, name, denyOne+string(resource), r.request())
		switch marker := markers[resource]; {
		case errors.Is(err, rpc.ErrPermissionDenied) && r.secret:
		case err != nil:
			t.Errorf("without rights to a secret %s: %v", resource, err)
		case strings.Contains(text, marker):
			t.Errorf("without rights to a secret %s: %s", resource, text)
		case !r.secret && !strings.Contains(text, r.shows):
			t.Errorf("without rights to a secret %s: %s, want %q in it", resource, text, r.shows)
		}
	}
}

func (w *writeStep) check(t *testing.T, s *Server, name string) {
	t.Helper()
	for _, token := range []string{denyAll, denyOne + string(w.guard)} {
		text, _, err := ask(t, s, name, token, w.request())
		if err == nil && strings.Contains(text, rpc.ErrPermissionDenied.Text) && strings.Contains(text, `"Results":null`) {
			continue // a transaction says so for each of its operations
		}
		if !errors.Is(err, rpc.ErrPermissionDenied) {
			t.Errorf("%+v with the token %q: %s, %v", w.request(), token, text, err)
		}
	}
}

func TestWhoMayNotTouchSecretThingsMayTouchOthers(t *testing.T) {
	s := startAlone(t)
	w := populate(t, s)
	for name, step := range w.walk() {
		for _, allowed := range step.allowed {
			if text, _, err := ask(t, s, name, denyOne+string(allowed.guard), allowed.request()); err != nil ||
				strings.Contains(text, rpc.ErrPermissionDenied.Text) {
				t.Errorf("%s: %s, %v", name, text, err)
			}
		}
	}
}

func TestSnapshotsAskTheAuthorizer(t *testing.T) {
	s := startAlone(t)
	populate(t, s)
	before := state(t, s)
	for _, token := range []string{denyAll, denyOne + string(rpc.ResourceACL)} {
		req := &operator.SnapshotRequest{Datacenter: "shanghai", Token: token}
		saved := new(strings.Builder)
		if err := s.snapshots.Save(t.Context(), req, saved, func(*rpc.Meta) {}); !errors.Is(err, rpc.ErrPermissionDenied) || saved.Len() > 0 {
			t.Errorf("save with the token %q: %d bytes, %v", token, saved.Len(), err)
		}
		if _, err := s.snapshots.Restore(t.Context(), req, io.LimitReader(nil, 0)); !errors.Is(err, rpc.ErrPermissionDenied) {
			t.Errorf("restore with the token %q: %v", token, err)
		}
	}
	if after := state(t, s); after != before {
		t.Error("a refused restore changed the state")
	}
}

func TestCallIsMadeAgainWhileTheLeaderIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int // how often the call is made
	}{
		"there is no leader":               {rpc.ErrNoLeader, 3},
		"the leader died during a read":    {rpc.Wrap(rpc.ErrConnectionLost, "KVS.Get"), 3},
		"the fate of the write is unknown": {rpc.Wrap(rpc.ErrOutcomeUnknown, "KVS.Apply"), 1},
		"the call itself is wrong":         {rpc.Invalid("no key"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			err := (&Table{hold: time.Minute}).holding(t.Context(), func(context.Context) error {
				if calls++; calls == 3 {
					return nil
				}
				return c.err
			})
			if calls != c.want || (err == nil) != (c.want == 3) {
				t.Errorf("%d calls and %v, want %d", calls, err, c.want)
			}
		})
	}
}
