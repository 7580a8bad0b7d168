package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hanse-project/hanse/rpc"
)

// reads are queries whose index and wakes the next test follows.
func (d *dc) reads() map[string]func(*rpc.Call) rpc.Reply {
	ctx := context.Background()
	health := func(name string) func(*rpc.Call) rpc.Reply {
		return func(c *rpc.Call) rpc.Reply {
			return must(d.healthServiceNodes(ctx, c, &ServiceSpecificRequest{ServiceName: name}))
		}
	}
	return map[string]func(*rpc.Call) rpc.Reply{
		"nodes":    func(c *rpc.Call) rpc.Reply { return must(d.listNodes(ctx, c, &DCSpecificRequest{})) },
		"services": func(c *rpc.Call) rpc.Reply { return must(d.listServices(ctx, c, &DCSpecificRequest{})) },
		"web":      health("web"),
		"db":       health("db"),
		"mesh": func(c *rpc.Call) rpc.Reply {
			return must(d.healthServiceNodes(ctx, c, &ServiceSpecificRequest{ServiceName: "web", Connect: true}))
		},
		"node n1":  func(c *rpc.Call) rpc.Reply { return must(d.nodeServices(ctx, c, &NodeSpecificRequest{Node: "n1"})) },
		"node n2":  func(c *rpc.Call) rpc.Reply { return must(d.nodeServices(ctx, c, &NodeSpecificRequest{Node: "n2"})) },
		"checks 1": func(c *rpc.Call) rpc.Reply { return must(d.nodeChecks(ctx, c, &NodeSpecificRequest{Node: "n1"})) },
		"passing": func(c *rpc.Call) rpc.Reply {
			return must(d.checksInState(ctx, c, &ChecksInStateRequest{State: Passing}))
		},
		"critical": func(c *rpc.Call) rpc.Reply {
			return must(d.checksInState(ctx, c, &ChecksInStateRequest{State: Critical}))
		},
		"any": func(c *rpc.Call) rpc.Reply {
			return must(d.checksInState(ctx, c, &ChecksInStateRequest{State: AnyState}))
		},
	}
}

// asked is one blocking query, at the index of its first answer.
type asked struct {
	index  uint64
	absent bool
	ws     rpc.WatchSet
}

func ask(read func(*rpc.Call) rpc.Reply) asked {
	call := anyone()
	call.Watch = make(rpc.WatchSet)
	meta := read(call).QueryMeta()
	return asked{meta.Index, meta.Absent(), call.Watch}
}

// answered tells whether the query would now return: it is woken, and looks again.
func (a asked) answered(read func(*rpc.Call) rpc.Reply) bool {
	woken := false
	for ch := range a.ws {
		select {
		case <-ch:
			woken = true
		default:
		}
	}
	next := ask(read)
	return woken && next.index > a.index && !(a.absent && next.absent)
}

func TestOnlyWhatWasAskedForWakes(t *testing.T) {
	d := newDC(t)
	d.service("n1", "w1", "web", Passing)
	d.service("n2", "db", "db", Passing)
	reads := d.reads()
	for _, step := range []struct {
		name string
		do   func()
		wake string
	}{
		{"nothing new", func() { d.service("n1", "w1", "web", Passing) }, ""},
		{"a check turns", func() { d.service("n1", "w1", "web", Critical) }, "any checks 1,critical,passing,web"},
		{"and back", func() { d.service("n1", "w1", "web", Passing) }, "any checks 1,critical,passing,web"},
		{"a node check", func() {
			d.put(&RegisterRequest{Node: "n2", SkipNodeUpdate: true, Check: &HealthCheck{Name: "host", Status: Passing}})
		}, "any db passing"},
		{"a new instance", func() { d.service("n2", "w2", "web", Passing) }, "any node n2 passing services web"},
		{"a proxy", func() {
			d.put(&RegisterRequest{Node: "n1", SkipNodeUpdate: true, Service: &NodeService{Service: "px", Kind: KindConnectProxy, Proxy: Proxy{DestinationServiceName: "web"}}})
		}, "mesh node n1 services"},
		{"an address", func() { d.put(&RegisterRequest{Node: "n1", Address: "10.0.0.9"}) }, "mesh node n1 nodes web"},
		{"another node", func() { d.put(&RegisterRequest{Node: "n3", Address: "10.0.0.3"}) }, "nodes"},
		{"the proxy goes", func() { d.remove(&DeregisterRequest{Node: "n1", ServiceID: "px"}) }, "mesh node n1 services"},
		{"the last db goes", func() { d.remove(&DeregisterRequest{Node: "n2", ServiceID: "db"}) }, "any db node n2 passing services"},
		{"nothing goes", func() { d.remove(&DeregisterRequest{Node: "n2", ServiceID: "db"}) }, ""},
		{"others change", func() { d.service("n3", "other", "other", Critical) }, "any critical nodes services"},
		{"db is back", func() { d.service("n2", "db", "db", Passing) }, "any db node n2 passing services"},
		{"a check goes", func() { d.remove(&DeregisterRequest{Node: "n1", CheckID: "check:w1"}) }, "any checks 1,passing web"},
		{"a node goes", func() { d.remove(&DeregisterRequest{Node: "n1"}) }, "checks 1,node n1 nodes services web"},
	} {
		before := map[string]asked{}
		for name, read := range reads {
			before[name] = ask(read)
		}
		step.do()
		var woke []string
		for name, read := range reads {
			if before[name].answered(read) {
				woke = append(woke, name)
			}
			if now := ask(read); now.index < before[name].index {
				t.Errorf("%s: the index of %s fell from %d to %d", step.name, name, before[name].index, now.index)
			}
		}
		slices.Sort(woke)
		want := strings.Fields(strings.NewReplacer("checks 1,", "checks_1 ", "node n1", "node_n1", "node n2", "node_n2", ",", " ").Replace(step.wake))
		for i := range want {
			want[i] = strings.ReplaceAll(want[i], "_", " ")
		}
		slices.Sort(want)
		if !slices.Equal(woke, want) {
			t.Errorf("%s: woke %q, want %q", step.name, woke, want)
		}
	}
}

