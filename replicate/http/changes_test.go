package replicatehttp

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/replicate"
)

// row is one of a feed, of index 8.
const row = `{"Key":"c/a","ModifyIndex":8,"Time":"2026-01-02T03:04:05.678Z","CreateIndex":5,"Flags":7,"Value":"AAE="}`

func TestAPageIsRead(t *testing.T) {
	source := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.String(); got != "/v1/kv/c/?after=c%2F%FF&changes=&dc=shanghai&index=7&wait=10000ms" {
			t.Errorf("asked for %s", got)
		}
		for k, v := range map[string]string{
			"X-Consul-Index": "9", "X-Consul-Knownleader": "true", "X-Hanse-Datacenter-Id": "id", "X-Hanse-Incarnation": "inc",
			"X-Hanse-More": "true", "X-Hanse-After": "c%2F+%FFb",
		} {
			w.Header().Set(k, v)
		}
		w.Write([]byte("[" + row + `,{"Key":"c/b","ModifyIndex":9,"Time":"2026-01-02T03:04:06Z","Deleted":true,"Flags":0,"Value":null}]`))
	}).Source("shanghai", 0)
	p, err := source.Changes(t.Context(), replicate.FeedQuery{Prefix: "c/", From: replicate.Cursor{Index: 7, After: "c/\xff"}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Position != (replicate.Position{Index: 9, Datacenter: "id", Incarnation: "inc"}) || p.After != "c/ \xffb" || !p.More || !p.KnownLeader || p.Filtered || len(p.Changes) != 2 {
		t.Fatalf("%+v", p)
	}
	a, b := p.Changes[0], p.Changes[1]
	if a.Key != "c/a" || string(a.Value) != "\x00\x01" || a.Flags != 7 || a.CreateIndex != 5 || a.ModifyIndex != 8 || a.Deleted || a.Time.Nanosecond() != 678_000_000 || b.Key != "c/b" || !b.Deleted {
		t.Errorf("%+v, %+v", a, b)
	}
}

// TestOnlyAFeedIsTakenForOne: what others answer to ?changes is the key of that name, or
// that they do not know it.
func TestOnlyAFeedIsTakenForOne(t *testing.T) {
	const key = `[{"LockIndex":0,"Key":"c/","Flags":0,"Value":"AAE=","CreateIndex":5,"ModifyIndex":8}]`
	begin, follow := replicate.Cursor{}, replicate.Cursor{Index: 7}
	for _, c := range []struct {
		name   string
		from   replicate.Cursor
		status int
		header string // with a value after the colon
		body   string
		is     error  // nil means any
		says   string // "" means that it is a page
	}{
		{"a cursor", begin, 200, "X-Hanse-Datacenter-Id:id", "[]", nil, ""},
		{"nothing new", follow, 200, "X-Hanse-Datacenter-Id:id", "[]", nil, ""},
		{"a change", follow, 200, "X-Hanse-Datacenter-Id:id", "[" + row + "]", nil, ""},
		{"Consul has no such key", begin, 404, "", "", replicate.ErrNoFeed, "404"},
		{"Consul has the key", begin, 200, "", key, replicate.ErrNoFeed, "no datacenter ID"},
		{"Consul has the key, later", follow, 200, "", key, replicate.ErrNoFeed, "no datacenter ID"},
		{"Consul wants a key", begin, 400, "", "Missing key name", replicate.ErrNoFeed, "Missing"},
		{"an old Hanse has no such key", begin, 404, "X-Hanse-Datacenter-Id:id", "", replicate.ErrNoFeed, "404"},
		{"an old Hanse has no such key, later", follow, 404, "X-Hanse-Datacenter-Id:id", "", replicate.ErrNoFeed, "404"},
		{"an old Hanse has the key", begin, 200, "X-Hanse-Datacenter-Id:id", key, replicate.ErrNoFeed, "not empty"},
		{"an old Hanse has the key, later", follow, 200, "X-Hanse-Datacenter-Id:id", key, replicate.ErrNoFeed, "has no time"},
		{"an agent knows it, servers do not", begin, 500, "X-Hanse-Reason:unknown_method", `rpc: can't find method KVS.Changes`, replicate.ErrNoFeed, "can't find"},
		{"the same from Consul's servers", begin, 500, "", `rpc error: rpc: can't find method KVS.Changes`, replicate.ErrNoFeed, "can't find"},
		{"too old", follow, 410, "X-Hanse-Reason:too_old", "index 7 is too old", replicate.ErrTooOld, "too old"},
		{"gone for another reason", follow, 410, "", "Gone", replicate.ErrNoFeed, "410"},
		{"no leader", follow, 500, "X-Hanse-Reason:no_leader", "No cluster leader", nil, "No cluster leader"},
		{"a token that may not", follow, 403, "", "Permission denied", nil, "Permission denied"},
		{"a web page", begin, 200, "X-Hanse-Datacenter-Id:id", "<html>", replicate.ErrNoFeed, "not a list"},
		{"nothing", begin, 200, "X-Hanse-Datacenter-Id:id", "", replicate.ErrNoFeed, "not a list"},
		{"a page that breaks off", follow, 200, "X-Hanse-Datacenter-Id:id", "[" + row, nil, "unexpected end"},
		{"more, but of what", follow, 200, "X-Hanse-More:true", "[]", replicate.ErrNoFeed, "no datacenter ID"},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := stranger(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Consul-Index", "9")
				if k, v, ok := strings.Cut(c.header, ":"); ok {
					w.Header().Set(k, v)
				}
				w.WriteHeader(c.status)
				w.Write([]byte(c.body))
			}).Source("shanghai", 0)
			_, err := source.Changes(t.Context(), replicate.FeedQuery{Prefix: "c/", From: c.from})
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v, want one with %q", err, c.says)
			}
			for _, sentinel := range []error{replicate.ErrNoFeed, replicate.ErrTooOld} {
				if errors.Is(err, sentinel) != (c.is == sentinel) {
					t.Errorf("%v is %v: %v", err, sentinel, errors.Is(err, sentinel))
				}
			}
		})
	}
}

