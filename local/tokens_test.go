package local

import (
	"context"
	"maps"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/acltoken"
	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/rpc"
)

// tokenNotes is a catalog that takes everything, and notes with which token it came.
type tokenNotes struct {
	mu   sync.Mutex
	seen map[string]string
}

// Call implements rpc.Caller.
func (n *tokenNotes) Call(_ context.Context, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	about := m.Name
	switch r := req.(type) {
	case *catalog.RegisterRequest:
		switch {
		case r.Check != nil:
			about = "check " + r.Check.CheckID
		case r.Service != nil:
			about = "service " + r.Service.ID
			for _, c := range r.Checks {
				about += " with " + c.CheckID
			}
		default:
			about = "node"
		}
	case *catalog.DeregisterRequest:
		about = "gone " + r.ServiceID + r.CheckID
	}
	n.mu.Lock()
	n.seen[about] = *req.Envelope().Token
	n.mu.Unlock()
	return newReply(), nil
}

func TestEverythingTravelsWithItsToken(t *testing.T) {
	notes := &tokenNotes{seen: map[string]string{}}
	own, err := acltoken.Open("", map[acltoken.Kind]string{
		acltoken.Default: "default", acltoken.Agent: "agent", acltoken.Files: "files",
	}, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	s := newState(t, func(c *Config) { c.Caller, c.Tokens = notes, own })
	service := func(body string) config.Definition {
		return config.Definition{Kind: "service", Source: "f", Body: map[string]any{"name": body}}
	}
	named := service("from-file-with-token")
	named.Body["token"] = "file's own"
	if err := s.Load([]config.Definition{service("from-file"), named, {Kind: "check", Source: "f", Body: map[string]any{"name": "disk", "ttl": "1h"}}}); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{
		`{"Name":"plain","Check":{"CheckID":"p","TTL":"1h"}}`, `{"Name":"mine","Token":"mine","Check":{"CheckID":"m","TTL":"1h"}}`,
		`{"Name":"two","Token":"mine","Check":{"CheckID":"other","TTL":"1h","Token":"other"}}`,
	} {
		if err := s.registerJSON(body); err != nil {
			t.Fatal(err)
		}
	}
	everything := func() {
		t.Helper()
		w, _ := s.queue.take()
		w.node = true
		w.services["never-was"] = struct{}{}
		if _, err := s.round(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	everything()
	want := map[string]string{
		"node": "agent", "gone never-was": "agent", "service from-file": "files", "service from-file-with-token": "file's own",
		"check disk": "files", "service plain with p": "default", "service mine with m": "mine", "service two": "mine", "check other": "other",
	}
	if !maps.Equal(notes.seen, want) {
		t.Errorf("sent with\n%v, want\n%v", notes.seen, want)
	}
	// What stands in is what it is when something is sent.
	for _, kind := range acltoken.Kinds {
		if err := own.Set(kind, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := own.Set(acltoken.Default, "later"); err != nil {
		t.Fatal(err)
	}
	clear(notes.seen)
	if err := s.registerJSON(`{"Name":"plain","Port":1}`); err != nil {
		t.Fatal(err)
	}
	everything()
	if want := map[string]string{"node": "later", "gone never-was": "later", "service plain with p": "later"}; !maps.Equal(notes.seen, want) {
		t.Errorf("sent with %v, want %v", notes.seen, want)
	}
}
