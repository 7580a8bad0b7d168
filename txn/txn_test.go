package txn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

const limit = 1024

// dc is one datacenter: its keys and its catalog.
type dc struct {
	testing.TB
	*store.Store
	log *storetest.Log
	*Endpoint
}

func newDC(t testing.TB) *dc {
	s, log := storetest.New(t, catalog.Module("dc1"), session.Module(), kv.Module(), Module())
	return &dc{t, s, log, NewEndpoint(s, log, "dc1", limit)}
}

func anyone() *rpc.Call { return &rpc.Call{Authz: rpc.AllowAll{}} }

func key(verb kv.Verb, name string, more ...any) *Op {
	op := &KVOp{Verb: verb, DirEnt: kv.Entry{Key: name}}
	for _, m := range more {
		switch m := m.(type) {
		case string:
			op.DirEnt.Value = []byte(m)
		case int:
			op.DirEnt.ModifyIndex = uint64(m)
		}
	}
	return &Op{KV: op}
}

// do applies operations and returns the reply as HTTP clients see it.
func (d *dc) do(ops ...*Op) string {
	d.Helper()
	rep, err := d.apply(context.Background(), anyone(), &Request{Ops: ops})
	if err != nil {
		return err.Error()
	}
	return d.text(rep)
}

func (d *dc) read(ops ...*Op) string {
	d.Helper()
	rep, err := d.Endpoint.read(context.Background(), anyone(), &ReadRequest{Ops: ops})
	if err != nil {
		return err.Error()
	}
	return d.text(&rep.Response)
}

func (d *dc) text(rep *Response) string {
	d.Helper()
	out, err := json.Marshal(rep)
	if err != nil {
		d.Fatal(err)
	}
	return string(out)
}

func (d *dc) expect(got, want string) {
	d.Helper()
	if got != want {
		d.Errorf("%s\nwant %s", got, want)
	}
}

func TestKeysInATransaction(t *testing.T) {
	d := newDC(t)
	set := key(kv.Set, "t/x", "1")
	set.KV.DirEnt.Flags = 7
	d.expect(d.do(set, key(kv.ReadKey, "t/x")),
		`{"Results":[{"KV":{"LockIndex":0,"Key":"t/x","Flags":7,"Value":null,"CreateIndex":1,"ModifyIndex":1}},`+
			`{"KV":{"LockIndex":0,"Key":"t/x","Flags":7,"Value":"MQ==","CreateIndex":1,"ModifyIndex":1}}],"Errors":null}`)
	d.expect(d.do(key(kv.CAS, "t/x", 9, "2"), key(kv.ReadKey, "t/none")),
		`{"Results":null,"Errors":[{"OpIndex":0,"What":"failed to set key \"t/x\", index is stale"},{"OpIndex":1,"What":"key \"t/none\" doesn't exist"}]}`)
	d.expect(d.do(key("nope", "t/x")), `{"Results":null,"Errors":[{"OpIndex":0,"What":"unknown KV operation: nope"}]}`)
	d.expect(d.do(), `{"Results":[],"Errors":null}`)
	d.expect(d.do(key(kv.Delete, "t/x"), key(kv.DeleteTree, "nothing")), `{"Results":[],"Errors":null}`)
	d.expect(d.do(key(kv.CheckNotExists, "t/x"), key(kv.CAS, "t/x", 0, "3")),
		`{"Results":[{"KV":{"LockIndex":0,"Key":"t/x","Flags":0,"Value":null,"CreateIndex":5,"ModifyIndex":5}}],"Errors":null}`)
	d.expect(d.do(key(kv.CheckIndex, "t/x", 5)),
		`{"Results":[{"KV":{"LockIndex":0,"Key":"t/x","Flags":0,"Value":null,"CreateIndex":5,"ModifyIndex":5}}],"Errors":null}`)
	d.expect(d.do(key(kv.CheckIndex, "t/x", 1), key(kv.CheckNotExists, "t/x"), key(kv.DeleteCAS, "t/x", 1)),
		`{"Results":null,"Errors":[{"OpIndex":0,"What":"failed index check for key \"t/x\", current modify index 5 != 1"},`+
			`{"OpIndex":1,"What":"key \"t/x\" exists"},{"OpIndex":2,"What":"failed to delete key \"t/x\", index is stale"}]}`)
}

