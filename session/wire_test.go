package session

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store/storetest"
)

// metaOfHanse is how many bytes the empty fields that only Hanse has add to a reply.
var metaOfHanse = len("\xb1HanseDatacenterID\xa0") + len("\xb0HanseIncarnation\xa0")

// What peers send decodes without a field left over, and encodes to as many bytes: the
// fields are the same, only maps come in any order.
func TestTypesAreThoseOfPeers(t *testing.T) {
	types := map[string][2]func() any{
		"Session.Apply":        {made[ApplyRequest], made[string]},
		"Session.Get":          {made[SpecificRequest], made[Sessions]},
		"Session.List":         {made[SpecificRequest], made[Sessions]},
		"Session.NodeSessions": {made[catalog.NodeSpecificRequest], made[Sessions]},
		"Session.Renew":        {made[SpecificRequest], made[Sessions]},
	}
	file, err := os.ReadFile("testdata/rpc.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range bytes.Lines(file) {
		var c struct{ Method, Note, Request, Response string }
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.Method+"/"+c.Note, func(t *testing.T) {
			seen[c.Method] = true
			reencode(t, c.Request, types[c.Method][0](), 0)
			more := 0
			if _, isReply := types[c.Method][1]().(rpc.Reply); isReply {
				more = metaOfHanse
			}
			reencode(t, c.Response, types[c.Method][1](), more)
		})
	}
	if len(seen) != len(types) {
		t.Errorf("methods seen: %v", seen)
	}
}

func made[T any]() any { return new(T) }

func reencode(t *testing.T, text string, into any, more int) {
	t.Helper()
	recorded, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	strict := &codec.MsgpackHandle{}
	strict.RawToString, strict.TimeNotBuiltin, strict.ErrorIfNoField = true, true, true
	strict.MapType, strict.TypeInfos = rpc.Msgpack.MapType, rpc.Msgpack.TypeInfos
	if err := codec.NewDecoderBytes(recorded, strict).Decode(into); err != nil {
		t.Fatalf("%T: %v", into, err)
	}
	if out := msgpack(t, into); len(out) != len(recorded)+more {
		t.Errorf("%T has %d bytes, want %d", into, len(out), len(recorded)+more)
	}
}

func msgpack(t testing.TB, value any) string {
	t.Helper()
	var out []byte
	if err := codec.NewEncoderBytes(&out, rpc.Msgpack).Encode(value); err != nil {
		t.Fatal(err)
	}
	return string(out)
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
