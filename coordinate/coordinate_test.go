package coordinate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/serf/coordinate"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// dc is the coordinates of one datacenter, and the catalog that they live by.
type dc struct {
	testing.TB
	*store.Store
	*Endpoint
	log     *storetest.Log
	methods map[string]rpc.Handler
}

func newDC(t testing.TB) *dc {
	s, log := storetest.New(t, catalog.Module("dc1"), Module())
	d := &dc{TB: t, Store: s, log: log, methods: map[string]rpc.Handler{}}
	d.Endpoint = NewEndpoint(Config{Store: s, Log: log, Logger: hclog.NewNullLogger()})
	services := catalog.NewEndpoint(s, log, "dc1")
	services.MeasureBy(Ruler)
	for _, h := range append(services.Methods(), d.Methods()...) {
		d.methods[h.Name] = h
	}
	return d
}

// Call implements rpc.Caller.
func (d *dc) Call(ctx context.Context, m *rpc.Info, req rpc.Request, _ func() any) (any, error) {
	return d.methods[m.Name].Serve(ctx, anyone(), req)
}

func anyone() *rpc.Call { return &rpc.Call{Authz: rpc.AllowAll{}} }

func (d *dc) register(nodes ...string) {
	d.Helper()
	for i, node := range nodes {
		req := &catalog.RegisterRequest{Node: node, Address: fmt.Sprintf("10.0.0.%d", i+1),
			TaggedAddresses: map[string]string{"wan": fmt.Sprintf("198.51.100.%d", i+1)},
			Service:         &catalog.NodeService{Service: "web"},
			Checks:          []*catalog.HealthCheck{{CheckID: "up", Status: catalog.Passing}}}
		if _, err := catalog.Register.Call(context.Background(), d, req); err != nil {
			d.Fatal(err)
		}
	}
}

func (d *dc) deregister(node string) {
	d.Helper()
	if _, err := catalog.Deregister.Call(context.Background(), d, &catalog.DeregisterRequest{Node: node}); err != nil {
		d.Fatal(err)
	}
}

// at is a place so many milliseconds from the origin.
func at(ms float64) *Point {
	p := coordinate.NewCoordinate(coordinate.DefaultConfig())
	p.Vec[0] = ms / 1000
	return p
}

func (d *dc) tell(node string, p *Point) error {
	_, err := Update.Call(context.Background(), d, &UpdateRequest{Node: node, Coord: p})
	return err
}

// place tells and logs at once.
func (d *dc) place(node string, p *Point) {
	d.Helper()
	if err := d.tell(node, p); err != nil {
		d.Fatal(err)
	}
	d.flush(context.Background())
}

func (d *dc) known() map[string]float64 {
	d.Helper()
	rep, err := ListNodes.Call(context.Background(), d, &catalog.DCSpecificRequest{})
	if err != nil {
		d.Fatal(err)
	}
	all := map[string]float64{}
	for _, c := range rep.Coordinates {
		all[c.Node] = math.Round(c.Coord.Vec[0] * 1000)
	}
	return all
}

func (d *dc) expect(want map[string]float64) {
	d.Helper()
	if got := d.known(); fmt.Sprint(got) != fmt.Sprint(want) {
		d.Errorf("coordinates are %v, want %v", got, want)
	}
}

func TestACoordinateLivesAsLongAsItsNode(t *testing.T) {
	d := newDC(t)
	d.register("n1", "n2")
	d.place("N1", at(1)) // a name is the same in any letters
	d.place("n2", at(2))
	d.place("nobody", at(3))
	d.expect(map[string]float64{"n1": 1, "n2": 2})
	d.place("n1", at(4))
	d.expect(map[string]float64{"n1": 4, "n2": 2})
	d.deregister("n1")
	d.expect(map[string]float64{"n2": 2})
	d.register("n1")
	d.expect(map[string]float64{"n2": 2}) // where the old one was says nothing of the new one
}