func TestReadOnlyTransaction(t *testing.T) {
	d := newDC(t)
	d.do(key(kv.Set, "a/1", "one"), key(kv.Set, "a/2", "two"))
	d.expect(d.read(key(kv.ReadTree, "a/"), key(kv.ReadOrEmpty, "none"), key(kv.CheckNotExists, "none")),
		`{"Results":[{"KV":{"LockIndex":0,"Key":"a/1","Flags":0,"Value":"b25l","CreateIndex":1,"ModifyIndex":1}},`+
			`{"KV":{"LockIndex":0,"Key":"a/2","Flags":0,"Value":"dHdv","CreateIndex":1,"ModifyIndex":1}},`+
			`{"KV":{"LockIndex":0,"Key":"none","Flags":0,"Value":null,"CreateIndex":0,"ModifyIndex":0}}],"Errors":null}`)
	d.expect(d.read(key(kv.ReadKey, "none")), `{"Results":null,"Errors":[{"OpIndex":0,"What":"key \"none\" doesn't exist"}]}`)
	d.expect(d.read(key(kv.ReadKey, "a/1"), key(kv.Set, "b")),
		`{"Results":null,"Errors":[{"OpIndex":1,"What":"the operation writes, and this is a read-only transaction"}]}`)
	if d.AppliedIndex() != 1 {
		t.Errorf("a read-only transaction reached the log: %d", d.AppliedIndex())
	}
}

func TestAFailedTransactionLeavesNothingBehind(t *testing.T) {
	d := newDC(t)
	d.do(key(kv.Set, "a", "1"))
	for _, fails := range [][]*Op{
		{key(kv.Set, "b"), key(kv.DeleteTree, ""), key(kv.CAS, "a", 7)},
		{nodeOp(catalog.Set, "n1"), serviceOp(catalog.Set, "n1", "web"), key(kv.ReadKey, "none")},
		{nodeOp(catalog.Set, "n1"), serviceOp(catalog.Set, "n2", "web")},
	} {
		rep, failed := d.apply(t.Context(), anyone(), &Request{Ops: fails})
		if failed != nil || len(rep.Errors) == 0 || rep.Results != nil {
			t.Fatalf("%+v, %v", rep, failed)
		}
	}
	d.expect(d.read(key(kv.ReadTree, "")), `{"Results":[{"KV":{"LockIndex":0,"Key":"a","Flags":0,"Value":"MQ==","CreateIndex":1,"ModifyIndex":1}}],"Errors":null}`)
	v := d.Read(nil)
	if _, found := catalog.LookupNode(v, "n1"); found || v.TouchedAt("kvs") != 1 || v.TouchedAt("nodes", "services", "node:n1") != 0 {
		t.Errorf("something stayed: kvs at %d, nodes at %d", v.TouchedAt("kvs"), v.TouchedAt("nodes"))
	}
}

func nodeOp(verb catalog.Verb, name string, index ...uint64) *Op {
	op := &NodeOp{Verb: verb, Node: catalog.Node{Node: name, Address: "10.0.0.1", Datacenter: "elsewhere"}}
	for _, i := range index {
		op.Node.ModifyIndex = i
	}
	return &Op{Node: op}
}

func serviceOp(verb catalog.Verb, node, name string, index ...uint64) *Op {
	op := &ServiceOp{Verb: verb, Node: node, Service: catalog.NodeService{ID: name, Service: name, Weights: &catalog.Weights{}}}
	for _, i := range index {
		op.Service.ModifyIndex = i
	}
	return &Op{Service: op}
}

func checkOp(verb catalog.Verb, node, id, service string, index ...uint64) *Op {
	op := &CheckOp{Verb: verb, Check: catalog.HealthCheck{Node: node, CheckID: id, ServiceID: service, Status: catalog.Passing}}
	for _, i := range index {
		op.Check.ModifyIndex = i
	}
	return &Op{Check: op}
}

