package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/rpc/rpctest"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// dc is the sessions of one datacenter, and the catalog that they live by.
type dc struct {
	testing.TB
	*store.Store
	log *faultyLog
	*Endpoint
	timers  *Timers
	catalog map[string]rpc.Handler
	// ended are the sessions that others were told of.
	ended []string
}

// faultyLog does what the log does, after what a test puts before it.
type faultyLog struct {
	*storetest.Log
	mu     sync.Mutex
	before func() error
}

func (l *faultyLog) Propose(ctx context.Context, entry []byte) (any, uint64, error) {
	l.mu.Lock()
	before := l.before
	l.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return nil, 0, err
		}
	}
	return l.Log.Propose(ctx, entry)
}

func (l *faultyLog) set(before func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = before
}

func newDC(t testing.TB) *dc {
	d := &dc{TB: t, catalog: map[string]rpc.Handler{}}
	listener := store.Module{Name: "listener", Triggers: []store.Trigger{
		store.When(func(_ *store.Tx, e Gone) { d.ended = append(d.ended, e.Session.Name) }),
	}}
	s, log := storetest.New(t, catalog.Module("dc1"), Module(), listener)
	d.Store, d.log = s, &faultyLog{Log: log}
	d.timers = NewTimers(s, d.log, hclog.NewNullLogger())
	d.Endpoint = NewEndpoint(s, d.log, d.timers)
	for _, h := range catalog.NewEndpoint(s, log, "dc1").Methods() {
		d.catalog[h.Name] = h
	}
	return d
}

// Call implements rpc.Caller for the catalog.
func (d *dc) Call(ctx context.Context, m *rpc.Info, req rpc.Request, _ func() any) (any, error) {
	return d.catalog[m.Name].Serve(ctx, anyone(), req)
}

func anyone() *rpc.Call { return &rpc.Call{Authz: rpc.AllowAll{}} }

// register registers a node with checks, each given as "id status" or "id status service".
func (d *dc) register(node string, checks ...string) {
	d.Helper()
	req := &catalog.RegisterRequest{Node: node, Address: "10.0.0.1"}
	for _, c := range checks {
		parts := append(strings.Fields(c), "")
		if parts[2] != "" {
			req.Service = &catalog.NodeService{Service: parts[2]}
		}
		req.Checks = append(req.Checks, &catalog.HealthCheck{CheckID: parts[0], Status: parts[1], ServiceID: parts[2]})
	}
	if _, err := catalog.Register.Call(context.Background(), d, req); err != nil {
		d.Fatal(err)
	}
}

func (d *dc) deregister(req catalog.DeregisterRequest) {
	d.Helper()
	if _, err := catalog.Deregister.Call(context.Background(), d, &req); err != nil {
		d.Fatal(err)
	}
}

func (d *dc) tryCreate(s Session) (string, error) {
	id, err := d.apply(context.Background(), anyone(), &ApplyRequest{Op: Create, Session: s})
	if err != nil {
		return "", err
	}
	return *id, nil
}

func (d *dc) create(s Session) string {
	d.Helper()
	id, err := d.tryCreate(s)
	if err != nil {
		d.Fatal(err)
	}
	return id
}

func (d *dc) destroy(id string) {
	d.Helper()
	if _, err := d.apply(context.Background(), anyone(), &ApplyRequest{Op: Destroy, Session: Session{ID: id}}); err != nil {
		d.Fatal(err)
	}
}

func (d *dc) there(id string) bool {
	_, found := Lookup(d.Read(nil), id)
	return found
}

func (d *dc) tryRenew(id string) (alive bool, err error) {
	rep, err := d.Endpoint.renew(context.Background(), anyone(), &SpecificRequest{SessionID: id})
	if err != nil {
		return false, err
	}
	return len(rep.Sessions) == 1, nil
}

func (d *dc) renew(id string) bool {
	d.Helper()
	alive, err := d.tryRenew(id)
	if err != nil {
		d.Fatal(err)
	}
	return alive
}

