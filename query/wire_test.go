package query

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc/rpctest"
	"github.com/hanse-project/hanse/session"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// What peers send decodes without a field left over, and encodes to as many bytes: the
// fields are the same, only maps come in any order.
func TestTypesAreThoseOfPeers(t *testing.T) {
	rpctest.Compare(t, "testdata/rpc.jsonl", rpctest.Types{
		Apply.Name:         {rpctest.Made[ApplyRequest], rpctest.Made[string]},
		Get.Name:           {rpctest.Made[SpecificRequest], rpctest.Made[Queries]},
		List.Name:          {rpctest.Made[catalog.DCSpecificRequest], rpctest.Made[Queries]},
		Explain.Name:       {rpctest.Made[ExecuteRequest], rpctest.Made[ExplainReply]},
		Execute.Name:       {rpctest.Made[ExecuteRequest], rpctest.Made[ExecuteReply]},
		ExecuteRemote.Name: {rpctest.Made[ExecuteRemoteRequest], rpctest.Made[ExecuteReply]},
	})
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