func TestTheCatalogInATransaction(t *testing.T) {
	d := newDC(t)
	const (
		node    = `{"Node":{"ID":"","Node":"n1","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":null,"Meta":null,"CreateIndex":1,"ModifyIndex":1}}`
		service = `{"Service":{"ID":"web","Service":"web","Tags":[],"Address":"","Meta":null,"Port":0,"Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,` +
			`"Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"PeerName":"","CreateIndex":1,"ModifyIndex":1}}`
		check = `{"Check":{"Node":"n1","CheckID":"c","Name":"","Status":"passing","Notes":"","Output":"","ServiceID":"web","ServiceName":"web","ServiceTags":[],` +
			`"Type":"","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":1,"ModifyIndex":1}}`
		all = `{"Results":[` + node + "," + service + "," + check + `],"Errors":null}`
	)
	d.expect(d.do(nodeOp(catalog.CAS, "n1", 0), serviceOp(catalog.CAS, "n1", "web", 0), checkOp(catalog.CAS, "n1", "c", "web", 0)), all)
	d.expect(d.read(nodeOp(catalog.Get, "n1"), serviceOp(catalog.Get, "n1", "web"), checkOp(catalog.Get, "n1", "c", "")), all)
	d.expect(d.do(nodeOp(catalog.Set, "n1"), serviceOp(catalog.Set, "n1", "web"), checkOp(catalog.Set, "n1", "c", "web")), all) // nothing new
	for _, c := range []struct {
		op   *Op
		want string
	}{
		{nodeOp(catalog.CAS, "n1", 9), `failed to set node \"n1\", index is stale`},
		{nodeOp(catalog.DeleteCAS, "n1", 9), `failed to delete node \"n1\", index is stale`},
		{nodeOp(catalog.Get, "n2"), `node \"n2\" doesn't exist`},
		{nodeOp("nope", "n1"), `unknown Node operation: nope`},
		{serviceOp(catalog.CAS, "n1", "web", 9), `failed to set service \"web\" on node \"n1\", index is stale`},
		{serviceOp(catalog.DeleteCAS, "n1", "web", 9), `failed to delete service \"web\" on node \"n1\", index is stale`},
		{serviceOp(catalog.Get, "n1", "db"), `service \"db\" on node \"n1\" doesn't exist`},
		{serviceOp(catalog.Set, "n2", "db"), `Missing node registration`},
		{serviceOp(catalog.Set, "n1", ""), `Must provide service name (Service.Service)`},
		{checkOp(catalog.CAS, "n1", "c", "web", 9), `failed to set check \"c\" on node \"n1\", index is stale`},
		{checkOp(catalog.DeleteCAS, "n1", "c", "", 9), `failed to delete check \"c\" on node \"n1\", index is stale`},
		{checkOp(catalog.Get, "n1", "x", ""), `check \"x\" on node \"n1\" doesn't exist`},
		{checkOp(catalog.Set, "n2", "c", ""), `Missing node registration`},
		{checkOp(catalog.Set, "n1", "c", "db"), `Unknown service ID 'db' for check ID 'c'`},
		{&Op{}, `the operation is empty: give one of KV, Node, Service, Check and Session`},
		{nil, `the operation is empty: give one of KV, Node, Service, Check and Session`},
		{key(kv.Lock, "a"), `invalid session \"\"`},
		{key(kv.CheckSession, "a"), `failed to check session \"\" on key \"a\": key doesn't exist`},
		{key(kv.Set, ""), `Must provide key`},
	} {
		d.expect(d.do(key(kv.Set, "x"), c.op), `{"Results":null,"Errors":[{"OpIndex":1,"What":"`+c.want+`"}]}`)
	}
	index := int(d.AppliedIndex())
	d.expect(d.do(checkOp(catalog.DeleteCAS, "n1", "c", "", 1), serviceOp(catalog.DeleteCAS, "n1", "web", 1), nodeOp(catalog.Delete, "n1"), nodeOp(catalog.Delete, "n1")), `{"Results":[],"Errors":null}`)
	if at := d.Read(nil).TouchedAt("nodes"); at != uint64(index+1) {
		t.Errorf("the nodes were touched at %d", at)
	}
}

func TestLimits(t *testing.T) {
	d := newDC(t)
	ops := make([]*Op, MaxOps+1)
	for i := range ops {
		ops[i] = key(kv.Set, fmt.Sprint(i))
	}
	if got := d.do(ops...); got != "Transaction contains too many operations (129 > 128)" {
		t.Error(got)
	}
	if got := d.do(ops[:MaxOps]...); !strings.HasSuffix(got, `"Errors":null}`) {
		t.Error(got)
	}
	_, err := d.apply(t.Context(), anyone(), &Request{Ops: []*Op{key(kv.Set, "a", strings.Repeat("x", limit+1))}})
	if rpc.ReasonOf(err) != rpc.ReasonTooLarge || !errors.Is(err, rpc.ErrTooLarge) || !strings.Contains(err.Error(), "is too large") {
		t.Errorf("got %v", err)
	}
}

// reader may read everything below "open" and write nothing.
type reader struct{ rpc.AllowAll }

func (reader) Allow(_ rpc.Resource, a rpc.Access, name string) bool {
	return a == rpc.AccessRead && strings.HasPrefix(name, "open")
}
func (reader) AllowPrefix(rpc.Resource, rpc.Access, string) bool { return false }

