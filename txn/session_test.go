package txn

import (
	"strings"
	"testing"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
)

// newSession makes a session on the node n1.
func (d *dc) newSession(s session.Session) string {
	d.Helper()
	d.do(nodeOp(catalog.Set, "n1"))
	e := session.NewEndpoint(d.Store, d.log, session.NewTimers(d.Store, d.log, nil))
	s.Node = "n1"
	call := func(h rpc.Handler) string {
		rep, err := h.Serve(d.Context(), anyone(), &session.ApplyRequest{Op: session.Create, Session: s})
		if err != nil {
			d.Fatal(err)
		}
		return *rep.(*string)
	}
	for _, h := range e.Methods() {
		if h.Name == session.Apply.Name {
			return call(h)
		}
	}
	d.Fatal("no method creates sessions")
	return ""
}

// held is an operation on a key in the name of a session.
func held(verb kv.Verb, name, session, value string) *Op {
	op := key(verb, name, value)
	op.KV.DirEnt.Session = session
	return op
}

func sessionOp(verb session.Verb, id string) *Op {
	return &Op{Session: &SessionOp{Verb: verb, Session: session.Session{ID: id}}}
}

func TestLocksInATransaction(t *testing.T) {
	d := newDC(t)
	a, b := d.newSession(session.Session{}), d.newSession(session.Session{})
	expect := func(want string, ops ...*Op) {
		t.Helper()
		d.expect(d.do(ops...), strings.NewReplacer("A", a, "B", b).Replace(want))
	}
	// As recorded: the rows come without their value, and as they were at each step.
	row := func(lockIndex, holder string) string {
		return `{"KV":{"LockIndex":` + lockIndex + `,"Key":"k","Flags":0,"Value":null,` + holder + `"CreateIndex":5,"ModifyIndex":5}}`
	}
	expect(`{"Results":[`+row("1", `"Session":"A",`)+`,`+row("1", `"Session":"A",`)+`,`+row("1", "")+`],"Errors":null}`,
		held(kv.Lock, "k", a, "h"), held(kv.CheckSession, "k", a, ""), held(kv.Unlock, "k", a, "u"))
	expect(`{"Results":null,"Errors":[{"OpIndex":1,"What":"failed to unlock key \"k\", lock isn't held, or is held by another session"}]}`,
		held(kv.Lock, "k", a, "h"), held(kv.Unlock, "k", b, "u"))
	d.do(held(kv.Lock, "k", a, "h"))
	expect(`{"Results":null,"Errors":[`+
		`{"OpIndex":0,"What":"failed session check for key \"k\", current session \"A\" != \"B\""},`+
		`{"OpIndex":1,"What":"failed to check session \"A\" on key \"none\": key doesn't exist"},`+
		`{"OpIndex":2,"What":"failed to lock key \"k\", lock is already held"},`+
		`{"OpIndex":3,"What":"invalid session \"none\""}]}`,
		held(kv.CheckSession, "k", b, ""), held(kv.CheckSession, "none", a, ""), held(kv.Lock, "k", b, "x"), held(kv.Lock, "free", "none", "x"))
	if got := d.do(held(kv.Lock, "", a, ""), held(kv.CheckSession, "", a, ""), held(kv.Lock, "k", "", "")); strings.Count(got, "Must provide key") != 2 || !strings.Contains(got, `invalid session \"\"`) {
		t.Error(got)
	}
	if got := d.read(held(kv.CheckSession, "k", a, "")); !strings.Contains(got, `"Session":"`+a) {
		t.Errorf("a check alone: %s", got)
	}
}

func TestTheEndOfASessionInATransaction(t *testing.T) {
	d := newDC(t)
	a := d.newSession(session.Session{LockDelay: session.MaxLockDelay})
	d.do(held(kv.Lock, "k", a, "h"))
	// One that fails ends nothing.
	if got := d.do(sessionOp(session.End, a), key(kv.ReadKey, "none")); !strings.Contains(got, `"OpIndex":1`) {
		t.Fatal(got)
	}
	if got := d.do(held(kv.CheckSession, "k", a, "")); !strings.Contains(got, `"Errors":null`) {
		t.Fatalf("a transaction that failed ended a session: %s", got)
	}
	d.expect(d.do(sessionOp(session.End, a), sessionOp(session.End, "unknown")), `{"Results":[],"Errors":null}`)
	d.expect(d.read(key(kv.ReadKey, "k")), `{"Results":[{"KV":{"LockIndex":1,"Key":"k","Flags":0,"Value":"aA==","CreateIndex":3,"ModifyIndex":6}}],"Errors":null}`)
	b := d.newSession(session.Session{})
	d.expect(d.do(held(kv.Lock, "k", b, "")), `{"Results":null,"Errors":[{"OpIndex":0,"What":"failed to lock key \"k\" due to lock delay"}]}`)
	d.expect(d.do(sessionOp("create", b), sessionOp(session.End, "")),
		`{"Results":null,"Errors":[{"OpIndex":0,"What":"unknown Session operation: create"},{"OpIndex":1,"What":"Must provide ID"}]}`)
	d.expect(d.read(sessionOp(session.End, b)), `{"Results":null,"Errors":[{"OpIndex":0,"What":"the operation writes, and this is a read-only transaction"}]}`)
	rep, err := d.apply(t.Context(), &rpc.Call{Authz: reader{}}, &Request{Ops: []*Op{sessionOp(session.End, b), sessionOp(session.End, "unknown")}})
	if err != nil || len(rep.Errors) != 2 || !strings.HasPrefix(rep.Errors[0].What, "Permission denied") || !strings.HasPrefix(rep.Errors[1].What, "Permission denied") {
		t.Errorf("without permission: %+v, %v", rep, err)
	}
}