func TestASessionEndsWithWhateverItLivesBy(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(d *dc)
		first []string // what ends first, in the order of its IDs
	}{
		"its node is gone":                 {func(d *dc) { d.deregister(catalog.DeregisterRequest{Node: "N1"}) }, []string{"all", "host", "node", "service"}},
		"its check is critical":            {func(d *dc) { d.register("N1", "host critical") }, []string{"all", "host"}},
		"its check is gone":                {func(d *dc) { d.deregister(catalog.DeregisterRequest{Node: "n1", CheckID: "host"}) }, []string{"all", "host"}},
		"its service's check is critical":  {func(d *dc) { d.register("n1", "web critical web") }, []string{"all", "service"}},
		"its service is gone":              {func(d *dc) { d.deregister(catalog.DeregisterRequest{Node: "n1", ServiceID: "web"}) }, []string{"all", "service"}},
		"a check is only in warning":       {func(d *dc) { d.register("n1", "host warning", "web warning web") }, nil},
		"another check is critical":        {func(d *dc) { d.register("n1", "other critical") }, nil},
		"another node's check is critical": {func(d *dc) { d.register("n3", "host critical", "web critical web") }, nil},
		"another node is gone":             {func(d *dc) { d.deregister(catalog.DeregisterRequest{Node: "n3"}) }, nil},
		"its node has another address":     {func(d *dc) { d.register("n1") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDC(t)
			d.register("n1", "host passing", "web warning web")
			d.register("n2", "host passing", "web passing web")
			d.register("n3", "host passing", "web passing web")
			web := []ServiceCheck{{ID: "web"}}
			ids := map[string]string{
				"node":    d.create(Session{Name: "node", Node: "n1"}),
				"host":    d.create(Session{Name: "host", Node: "N1", NodeChecks: []string{"host"}}),
				"service": d.create(Session{Name: "service", Node: "n1", ServiceChecks: web}),
				"all":     d.create(Session{Name: "all", Node: "n1", NodeChecks: []string{"host", "host"}, ServiceChecks: web}),
				"far":     d.create(Session{Name: "far", Node: "n2", NodeChecks: []string{"host"}, ServiceChecks: web}),
			}
			ends := func(want []string) {
				t.Helper()
				slices.Sort(d.ended)
				if !slices.Equal(d.ended, want) {
					t.Fatalf("%q ended, want %q", d.ended, want)
				}
				for name, id := range ids {
					if d.there(id) == slices.Contains(want, name) {
						t.Errorf("%s is there: %v", name, d.there(id))
					}
				}
			}
			before := d.Read(nil).TouchedAt(table)
			c.end(d)
			ends(c.first)
			if at := d.Read(nil).TouchedAt(table); (at > before) != (c.first != nil) {
				t.Errorf("the table was touched at %d and is at %d", before, at)
			}
			// What outlived this ends like all others, and nothing ends twice.
			d.deregister(catalog.DeregisterRequest{Node: "n1"})
			d.deregister(catalog.DeregisterRequest{Node: "n1"})
			ends([]string{"all", "host", "node", "service"})
			d.destroy(ids["far"])
			d.destroy(ids["far"])
			ends([]string{"all", "far", "host", "node", "service"})
			for range store.Rows[*checkLink](d.Read(nil), tableOfChecks, "id") {
				t.Error("a link to a check outlived its session")
			}
		})
	}
}