func TestWhatCannotBeMeasuredFromIsRefused(t *testing.T) {
	d := newDC(t)
	d.register("n1")
	for name, c := range map[string]struct {
		req  UpdateRequest
		want string
	}{
		"no node":            {UpdateRequest{Coord: at(1)}, "Must provide Node"},
		"no coordinate":      {UpdateRequest{Node: "n1"}, "invalid coordinate"},
		"no number":          {UpdateRequest{Node: "n1", Coord: at(math.NaN())}, "invalid coordinate"},
		"infinitely far":     {UpdateRequest{Node: "n1", Coord: at(math.Inf(1))}, "invalid coordinate"},
		"too few dimensions": {UpdateRequest{Node: "n1", Coord: &Point{Vec: []float64{1, 2}}}, "incompatible coordinate"},
		"a segment":          {UpdateRequest{Node: "n1", Segment: "alpha", Coord: at(1)}, `Segment is "alpha", and there are no network segments: leave it empty`},
	} {
		if _, err := Update.Call(t.Context(), d, &c.req); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	d.flush(t.Context())
	d.expect(map[string]float64{})
}

func TestAnIdleDatacenterLogsNothing(t *testing.T) {
	d := newDC(t)
	d.register("n1", "n2")
	d.place("n1", at(1))
	before := d.AppliedIndex()
	d.place("n1", at(1)) // a reminder
	d.place("nobody", at(1))
	if now := d.AppliedIndex(); now != before {
		t.Errorf("%d entries were logged", now-before)
	}
}

func TestABlockingQueryOfOneNodeSleepsThroughOthers(t *testing.T) {
	d := newDC(t)
	d.register("n1", "n2")
	d.place("n1", at(1))
	read := func(watch rpc.WatchSet) *Coordinates {
		t.Helper()
		call := anyone()
		call.Watch = watch
		rep, err := d.node(t.Context(), call, &catalog.NodeSpecificRequest{Node: "n1"})
		if err != nil {
			t.Fatal(err)
		}
		return rep
	}
	woken := func(watch rpc.WatchSet) bool {
		for changed := range watch {
			select {
			case <-changed:
				return true
			default:
			}
		}
		return false
	}
	watch := rpc.WatchSet{}
	first := read(watch)
	d.place("n2", at(2))
	if again := read(nil); woken(watch) || again.Index != first.Index {
		t.Error("another node woke the query, or moved its index")
	}
	d.place("n1", at(3))
	if again := read(nil); !woken(watch) || again.Index <= first.Index {
		t.Errorf("the index went from %d to %d", first.Index, again.Index)
	}
	d.deregister("n1")
	if gone := read(nil); !gone.Absent() || len(gone.Coordinates) != 0 {
		t.Errorf("a node that is gone: %+v", gone)
	}
}

func TestALeaderLogsOncePerPeriodInBoundedEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDC(t)
		var names []string
		for i := range 2*batchSize + 1 {
			names = append(names, fmt.Sprintf("n%04d", i))
		}
		d.register(names...)
		if err := d.tell("n0000", at(9)); err != nil { // to an earlier leadership
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		var leading sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		leading.Go(func() { d.Run(ctx, Period) })
		synctest.Wait()
		before := d.AppliedIndex()
		for _, n := range names {
			for _, ms := range []float64{1, 2} { // the last word counts
				if err := d.tell(n, at(ms)); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(Period - time.Nanosecond)
		synctest.Wait()
		d.expect(map[string]float64{})
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := len(d.known()); n != len(names) || d.known()["n0000"] != 2 {
			t.Errorf("%d of %d coordinates are known, the first is %v", n, len(names), d.known()["n0000"])
		}
		if entries := d.AppliedIndex() - before; entries != 3 {
			t.Errorf("%d entries were logged, want 3", entries)
		}
		time.Sleep(time.Minute)
		if entries := d.AppliedIndex() - before; entries != 3 {
			t.Errorf("%d entries were logged by a leader that was told nothing", entries-3)
		}
		stop()
		leading.Wait()
	})
}

// Agents tell a leader where they are before it has begun to work, and repeat it after
// minutes only. What was said long before it led is another matter.
func TestWhatIsToldJustBeforeALeadershipCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDC(t)
		d.register("early", "long-ago")
		if err := d.tell("long-ago", at(1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := d.tell("early", at(2)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(Period / 2)
		var leading sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		leading.Go(func() { d.Run(ctx, Period) })
		time.Sleep(2 * Period)
		d.expect(map[string]float64{"early": 2})
		stop()
		leading.Wait()
	})
}

func TestWhatIsToldAtATimeIsBounded(t *testing.T) {
	var all told
	for i := range maxTold + 10 {
		all.take(&Coordinate{Node: fmt.Sprint(i), Coord: at(1)})
	}
	all.take(&Coordinate{Node: "0", Coord: at(2)}) // one that is known has its place
	kept, dropped := all.empty()
	if len(kept) != maxTold || dropped != 10 {
		t.Errorf("%d kept, %d dropped", len(kept), dropped)
	}
	if i := slices.IndexFunc(kept, func(c *Coordinate) bool { return c.Node == "0" }); kept[i].Coord.Vec[0] != at(2).Vec[0] {
		t.Error("an earlier word was kept")
	}
}

func TestWhoMayNotSeeANodeDoesNotSeeWhereItIs(t *testing.T) {
	d := newDC(t)
	d.register("n1", "n2")
	d.place("n1", at(1))
	d.place("n2", at(2))
	call := &rpc.Call{Authz: only("n1")}
	if _, err := d.node(t.Context(), call, &catalog.NodeSpecificRequest{Node: "n2"}); rpc.ReasonOf(err) != rpc.ReasonDenied {
		t.Errorf("n2: %v", err)
	}
	rep, err := d.listNodes(t.Context(), call, &catalog.DCSpecificRequest{})
	if err != nil || len(rep.Coordinates) != 1 || !call.Filtered() {
		t.Errorf("%v, %v", rep, err)
	}
	if _, err := d.update(t.Context(), call, &UpdateRequest{Node: "n2", Coord: at(3)}); rpc.ReasonOf(err) != rpc.ReasonDenied {
		t.Errorf("update: %v", err)
	}
}

// only may do everything with one node.
type only string

func (o only) Allow(_ rpc.Resource, _ rpc.Access, name string) bool { return name == string(o) }
func (only) AllowPrefix(rpc.Resource, rpc.Access, string) bool      { return false }
func (only) Holder() string                                         { return "token" }

func TestSnapshotsKeepCoordinates(t *testing.T) {
	d := newDC(t)
	d.register("n1", "n2")
	d.place("n1", at(1))
	d.place("n2", at(2))
	to := newDC(t)
	if err := to.Restore(storetest.Snapshot(t, d.Store)); err != nil {
		t.Fatal(err)
	}
	to.expect(map[string]float64{"n1": 1, "n2": 2})
	rep, err := Node.Call(t.Context(), to, &catalog.NodeSpecificRequest{Node: "n1"})
	if err != nil || rep.Index == 0 || rep.Absent() {
		t.Errorf("after a restore: %+v, %v", rep, err)
	}
	to.log.SkipTo(d.AppliedIndex())
	to.deregister("n1")
	to.expect(map[string]float64{"n2": 2})
}

func TestDistancesOrderAnswers(t *testing.T) {
	d := newDC(t)
	d.register("a", "b", "c", "d", "e")
	d.place("a", at(0))
	d.place("b", at(30))
	d.place("c", at(10))
	d.place("e", at(-20))
	for name, c := range map[string]struct {
		source catalog.QuerySource
		want   string
	}{
		"nowhere":                  {catalog.QuerySource{}, "abcde"},
		"a node":                   {catalog.QuerySource{Node: "a"}, "acebd"},
		"in other letters":         {catalog.QuerySource{Node: "A"}, "acebd"},
		"another node":             {catalog.QuerySource{Node: "b", Datacenter: "dc1"}, "bcaed"},
		"a node without a place":   {catalog.QuerySource{Node: "d"}, "dabce"},
		"a node that is not there": {catalog.QuerySource{Node: "x"}, "abcde"},
		"of another datacenter":    {catalog.QuerySource{Node: "b", Datacenter: "dc2"}, "abcde"},
		"an address":               {catalog.QuerySource{Node: catalog.NearIP, Ip: "10.0.0.2"}, "bcaed"},
		"a WAN address":            {catalog.QuerySource{Node: catalog.NearIP, Ip: "198.51.100.2"}, "bcaed"},
		"nobody's address":         {catalog.QuerySource{Node: catalog.NearIP, Ip: "10.9.9.9"}, "abcde"},
		"no address":               {catalog.QuerySource{Node: catalog.NearIP}, "abcde"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // what is shared was not sorted in place
				for method, got := range answers(t, d, c.source) {
					if got != c.want {
						t.Errorf("%s: %s, want %s", method, got, c.want)
					}
				}
			}
		})
	}
	for method, got := range answers(t, d, catalog.QuerySource{}) {
		if got != "abcde" {
			t.Errorf("%s: an answer that others share was sorted: %s", method, got)
		}
	}
}

// answers are the nodes in the answers of all methods that sort.
func answers(t *testing.T, d *dc, source catalog.QuerySource) map[string]string {
	t.Helper()
	ctx, got := t.Context(), map[string]string{}
	nodes, err := catalog.ListNodes.Call(ctx, d, &catalog.DCSpecificRequest{Source: source})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes.Nodes {
		got["nodes"] += n.Node
	}
	service := &catalog.ServiceSpecificRequest{ServiceName: "web", Source: source}
	flat, err := catalog.ListServiceNodes.Call(ctx, d, service)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range flat.ServiceNodes {
		got["service"] += n.Node
	}
	healthy, err := catalog.HealthServiceNodes.Call(ctx, d, service)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range healthy.Nodes {
		got["health"] += n.Node.Node
	}
	for name, state := range map[string]string{"any": catalog.AnyState, "passing": catalog.Passing} {
		checks, err := catalog.ChecksInState.Call(ctx, d, &catalog.ChecksInStateRequest{State: state, Source: source})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range checks.HealthChecks {
			got[name] += c.Node
		}
	}
	return got
}
