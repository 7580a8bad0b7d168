package httpapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-hclog"
)

func TestEventsAreWaitedFor(t *testing.T) {
	face, _ := newFace(t, nil)
	client, err := api.NewClient(&api.Config{Address: listen(t, face).URL})
	if err != nil {
		t.Fatal(err)
	}
	events := client.Event()
	none, meta, err := events.List("deploy", nil)
	if err != nil || len(none) != 0 || meta.LastIndex == 0 {
		t.Fatalf("%d events before the first, index %d, %v", len(none), meta.LastIndex, err)
	}
	type answer struct {
		events []*api.UserEvent
		meta   *api.QueryMeta
		err    error
	}
	heard := make(chan answer, 1)
	wait := func(name string, index uint64, time time.Duration) {
		list, meta, err := events.List(name, &api.QueryOptions{WaitIndex: index, WaitTime: time})
		heard <- answer{list, meta, err}
	}
	go wait("deploy", meta.LastIndex, 10*time.Minute)
	fire := func(name string) string {
		id, _, err := events.Fire(&api.UserEvent{Name: name, Payload: []byte{0, 0xff}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	fire("other")
	first := fire("deploy")
	got := <-heard
	if got.err != nil || len(got.events) != 1 || got.events[0].ID != first || string(got.events[0].Payload) != "\x00\xff" {
		t.Fatalf("heard %+v, %v", got.events, got.err)
	}
	if got.meta.LastIndex != events.IDToIndex(first) {
		t.Errorf("the index is %d, and clients expect %d", got.meta.LastIndex, events.IDToIndex(first))
	}
	// An index that is not that of the last event is answered at once, whichever is larger.
	wait("deploy", got.meta.LastIndex+1, 10*time.Minute)
	if again := <-heard; again.err != nil || len(again.events) != 1 {
		t.Errorf("heard %+v, %v", again.events, again.err)
	}
	// A wait that ends without an event answers what there is.
	wait("", events.IDToIndex(first), 20*time.Millisecond)
	if all := <-heard; all.err != nil || len(all.events) != 2 || all.events[0].Name != "other" {
		t.Errorf("heard %+v, %v", all.events, all.err)
	}
}

func TestEventsAreFilteredByToken(t *testing.T) {
	face, srv := newFace(t, nil)
	if w := do(face, http.MethodPut, "/v1/event/fire/secret", "x"); w.Code != http.StatusOK {
		t.Fatal(w.Code, w.Body)
	}
	restricted := New(Config{
		Caller: face.cfg.Caller, Resolver: tokens{"stranger": stranger{}}, Agent: &body{}, Events: srv.events,
		Datacenter: "dc1", Log: hclog.NewNullLogger(),
	})
	w := do(restricted, http.MethodGet, "/v1/event/list?token=stranger", "")
	if w.Body.String() != "[]" || w.Header().Get("X-Consul-Results-Filtered-By-Acls") != "true" || w.Header().Get("X-Consul-Index") != "1" {
		t.Errorf("a stranger sees %s, %v", w.Body, w.Header())
	}
}

func TestBadEventsAreRefused(t *testing.T) {
	face, srv := newFace(t, nil)
	for target, want := range map[string]struct {
		status int
		says   string
	}{
		"/v1/event/fire/e?service=%28":    {http.StatusInternalServerError, "Invalid service filter: error parsing regexp: missing closing ): `(`"},
		"/v1/event/fire/e?tag=v1":         {http.StatusInternalServerError, "Cannot provide tag filter without service filter"},
		"/v1/event/fire/e?service=a&tag=": {http.StatusOK, `"ServiceFilter":"a"`},
		"/v1/event/fire/e?dc=nowhere":     {http.StatusInternalServerError, "No path to datacenter"},
	} {
		if w := do(face, http.MethodPut, target, ""); w.Code != want.status || !strings.Contains(w.Body.String(), want.says) {
			t.Errorf("%s: %d %s, want %d %s", target, w.Code, w.Body, want.status, want.says)
		}
	}
	if heard, _ := srv.events.List(""); len(heard) != 0 {
		t.Errorf("heard %+v", heard[0])
	}
	for _, target := range []string{"/v1/event/list?index=-1", "/v1/event/list?wait=long"} {
		if w := do(face, http.MethodGet, target, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}
