package rpc

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

func TestErrorsKeepTheirMeaningAcrossTheWire(t *testing.T) {
	cases := map[string]struct {
		text   string
		reason Reason
		is     *Error
	}{
		"by reason":                        {"whatever", ReasonNoLeader, ErrNoLeader},
		"by text":                          {"No cluster leader", "", ErrNoLeader},
		"by text behind prefixes":          {"rpc error making call: rpc error making call: No path to datacenter", "", ErrNoPath},
		"a denial in its long form":        {`Permission denied: anonymous token lacks permission 'key:write' on "a"`, "", ErrPermissionDenied},
		"a token that does not exist":      {"token does not exist: ACL not found", "", ErrACLNotFound},
		"an unknown method, not a service": {"rpc: can't find method KVS.Nope", ReasonUnknownMethod, ErrUnknownMethod},
		"an unknown service, not a method": {"rpc: can't find service Nope.Nope", ReasonUnknownMethod, ErrUnknownService},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := fmt.Errorf("get: %w", FromWire(c.text, c.reason))
			if !errors.Is(err, c.is) {
				t.Fatalf("%v is not %v", err, c.is)
			}
			if ReasonOf(err) != c.is.Reason {
				t.Fatalf("reason is %q, want %q", ReasonOf(err), c.is.Reason)
			}
			if err.Error() != "get: "+c.text {
				t.Fatalf("text is %q", err)
			}
		})
	}
	if err := FromWire("disk full", ""); ReasonOf(err) != "" || errors.Is(err, ErrNoLeader) {
		t.Fatalf("an error of nobody's has reason %q", ReasonOf(err))
	}
}

type denyAll struct{ AllowAll }

func (denyAll) Allow(Resource, Access, string) bool { return false }

func TestDenialNamesTokenPermissionAndResource(t *testing.T) {
	call := &Call{Authz: denyAll{}}
	err := call.Allow(ResourceKey, AccessWrite, "config/limit")
	want := `Permission denied: anonymous token lacks permission 'key:write' on "config/limit"`
	if err == nil || err.Error() != want || !errors.Is(err, ErrPermissionDenied) {
		t.Fatalf("got %v, want %s", err, want)
	}
	if call.Keep(ResourceKey, "a") || !call.Filtered() {
		t.Fatal("a row that may not be read was kept, or not noted as left out")
	}
}

// Peers look for the envelope's fields in the same map as the request's own.
func TestEnvelopeIsFlattened(t *testing.T) {
	type keyRequest struct {
		Read
		Key string
	}
	req := keyRequest{Key: "a"}
	req.Datacenter, req.Token, req.MinQueryIndex, req.MaxQueryTime = "dc1", "secret", 7, time.Second
	var buf bytes.Buffer
	if err := codec.NewEncoder(&buf, Msgpack).Encode(&req); err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := codec.NewDecoderBytes(buf.Bytes(), Msgpack).Decode(&fields); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"Key", "Datacenter", "Token", "MinQueryIndex", "MaxQueryTime", "AllowStale", "RequireConsistent",
		"UseCache", "MaxStaleDuration", "MaxAge", "MustRevalidate", "StaleIfError", "Filter", "AllowNotModifiedResponse"} {
		if _, ok := fields[key]; !ok {
			t.Errorf("%s is not a field on the wire: %v", key, fields)
		}
	}
	if len(fields) != 14 {
		t.Errorf("%d fields, want 14: %v", len(fields), fields)
	}
	var back keyRequest
	if err := codec.NewDecoderBytes(buf.Bytes(), Msgpack).Decode(&back); err != nil || back != req {
		t.Fatalf("decoded %+v (%v), want %+v", back, err, req)
	}
}
