//go:build linux

package agent_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
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
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for _, n := range fed.Nodes() {
		for query, least := range map[string]time.Duration{
			"index=1000000": 300 * time.Millisecond, "index=1000000&wait=9m": 900 * time.Millisecond,
			"index=1000000&wait=9m&dc=beijing": 900 * time.Millisecond, "index=1000000&wait=1ms": time.Millisecond,
		} {
			lab.Until(t, query+" of "+n.Name+" is answered", func() error {
				begin := time.Now()
				a, err := n.Do(ctx, http.MethodGet, "/v1/catalog/nodes?"+query, "")
				if err == nil && a.Status != http.StatusOK {
					err = fmt.Errorf("status %d: %s", a.Status, a.Body)
				}
				if took := time.Since(begin); err == nil && took < least {
					t.Errorf("%s of %s was answered after %v, want %v", query, n.Name, took, least)
				}
				return err
			})
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

// A server that has left goes on answering for the time to drain, with what the others
// know, and ends at once when it is stopped.
func TestAServerThatHasLeftDrains(t *testing.T) {
	fed := lab.Start(t, lab.QuickGossip(), lab.Servers("shanghai", 4), lab.Flags("-hcl", `performance { leave_drain_time = "10m" }`))
	dc := fed.DC("shanghai")
	leaver := dc.Leader(t)
	left := make(chan error, 1)
	go func() { left <- leaver.API(t).Agent().Leave() }()
	rest := slices.DeleteFunc(dc.Servers(), func(n *lab.Node) bool { return n == leaver })
	lab.Until(t, "the others have taken it out of the log", func() error {
		config, err := rest[0].API(t).Operator().RaftGetConfiguration(nil)
		switch {
		case err != nil:
			return err
		case len(config.Servers) > len(rest):
			return fmt.Errorf("%d servers are in the log", len(config.Servers))
		}
		return nil
	})
	lab.Until(t, "it writes and reads through the others", func() error {
		kv := leaver.API(t).KV()
		if _, err := kv.Put(&api.KVPair{Key: "late", Value: []byte("1")}, nil); err != nil {
			return err
		}
		pair, _, err := kv.Get("late", nil)
		if err == nil && (pair == nil || string(pair.Value) != "1") {
			err = errors.New("what was written is not there")
		}
		return err
	})
	rest[0].Put(t, "", "later", "2")
	lab.Until(t, "it reads what others write later", func() error {
		pair, _, err := leaver.API(t).KV().Get("later", nil)
		if err == nil && pair == nil {
			t.Fatal("it answers with what was before")
		}
		return err
	})
	select {
	case err := <-left:
		t.Errorf("it left before its time: %v", err)
	default:
	}
	leaver.Stop(t)
	if err := <-left; err != nil {
		t.Logf("the request to leave ended with %v", err)
	}
}
