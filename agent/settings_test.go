//go:build linux

package agent_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// A query that waits for nothing is answered after the time that is configured, wherever
// it is asked and whatever it asks for, and not after minutes.
func TestBlockingQueriesWaitAsConfigured(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Clients("shanghai", 1), lab.Servers("beijing", 1),
		lab.Flags("-default-query-time", "300ms", "-max-query-time", "900ms"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, n := range fed.Nodes() {
		for query, least := range map[string]time.Duration{
			"index=1000000": 300 * time.Millisecond, "index=1000000&wait=9m": 900 * time.Millisecond,
			"index=1000000&wait=9m&dc=beijing": 900 * time.Millisecond, "index=1000000&wait=1ms": time.Millisecond,
		} {
			begin := time.Now()
			a, err := n.Do(ctx, http.MethodGet, "/v1/catalog/nodes?"+query, "")
			if err != nil || a.Status != http.StatusOK {
				t.Errorf("%s of %s: %v %v", query, n.Name, a, err)
			}
			if took := time.Since(begin); took < least {
				t.Errorf("%s of %s was answered after %v, want %v", query, n.Name, took, least)
			}
		}
	}
}

func TestTheShortestTTLOfASessionIsConfigured(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 1), lab.Flags("-hcl", `session_ttl_min = "30s"`))
	sessions := fed.Node("shanghai-s1").API(t).Session()
	if _, _, err := sessions.Create(&api.SessionEntry{TTL: "29s"}, nil); err == nil || !strings.Contains(err.Error(), "must be between [30s=24h0m0s]") {
		t.Errorf("29 s: %v", err)
	}
	for _, ttl := range []string{"30s", ""} {
		if _, _, err := sessions.Create(&api.SessionEntry{TTL: ttl}, nil); err != nil {
			t.Errorf("%q: %v", ttl, err)
		}
	}
}