func TestASessionNeedsWhatItLivesBy(t *testing.T) {
	d := newDC(t)
	d.register("n1", "host critical")
	for want, s := range map[string]Session{
		"Must provide Node":                                   {},
		"apply failed: Missing node registration":             {Node: "none"},
		"apply failed: Missing check 'nope' registration":     {Node: "n1", ServiceChecks: []ServiceCheck{{ID: "nope"}}},
		"apply failed: Check 'host' is in critical state":     {Node: "n1", Checks: []string{"host"}},
		"Invalid Behavior setting 'nope'":                     {Node: "n1", Behavior: "nope"},
		"Invalid Session TTL '9', must be between":            {Node: "n1", TTL: "9ns"},
		"Session TTL 'x' invalid: time":                       {Node: "n1", TTL: "x"},
		"Invalid Session LockDelay '-1', must be between [0s": {Node: "n1", LockDelay: -1},
	} {
		if _, err := d.tryCreate(s); err == nil || !strings.HasPrefix(err.Error(), want) || rpc.ReasonOf(err) != rpc.ReasonFailed {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := d.apply(t.Context(), anyone(), &ApplyRequest{Op: "nope"}); err == nil || err.Error() != "Invalid session operation 'nope'" {
		t.Error(err)
	}
	if _, err := d.apply(t.Context(), anyone(), &ApplyRequest{Op: Destroy}); err == nil || err.Error() != "Must provide ID" {
		t.Error(err)
	}
	d.log.set(func() error { return rpc.ErrOutcomeUnknown })
	if _, err := d.tryCreate(Session{Node: "n1"}); err != rpc.ErrOutcomeUnknown {
		t.Errorf("an error of the log came as %v", err)
	}
}

// A leader that was elected a moment ago may not have applied yet what it is asked to end.
func TestDestroyFindsASessionThatIsYetToBeApplied(t *testing.T) {
	d := newDC(t)
	d.register("n1")
	late := storetest.Encode(t, opCreate, &Session{ID: "late", Name: "late", Node: "n1"})
	d.log.set(func() error {
		d.log.set(nil)
		d.log.Batch(late)
		return nil
	})
	d.destroy("late")
	if d.there("late") || !slices.Equal(d.ended, []string{"late"}) {
		t.Errorf("the session was missed; %q ended", d.ended)
	}
}

func TestOnlyChangesOfItsSessionsWakeAReader(t *testing.T) {
	d := newDC(t)
	d.register("n1")
	d.register("n2")
	id := d.create(Session{Node: "n1"})
	d.create(Session{Node: "n2"})
	woke := func(read func(call *rpc.Call)) func() bool {
		call := anyone()
		call.Watch = make(rpc.WatchSet)
		read(call)
		return func() bool {
			for ch := range call.Watch {
				select {
				case <-ch:
					return true
				default:
				}
			}
			return false
		}
	}
	info := woke(func(call *rpc.Call) { d.get(t.Context(), call, &SpecificRequest{Session: id}) })
	of := woke(func(call *rpc.Call) { d.nodeSessions(t.Context(), call, &catalog.NodeSpecificRequest{Node: "N1"}) })
	all := woke(func(call *rpc.Call) { d.list(t.Context(), call, &SpecificRequest{}) })
	d.create(Session{Node: "n2"})
	if info() || of() || !all() {
		t.Errorf("another node's session: info %v, node %v, list %v", info(), of(), all())
	}
	d.destroy(id)
	if !info() || !of() {
		t.Errorf("the end: info %v, node %v", info(), of())
	}
	gone, err := d.get(t.Context(), anyone(), &SpecificRequest{Session: id})
	if err != nil || len(gone.Sessions) != 0 || !gone.Absent() || gone.Index != d.AppliedIndex() {
		t.Errorf("%+v, %v", gone, err)
	}
}

func TestSnapshotsKeepSessionsAndWhatTheyLiveBy(t *testing.T) {
	d := newDC(t)
	d.register("n1", "host passing", "web passing web")
	want := Session{Name: "a", Node: "n1", TTL: "15s", LockDelay: time.Second, Behavior: Delete, NodeChecks: []string{"host"}, ServiceChecks: []ServiceCheck{{ID: "web", Namespace: "default"}}}
	want.ID = d.create(want)
	d.create(Session{Name: "b", Node: "n1"})
	to := newDC(t)
	if err := to.Restore(storetest.Snapshot(t, d.Store)); err != nil {
		t.Fatal(err)
	}
	to.log.SkipTo(to.AppliedIndex())
	got, found := Lookup(to.Read(nil), want.ID)
	want.CreateIndex, want.ModifyIndex = 2, 2
	if !found || fmt.Sprint(*got) != fmt.Sprint(want) || to.Read(nil).TouchedAt(table) != 3 {
		t.Fatalf("%+v, want %+v", got, want)
	}
	to.register("n1", "web critical web")
	if !slices.Equal(to.ended, []string{"a"}) {
		t.Errorf("%q ended with the check", to.ended)
	}
	// From outside nobody comes back who held something then.
	imported, err := to.Import(storetest.Snapshot(t, d.Store), 500, store.Identity{ID: "a", Incarnation: "b"})
	if err != nil || imported.Skipped[record] != 2 {
		t.Errorf("%+v, %v", imported, err)
	}
}

func TestASnapshotWithASessionOfNobodyIsRefused(t *testing.T) {
	for _, s := range []*Session{{Node: "n1"}, {ID: "a"}} {
		d := newDC(t)
		d.log.Batch(storetest.Encode(t, opCreate, s)) // refused too
		if err := d.Restore(io.NopCloser(strings.NewReader("\x81\xa9LastIndex\x01\x03" + string(rpctest.Encode(t, s))))); err == nil || !strings.Contains(err.Error(), "a session has no ID, or no node") {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// run lets the timers count in a bubble until the returned function is called.
func (d *dc) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.timers.Run(ctx)
	}()
	synctest.Wait()
	return func() { cancel(); <-ended }
}

func TestASessionLivesForItsTTLAndNotMuchLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDC(t)
		d.register("n1")
		defer d.run()()
		never, zero := d.create(Session{Node: "n1", Name: "never"}), d.create(Session{Node: "n1", Name: "zero", TTL: "0s"})
		short := d.create(Session{Node: "n1", Name: "short", TTL: "10s"})
		long := d.create(Session{Node: "n1", Name: "long", TTL: "15s"})
		for range 20 {
			time.Sleep(10 * time.Second) // to the last moment of what was promised
			if !d.renew(short) || !d.renew(long) {
				t.Fatal("a session that was renewed is gone")
			}
		}
		time.Sleep(10 * time.Second)
		if !d.there(short) {
			t.Fatal("it lived for less than its TTL")
		}
		time.Sleep(11 * time.Second)
		if d.there(short) || !d.there(long) || d.renew(short) {
			t.Fatalf("after twice its TTL: short is there: %v, long: %v", d.there(short), d.there(long))
		}
		time.Sleep(time.Hour)
		if d.there(long) || !d.there(never) || !d.there(zero) || !slices.Equal(d.ended, []string{"short", "long"}) {
			t.Errorf("%q ended", d.ended)
		}
	})
}

