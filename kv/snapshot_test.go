package kv

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"testing"

	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

func TestTheKeysOfAConsulSnapshotAreTakenOver(t *testing.T) {
	const at = 5000
	tb := newTable(t)
	tb.write(Set, "here before", "", 0)
	imported, err := tb.Import(storetest.Archive(t, "../catalog/testdata/consul-1.21.4.snap"), at, store.Identity{ID: "dc", Incarnation: "next"})
	if err != nil {
		t.Fatal(err)
	}
	if imported.Records[recordEntry] != 50 || imported.Skipped[recordTombstone] != 2 {
		t.Errorf("%d keys were taken over, %d tombstones skipped", imported.Records[recordEntry], imported.Skipped[recordTombstone])
	}
	var stream bytes.Buffer
	if err := imported.Write(&stream); err != nil {
		t.Fatal(err)
	}
	if err := tb.Restore(io.NopCloser(&stream)); err != nil {
		t.Fatal(err)
	}
	recorded, err := os.ReadFile("../catalog/testdata/consul-1.21.4.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ KV struct{ Body []*Entry } }
	if err := json.Unmarshal(recorded, &want); err != nil {
		t.Fatal(err)
	}
	for _, e := range want.KV.Body {
		e.ModifyIndex, e.Session = at, ""
	}
	rep, err := tb.Endpoint.list(t.Context(), anyone(), &KeyRequest{})
	if err != nil || rep.Index != at {
		t.Fatalf("the list is at %d (%v)", rep.Index, err)
	}
	got, err := json.Marshal(rep.Entries)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := json.Marshal(want.KV.Body); err != nil || !bytes.Equal(got, all) {
		t.Errorf("got %s\nwant %s (%v)", got, all, err)
	}
}
