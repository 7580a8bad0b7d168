package httpapi

import (
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/local"
)

// newLocal makes a list of services and checks that is not carried to a catalog.
func newLocal(t testing.TB, node string) *local.State {
	t.Helper()
	s, err := local.New(local.Config{
		Node: catalog.RegisterRequest{Node: node, Address: "127.31.1.9"}, Members: func() int { return 1 }, Log: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recordedLocal holds what the agent held when the exchanges were recorded.
func recordedLocal(t *testing.T) *local.State {
	t.Helper()
	s := newLocal(t, "gamma")
	def, err := local.ParseService([]byte(`{"ID":"cache-1","Name":"cache","Tags":["redis"],"Meta":{"k":"v"},"Port":6379,
		"Check":{"CheckID":"cache-ttl","Name":"cache ttl","TTL":"600s","Status":"passing"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RegisterService(def, false); err != nil {
		t.Fatal(err)
	}
	return s
}