func TestEveryOperationAsksForPermission(t *testing.T) {
	d := newDC(t)
	d.do(key(kv.Set, "open/a"), key(kv.Set, "secret"), nodeOp(catalog.Set, "secret"), nodeOp(catalog.Set, "open"),
		serviceOp(catalog.Set, "secret", "web"), checkOp(catalog.Set, "secret", "c", "web"))
	at := d.AppliedIndex()
	var ops []*Op
	for _, verb := range []kv.Verb{kv.Set, kv.CAS, kv.Delete, kv.DeleteCAS, kv.DeleteTree, kv.ReadKey, kv.ReadOrEmpty, kv.CheckIndex, kv.CheckNotExists} {
		ops = append(ops, key(verb, "secret"))
	}
	for _, verb := range []catalog.Verb{catalog.Set, catalog.CAS, catalog.Delete, catalog.DeleteCAS} {
		ops = append(ops, nodeOp(verb, "secret"), nodeOp(verb, "new"), serviceOp(verb, "secret", "web"), serviceOp(verb, "secret", "new"),
			checkOp(verb, "secret", "c", "web"), checkOp(verb, "secret", "c", ""), checkOp(verb, "secret", "new", ""))
	}
	rep, err := d.apply(t.Context(), &rpc.Call{Authz: reader{}}, &Request{Ops: ops})
	if err != nil || len(rep.Errors) != len(ops) || d.AppliedIndex() != at {
		t.Fatalf("%d of %d operations were refused (%v); index %d", len(rep.Errors), len(ops), err, d.AppliedIndex())
	}
	for i, e := range rep.Errors {
		if e.OpIndex != i || !strings.HasPrefix(e.What, "Permission denied: anonymous token lacks permission") {
			t.Errorf("operation %d: %s", i, e.What)
		}
	}
	call := &rpc.Call{Authz: reader{}}
	seen, err := d.Endpoint.read(t.Context(), call, &ReadRequest{Ops: []*Op{
		key(kv.ReadTree, ""), nodeOp(catalog.Get, "secret"), nodeOp(catalog.Get, "open"), serviceOp(catalog.Get, "secret", "web"), checkOp(catalog.Get, "secret", "c", ""),
	}})
	if err != nil || len(seen.Results) != 2 || seen.Results[0].KV.Key != "open/a" || seen.Results[1].Node.Node != "open" || !call.Filtered() {
		t.Errorf("%+v, %v", seen, err)
	}
}

// Money moves between accounts, and is neither made nor lost.
func TestTransactionsAreAtomic(t *testing.T) {
	d := newDC(t)
	const accounts, total = 5, 100
	balance := map[int][2]int{} // amount and index
	for i := range accounts {
		d.do(key(kv.Set, fmt.Sprint(i), fmt.Sprint(total/accounts)))
		balance[i] = [2]int{total / accounts, i + 1}
	}
	random := rand.New(rand.NewPCG(3, 4))
	moved := 0
	for range 500 {
		from, to, amount := random.IntN(accounts), random.IntN(accounts), random.IntN(10)
		if from == to {
			continue
		}
		a, b := balance[from], balance[to]
		late := random.IntN(3) == 0 // one of the two is out of date
		index := b[1]
		if late {
			index = max(1, index-1)
		}
		late = index != b[1]
		got := d.do(key(kv.CAS, fmt.Sprint(from), a[1], fmt.Sprint(a[0]-amount)), key(kv.CAS, fmt.Sprint(to), index, fmt.Sprint(b[0]+amount)))
		if strings.Contains(got, "stale") != late {
			t.Fatalf("late: %v, but %s", late, got)
		}
		if !late {
			moved++
			at := int(d.AppliedIndex())
			balance[from], balance[to] = [2]int{a[0] - amount, at}, [2]int{b[0] + amount, at}
		}
	}
	sum := 0
	for i := range accounts {
		e, _ := kv.Lookup(d.Read(nil), fmt.Sprint(i))
		var amount int
		if _, err := fmt.Sscan(string(e.Value), &amount); err != nil || amount != balance[i][0] || int(e.ModifyIndex) != balance[i][1] {
			t.Errorf("account %d is %s at %d, want %v (%v)", i, e.Value, e.ModifyIndex, balance[i], err)
		}
		sum += amount
	}
	if sum != total || moved == 0 {
		t.Errorf("the sum is %d after %d moves, want %d", sum, moved, total)
	}
}

func FuzzCommand(f *testing.F) {
	f.Add(storetest.Encode(f, opTxn, &command{Ops: []*Op{key(kv.Set, "a", "1"), nodeOp(catalog.Set, "n"), serviceOp(catalog.Set, "n", "web"), checkOp(catalog.Delete, "n", "c", "")}})[9:])
	f.Fuzz(func(t *testing.T, body []byte) {
		d := newDC(t)
		d.log.Batch(append(storetest.Encode(t, opTxn, nil)[:9], body...))
		d.read(key(kv.ReadTree, ""))
	})
}

func BenchmarkTxnOf64Sets(b *testing.B) {
	d := newDC(b)
	var ops []*Op
	for i := range 64 {
		ops = append(ops, key(kv.Set, fmt.Sprintf("bench/%02d", i), strings.Repeat("x", 128)))
	}
	b.ReportAllocs()
	for b.Loop() {
		if rep, err := d.apply(context.Background(), anyone(), &Request{Ops: ops}); err != nil || rep.Errors != nil {
			b.Fatal(rep, err)
		}
	}
}
