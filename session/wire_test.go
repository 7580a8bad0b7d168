package session

import (
	"testing"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc/rpctest"
	"github.com/hanse-project/hanse/store/storetest"
)

// What peers send decodes without a field left over, and encodes to as many bytes: the
// fields are the same, only maps come in any order.
func TestTypesAreThoseOfPeers(t *testing.T) {
	rpctest.Compare(t, "testdata/rpc.jsonl", rpctest.Types{
		"Session.Apply":        {rpctest.Made[ApplyRequest], rpctest.Made[string]},
		"Session.Get":          {rpctest.Made[SpecificRequest], rpctest.Made[Sessions]},
		"Session.List":         {rpctest.Made[SpecificRequest], rpctest.Made[Sessions]},
		"Session.NodeSessions": {rpctest.Made[catalog.NodeSpecificRequest], rpctest.Made[Sessions]},
		"Session.Renew":        {rpctest.Made[SpecificRequest], rpctest.Made[Sessions]},
	})
}

// Peers from before Consul 1.7 name the checks and the session otherwise.
func TestTheFieldsOfOldPeersAreRead(t *testing.T) {
	d := newDC(t)
	d.register("n1", "host passing")
	id := d.create(Session{Node: "n1", Checks: []string{"host"}})
	rep, err := d.get(t.Context(), anyone(), &SpecificRequest{Session: id})
	if err != nil || len(rep.Sessions) != 1 || len(rep.Sessions[0].NodeChecks) != 1 || rep.Sessions[0].Checks != nil {
		t.Errorf("%+v, %v", rep.Sessions, err)
	}
}

func FuzzCommands(f *testing.F) {
	f.Add(byte(opCreate), storetest.Encode(f, opCreate, &Session{ID: "a", Node: "n1", NodeChecks: []string{"host"}, ServiceChecks: []ServiceCheck{{ID: "web"}}})[9:])
	f.Add(byte(opDestroy), storetest.Encode(f, opDestroy, &destroy{IDs: []string{"a", ""}})[9:])
	f.Fuzz(func(t *testing.T, op byte, body []byte) {
		d := newDC(t)
		d.register("n1", "host passing", "web passing web")
		entry := storetest.Encode(t, opCreate, nil)
		entry[0] = op
		if op != byte(opCreate) && op != byte(opDestroy) {
			t.Skip("another domain's command")
		}
		d.log.Batch(append(entry[:9], body...))
		d.deregister(catalog.DeregisterRequest{Node: "n1"})
		if n := count(d.Read(nil)); n != 0 {
			t.Errorf("%d sessions outlived their node", n)
		}
	})
}