func TestAStalePageThatIsTooOldIsAskedForAgain(t *testing.T) {
	var asked []string
	source := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		contact := "0"
		switch {
		case r.URL.Query().Has("stale"):
			asked, contact = append(asked, "stale"), "5000"
		case r.URL.Query().Has("consistent"):
			asked = append(asked, "consistent")
		default:
			asked = append(asked, "default")
		}
		for k, v := range map[string]string{"X-Consul-Index": "9", "X-Consul-Knownleader": "true", "X-Hanse-Datacenter-Id": "id", "X-Consul-Lastcontact": contact} {
			w.Header().Set(k, v)
		}
		w.Write([]byte("[]"))
	}).Source("shanghai", 1e9)
	for _, q := range []replicate.FeedQuery{{}, {From: replicate.Cursor{Index: 7}}, {From: replicate.Cursor{Index: 7}, Fresh: true}} {
		if _, err := source.Changes(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(asked, " "); got != "default stale default consistent" {
		t.Errorf("asked %s", got)
	}
}

// FuzzDecodeChanges: what is accepted comes after the cursor, in order, below the prefix.
func FuzzDecodeChanges(f *testing.F) {
	f.Add("["+row+"]", uint64(7), "")
	f.Add("["+row+","+row+"]", uint64(8), "c/")
	f.Add("[]", uint64(0), "")
	f.Add(`[{"Key":"c/a","Time":null}]`, uint64(1), "")
	f.Fuzz(func(t *testing.T, body string, index uint64, after string) {
		changes, err := decodeChanges(strings.NewReader(body), replicate.FeedQuery{Prefix: "c/", From: replicate.Cursor{Index: index, After: after}})
		if err != nil {
			return
		}
		for _, c := range changes {
			if !strings.HasPrefix(c.Key, "c/") || c.ModifyIndex < index || after == "" && c.ModifyIndex == index && len(changes) == 1 {
				t.Fatalf("behind %d %q: %+v", index, after, c)
			}
			index = c.ModifyIndex
		}
	})
}
