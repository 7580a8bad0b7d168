package link

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/kv/digest"
	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/rpc"
)

// answering is a datacenter that gives one answer, and keeps the questions.
type answering struct {
	err   error
	reply any
	asked []rpc.Request
}

// Call implements [rpc.Caller].
func (a *answering) Call(_ context.Context, _ *rpc.Info, req rpc.Request, _ func() any) (any, error) {
	a.asked = append(a.asked, req)
	return a.reply, a.err
}

func TestEveryQuestionToASourceCarriesTheToken(t *testing.T) {
	a := &answering{err: rpc.ErrNoLeader}
	s := &source{caller: a, datacenter: "shanghai", token: "secret"}
	_, changes := s.Changes(t.Context(), replicate.FeedQuery{Prefix: "a/", From: replicate.Cursor{Index: 5}, Fresh: true})
	_, entries := s.Entries(t.Context(), replicate.EntriesQuery{Prefix: "a/"})
	_, digests := s.Digests(t.Context(), digest.Query{Prefix: "a/"})
	for _, err := range []error{changes, entries, digests} {
		if !errors.Is(err, rpc.ErrNoLeader) {
			t.Errorf("an error of the source became %v", err)
		}
	}
	for _, req := range a.asked {
		if e := req.Envelope(); *e.Datacenter != "shanghai" || *e.Token != "secret" {
			t.Errorf("%T went to %s with the token %q", req, *e.Datacenter, *e.Token)
		}
	}
	feed := a.asked[0].(*kv.ChangesRequest)
	if feed.MinQueryIndex != 5 || feed.MaxQueryTime != replicate.Heartbeat || !feed.RequireConsistent {
		t.Errorf("asked the feed %+v", feed)
	}
}

// The rest of an index that was begun is there: a question that waits for it would wait for
// the next change.
func TestWithinAnIndexNothingIsWaitedFor(t *testing.T) {
	a := &answering{reply: &kv.ChangesReply{Meta: rpc.Meta{Index: 5, KnownLeader: true, ResultsFilteredByACLs: true, HanseDatacenterID: "id", HanseIncarnation: "one"}}}
	s := &source{caller: a, datacenter: "shanghai"}
	page, err := s.Changes(t.Context(), replicate.FeedQuery{From: replicate.Cursor{Index: 5, After: "k"}})
	if err != nil || !page.KnownLeader || !page.Filtered || page.Datacenter != "id" || page.Incarnation != "one" || page.Index != 5 {
		t.Errorf("page %+v, %v", page, err)
	}
	if req := a.asked[0].(*kv.ChangesRequest); req.MinQueryIndex != 0 || req.Since != 5 || req.After != "k" {
		t.Errorf("asked %+v", req)
	}
}

func TestErrorsOfASourceSayWhatTheyMean(t *testing.T) {
	s := &source{datacenter: "shanghai"}
	if err := s.failure(rpc.FromWire("index 3 is too old", rpc.ReasonTooOld)); !errors.Is(err, replicate.ErrTooOld) {
		t.Errorf("too old: %v", err)
	}
	err := s.failure(rpc.FromWire("rpc: can't find method KVS.Changes", ""))
	if errors.Is(err, replicate.ErrNoFeed) || !strings.Contains(err.Error(), "`hanse replicate` follows others") {
		t.Errorf("a source that is no Hanse: %v", err)
	}
}

func TestWhatIsTooLargeHereIsRefusedByItsName(t *testing.T) {
	dc := newWorld(t, "beijing").dcs["beijing"]
	l := dc.mustLink("l", "shanghai", "config/", "")
	held := 0
	s := &sink{store: dc.Store, log: dc.log, link: l.CreateIndex, maxValue: 4, onHold: func() { held++ }}
	large := replicate.Op{Key: "config/big", Value: []byte("12345")}
	_, err := s.Apply(t.Context(), replicate.Batch{Record: replicate.Record{Value: []byte("{}")}, Ops: []replicate.Op{large}})
	if err == nil || !strings.Contains(err.Error(), `"config/big"`) || !strings.Contains(err.Error(), "kv_max_value_size") || rpc.ReasonOf(err) != rpc.ReasonTooLarge {
		t.Errorf("a value that is too large: %v", err)
	}
	adopted := large
	adopted.Kind, adopted.Spare = replicate.AdoptKey, true // it is there, and may stay
	at, err := s.Apply(t.Context(), replicate.Batch{Record: replicate.Record{Value: []byte("{}")}, Ops: []replicate.Op{adopted}})
	if err != nil {
		t.Errorf("a large value that is taken over: %v", err)
	}
	for _, held := range []string{"", "many", "many more", "", "again"} {
		at, err = s.Apply(t.Context(), replicate.Batch{Record: replicate.Record{Index: at, Value: []byte(`{"Held":"` + held + `"}`)}})
		if err != nil {
			t.Fatal(err)
		}
	}
	// A new leader takes the hold over, which is told already.
	next := &sink{store: dc.Store, log: dc.log, link: l.CreateIndex, maxValue: 4, onHold: func() { held++ }}
	if _, at, err = next.Load(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Apply(t.Context(), replicate.Batch{Record: replicate.Record{Index: at, Value: []byte(`{"Held":"still"}`)}}); err != nil {
		t.Fatal(err)
	}
	if held != 2 {
		t.Errorf("two holds were told %d times", held)
	}
}