// Whoever begins to lead knows nothing of what an earlier leader counted.
func TestANewLeaderCountsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDC(t)
		d.register("n1")
		id := d.create(Session{Node: "n1", TTL: "10s"})
		if !d.renew(id) {
			t.Error("a server that does not count refused a renewal")
		}
		time.Sleep(time.Hour) // nobody leads, nobody counts
		for range 5 {
			stop := d.run()
			time.Sleep(19 * time.Second)
			stop()
			if !d.there(id) {
				t.Fatal("the time of two leaders was added")
			}
		}
		defer d.run()()
		time.Sleep(21 * time.Second)
		if d.there(id) {
			t.Error("nobody ended it")
		}
	})
}

// However a session came into the table, its time is counted: its creation may have been
// an earlier leader's, or its answer lost, or the whole table replaced.
func TestTheTimersFollowTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDC(t)
		d.register("n1")
		other := newDC(t)
		other.register("n1")
		restored := other.create(Session{Node: "n1", TTL: "10s"})
		defer d.run()()
		d.log.Batch(storetest.Encode(t, opCreate, &Session{ID: "unheard", Node: "n1", TTL: "10s"}))
		time.Sleep(5 * time.Second)
		if !d.there("unheard") {
			t.Fatal("it ended too early")
		}
		if err := d.Restore(storetest.Snapshot(t, other.Store)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(17 * time.Second)
		if !d.there(restored) {
			t.Fatal("it ended too early")
		}
		time.Sleep(5 * time.Second)
		if d.there(restored) {
			t.Error("nobody counted for a session of a table that was replaced")
		}
		d.log.Batch(storetest.Encode(t, opCreate, &Session{ID: "later", Node: "n1", TTL: "10s"}))
		time.Sleep(22 * time.Second)
		if d.there("later") {
			t.Error("nobody counted for a session whose creation was not heard of")
		}
	})
}

// A renewal that succeeds means something: the session is not ended by what its time
// came to before.
func TestASessionThatIsBeingEndedIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDC(t)
		d.register("n1")
		defer d.run()()
		id := d.create(Session{Node: "n1", TTL: "10s"})
		tries := 0
		d.log.set(func() error {
			if tries++; tries <= 2 {
				return rpc.ErrOutcomeUnknown
			}
			time.Sleep(time.Minute)
			return nil
		})
		time.Sleep(25 * time.Second)
		if !d.there(id) {
			t.Fatal("it has ended already: the test shows nothing")
		}
		if d.renew(id) {
			t.Error("a session was renewed while it was being ended")
		}
		time.Sleep(2 * time.Minute)
		if d.there(id) || tries != 3 {
			t.Errorf("there: %v after %d tries", d.there(id), tries)
		}
	})
}

func TestManySessionsEndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDC(t)
		d.register("n1")
		const sessions = 10 * expireAtOnce
		for range sessions {
			d.create(Session{Node: "n1", TTL: "10s"})
		}
		before := d.AppliedIndex()
		defer d.run()()
		time.Sleep(time.Minute)
		if n, entries := count(d.Read(nil)), d.AppliedIndex()-before; n != 0 || entries > sessions/expireAtOnce+1 {
			t.Errorf("%d are left after %d entries", n, entries)
		}
	})
}

func TestTimersEndWithTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDC(t)
		d.register("n1")
		d.create(Session{Node: "n1", TTL: "10s"})
		stop := d.run()
		d.log.set(func() error { return errors.New("no longer") })
		time.Sleep(30 * time.Second)
		stop() // the bubble fails if anything is left
	})
}
