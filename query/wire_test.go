package query

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// metaOfHanse is how many bytes the empty fields that only Hanse has add to a reply.
var metaOfHanse = len("\xb1HanseDatacenterID\xa0") + len("\xb0HanseIncarnation\xa0")

// What peers send decodes without a field left over, and encodes to as many bytes: the
// fields are the same, only maps come in any order.
func TestTypesAreThoseOfPeers(t *testing.T) {
	types := map[string][2]func() any{
		Apply.Name:         {made[ApplyRequest], made[string]},
		Get.Name:           {made[SpecificRequest], made[Queries]},
		List.Name:          {made[catalog.DCSpecificRequest], made[Queries]},
		Explain.Name:       {made[ExecuteRequest], made[ExplainReply]},
		Execute.Name:       {made[ExecuteRequest], made[ExecuteReply]},
		ExecuteRemote.Name: {made[ExecuteRemoteRequest], made[ExecuteReply]},
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
	var out []byte
	if err := codec.NewEncoderBytes(&out, rpc.Msgpack).Encode(into); err != nil {
		t.Fatal(err)
	}
	if len(out) != len(recorded)+more {
		t.Errorf("%T has %d bytes, want %d", into, len(out), len(recorded)+more)
	}
}

func TestQueriesSurviveARestart(t *testing.T) {
	d := newFederation(t, "dc1").dcs["dc1"]
	d.register("web", catalog.NodeService{Service: "web"})
	d.prepare(PreparedQuery{Name: "x-", Template: Template{Type: NamePrefixMatch, Regexp: "^x-(.)"}, Service: ServiceQuery{Service: "${match(1)}"}})
	d.prepare(PreparedQuery{Name: "one", Token: "secret", Service: ServiceQuery{Service: "web"}, DNS: DNSOptions{TTL: "1s"}})
	want := d.all()
	after := newFederation(t, "dc1").dcs["dc1"]
	if err := after.Restore(storetest.Snapshot(t, d.Store)); err != nil {
		t.Fatal(err)
	}
	if got := after.all(); got != want || got == "" {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if rep, err := Explain.Call(t.Context(), after, &ExecuteRequest{QueryIDOrName: "x-yz"}); err != nil || rep.Query.Service.Service != "y" {
		t.Errorf("%+v, %v", rep, err)
	}
}

// all is the list of the queries as JSON.
func (d *dc) all() string {
	d.Helper()
	rep, err := List.Call(d.Context(), d, &catalog.DCSpecificRequest{})
	if err != nil {
		d.Fatal(err)
	}
	text, err := json.Marshal(rep.Queries)
	if err != nil {
		d.Fatal(err)
	}
	return string(text)
}

func TestTheQueriesOfASnapshotFromOutside(t *testing.T) {
	d := newFederation(t, "dc1").dcs["dc1"]
	imported, err := d.Store.Import(storetest.Archive(t, "../catalog/testdata/consul-1.21.4.snap"), 5000, store.Identity{ID: "dc", Incarnation: "next"})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("taken over %v, skipped %v", imported.Records, imported.Skipped)
	if imported.Skipped[record] != 0 || imported.Records[record] == 0 {
		t.Errorf("taken over %v, skipped %v", imported.Records, imported.Skipped)
	}
}

// What cannot be taken over is counted, and the rest is there at the index of the restore.
func TestQueriesThatAreNotTakenOver(t *testing.T) {
	from := newFederation(t, "dc1").dcs["dc1"]
	from.register("web", catalog.NodeService{Service: "web"})
	made, err := session.Apply.Call(t.Context(), from, &session.ApplyRequest{Op: session.Create, Session: session.Session{Node: "n-web"}})
	if err != nil {
		t.Fatal(err)
	}
	from.prepare(PreparedQuery{Name: "bound", Session: *made, Service: ServiceQuery{Service: "web"}})
	from.prepare(PreparedQuery{Name: "free", Service: ServiceQuery{Service: "web"}})
	d := newFederation(t, "dc1").dcs["dc1"]
	imported, err := d.Store.Import(storetest.Snapshot(t, from.Store), 5000, store.Identity{ID: "dc", Incarnation: "next"})
	if err != nil {
		t.Fatal(err)
	}
	if imported.Records[record] != 1 || imported.Skipped[record] != 1 {
		t.Errorf("taken over %v, skipped %v", imported.Records, imported.Skipped)
	}
	var stream bytes.Buffer
	if err := imported.Write(&stream); err != nil {
		t.Fatal(err)
	}
	if err := d.Store.Restore(io.NopCloser(&stream)); err != nil {
		t.Fatal(err)
	}
	rep, err := List.Call(t.Context(), d, &catalog.DCSpecificRequest{})
	if err != nil || len(rep.Queries) != 1 || rep.Queries[0].Name != "free" || rep.Queries[0].ModifyIndex != 5000 || rep.Index != 5000 {
		t.Errorf("%+v, %v", rep, err)
	}
}

func FuzzCommands(f *testing.F) {
	f.Add(storetest.Encode(f, opChange, &change{Op: Create, Query: &PreparedQuery{ID: "a", Name: "x", Service: ServiceQuery{Service: "web"}}})[9:])
	f.Add(storetest.Encode(f, opChange, &change{Op: Update, Query: &PreparedQuery{ID: "first", Name: "x", Template: Template{Type: NamePrefixMatch, Regexp: "("}}})[9:])
	f.Add(storetest.Encode(f, opChange, &change{Op: Delete, Query: &PreparedQuery{ID: "first"}})[9:])
	first := storetest.Encode(f, opChange, &change{Op: Create, Query: &PreparedQuery{ID: "first", Name: "f", Service: ServiceQuery{Service: "web"}}})
	f.Fuzz(func(t *testing.T, body []byte) {
		d := newFederation(t, "dc1").dcs["dc1"]
		d.log.Batch(first, append(first[:9:9], body...))
		if err := newFederation(t, "dc1").dcs["dc1"].Restore(storetest.Snapshot(t, d.Store)); err != nil {
			t.Errorf("what was taken cannot be restored: %v", err)
		}
	})
}

func FuzzTemplate(f *testing.F) {
	f.Add("${name.full} $${x} ${match(1)}", "^a(.*)$", "a-b")
	f.Add("${", "(", "")
	f.Fuzz(func(t *testing.T, text, regexp, name string) {
		q := &PreparedQuery{ID: "a", Name: "a", Template: Template{Type: NamePrefixMatch, Regexp: regexp}, Service: ServiceQuery{Service: text}}
		r, err := newRow(q)
		if err != nil {
			return
		}
		if _, err := r.filledIn(name); err != nil {
			t.Errorf("%q was taken, and cannot be filled in: %v", text, err)
		}
	})
}