func TestAQueryWatchesAFewChannelsHoweverManyInstances(t *testing.T) {
	d := newDC(t)
	for i := range 200 {
		d.service(fmt.Sprintf("n%d", i), "w", "web", Passing)
	}
	for name, read := range d.reads() {
		if n := len(ask(read).ws); n > 4 {
			t.Errorf("%s watches %d channels", name, n)
		}
	}
}

func TestAnUnknownNodeIsNil(t *testing.T) {
	d := newDC(t)
	d.service("n1", "w1", "web", Passing)
	req := &NodeSpecificRequest{Node: "nosuch"}
	services := must(d.nodeServices(t.Context(), anyone(), req))
	list := must(d.nodeServiceList(t.Context(), anyone(), req))
	info := must(d.nodeInfo(t.Context(), anyone(), req))
	if services.NodeServices != nil || list.NodeServices.Node != nil || list.NodeServices.Services != nil || info.Dump != nil {
		t.Fatalf("%+v %+v %+v", services, list, info)
	}
	if !services.Absent() || !list.Absent() || !info.Absent() {
		t.Fatal("the answers do not say that there is nothing")
	}
}

func TestWhatWasNeverThereIsKnownToHaveBeenAbsent(t *testing.T) {
	d := newDC(t)
	d.service("n1", "w1", "web", Passing)
	d.service("n1", "w1", "web", Critical)
	ask := func(name string) *rpc.Meta {
		return must(d.healthServiceNodes(t.Context(), anyone(), &ServiceSpecificRequest{ServiceName: name})).QueryMeta()
	}
	if meta := ask("nosuch"); !meta.AbsentAt(1) {
		t.Errorf("a service that never was is taken for one that was there: %+v", meta)
	}
	before := ask("web").Index
	d.remove(&DeregisterRequest{Node: "n1", ServiceID: "w1"})
	if meta := ask("web"); meta.AbsentAt(before) || !meta.AbsentAt(meta.Index) {
		t.Errorf("a service that was there at index %d is said to have been absent: %+v", before, meta)
	}
}

// Answers are shared between callers, and kept: who filters and sorts must not disturb
// the next.
func TestAnswersCanBeFilteredAndSortedConcurrently(t *testing.T) {
	d := newDC(t)
	for i := range 50 {
		d.service(fmt.Sprintf("n%02d", i), "w", "web", []string{Passing, Critical}[i%2], fmt.Sprint("t", i%5))
	}
	var wg sync.WaitGroup
	for worker := range 6 {
		wg.Go(func() {
			for range 30 {
				req := &ServiceSpecificRequest{ServiceName: "web"}
				want := 50
				if worker%2 == 0 {
					req.HealthFilterType, want = OnlyPassing, 25
				}
				if worker%3 == 0 {
					req.Filter, want = `Service.Tags contains "t0"`, want/5
				}
				rep, err := d.healthServiceNodes(context.Background(), anyone(), req)
				if err != nil || len(rep.Nodes) != want {
					t.Errorf("%d instances, want %d (%v)", len(rep.Nodes), want, err)
					return
				}
				slices.SortFunc(slices.Clone(rep.Nodes), func(a, b CheckServiceNode) int { return strings.Compare(b.Node.Node, a.Node.Node) })
				flat := must(d.serviceNodes(context.Background(), anyone(), web())).ServiceNodes
				if _, err := json.Marshal(flat); err != nil || len(flat) != 50 {
					t.Errorf("%d rows, %v", len(flat), err)
				}
				must(json.Marshal(must(d.listServices(context.Background(), anyone(), &DCSpecificRequest{})).Services))
			}
		})
	}
	wg.Go(func() {
		for i := range 100 {
			d.put(&RegisterRequest{Node: "n00", Address: fmt.Sprint("10.0.1.", i)})
			d.service("other", "o", "other", Passing, fmt.Sprint(i))
		}
	})
	wg.Wait()
}
