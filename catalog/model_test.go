package catalog

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"
)

// Whatever happens, no index falls, and nobody sleeps through a change of what he asked for.
func TestNoChangeIsMissed(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	d := newDC(t)
	node := func() string { return pick("n1", "n2", "N2", "n3") }
	service := func() *NodeService {
		s := &NodeService{ID: pick("s1", "s2"), Service: pick("web", "Web", "db"), Tags: Tags{pick("a", "b")}}
		switch random.IntN(4) {
		case 0:
			s.Kind, s.Proxy.DestinationServiceName = KindConnectProxy, pick("web", "db")
		case 1:
			s.Connect.Native = true
		}
		return s
	}
	check := func() *HealthCheck {
		return &HealthCheck{CheckID: pick("c1", "c2", SerfCheckID), ServiceID: pick("", "", "s1", "s2"), Status: pick(Passing, Warning, Critical)}
	}
	ids := []string{"", "", "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"}
	reads := d.reads()
	changed := 0
	for step := range 1500 {
		type seen struct {
			asked
			answer []byte
		}
		before := map[string]seen{}
		for name, read := range reads {
			before[name] = seen{ask(read), rows(t, read(anyone()))}
		}
		switch random.IntN(6) {
		case 0:
			d.remove(&DeregisterRequest{Node: node(), ServiceID: pick("s1", "s2")})
		case 1:
			d.remove(&DeregisterRequest{Node: node(), CheckID: pick("c1", "c2")})
		case 2:
			d.remove(&DeregisterRequest{Node: node()})
		default:
			req := &RegisterRequest{Node: node(), Address: pick("10.0.0.1", "10.0.0.2"), ID: pick(ids...), SkipNodeUpdate: random.IntN(2) == 0}
			if random.IntN(2) == 0 {
				req.Service = service()
			}
			for range random.IntN(3) {
				req.Checks = append(req.Checks, check())
			}
			d.register(t.Context(), anyone(), req) // some are refused: their service or name is not to be had
		}
		fresh := (&dc{t, NewEndpoint(d.store, d.log, "dc1"), d.log}).reads() // nothing kept from before
		for name, read := range reads {
			was, now := before[name], ask(read)
			if now.index < was.index {
				t.Fatalf("step %d: the index of %s fell from %d to %d", step, name, was.index, now.index)
			}
			answer := rows(t, read(anyone()))
			if truth := rows(t, fresh[name](anyone())); !bytes.Equal(answer, truth) {
				t.Fatalf("step %d: %s is kept as\n%s\nand is\n%s", step, name, answer, truth)
			}
			if bytes.Equal(answer, was.answer) {
				continue
			}
			changed++
			if !was.answered(read) {
				t.Fatalf("step %d: a reader of %s at %d slept through\n%s\nbecoming, at %d,\n%s", step, name, was.index, was.answer, now.index, answer)
			}
		}
	}
	if changed < 500 {
		t.Fatalf("only %d answers changed", changed)
	}
}

// rows is a reply without its meta.
func rows(t *testing.T, reply any) []byte {
	t.Helper()
	var what any
	switch r := reply.(type) {
	case *IndexedNodes:
		what = r.Nodes
	case *IndexedServices:
		what = r.Services
	case *IndexedCheckServiceNodes:
		what = r.Nodes
	case *IndexedNodeServices:
		what = r.NodeServices
	case *IndexedHealthChecks:
		what = r.HealthChecks
	default:
		t.Fatalf("a %T", reply)
	}
	return must(json.Marshal(what))
}
