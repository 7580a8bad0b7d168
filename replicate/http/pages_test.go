package replicatehttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-project/hanse/replicate"
)

func pageHeader(w http.ResponseWriter, more string) {
	for k, v := range map[string]string{
		"X-Consul-Index": "9", "X-Consul-Knownleader": "true", "X-Hanse-Datacenter-Id": "id", "X-Hanse-Incarnation": "inc", "X-Hanse-More": more,
	} {
		w.Header().Set(k, v)
	}
}

func TestAPageOfKeysIsRead(t *testing.T) {
	agent := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.RequestURI(); got != "/v1/kv/c/?after=c%2F%FF&count=&dc=shanghai&entries=&limit=10000&to=c%2F%FFz" {
			t.Errorf("asked for %s", got)
		}
		pageHeader(w, "true")
		w.Header().Set("X-Hanse-Total-Keys", "77")
		io.WriteString(w, `[{"Key":"c/\ufffdb","KeyBytes":"Yy//Yg==","Value":"AAE=","Flags":7,"CreateIndex":5,"ModifyIndex":8}]`)
	})
	p, err := agent.Source("shanghai", 0).Entries(t.Context(), replicate.EntriesQuery{Prefix: "c/", After: "c/\xff", To: "c/\xffz", Count: true})
	if err != nil {
		t.Fatal(err)
	}
	if p.Position != (replicate.Position{Index: 9, Datacenter: "id", Incarnation: "inc"}) || !p.More || !p.KnownLeader || p.Filtered || p.Total != 77 || len(p.Entries) != 1 {
		t.Fatalf("%+v", p)
	}
	if e := p.Entries[0]; e.Key != "c/\xffb" || string(e.Value) != "\x00\x01" || e.Flags != 7 || e.CreateIndex != 5 || e.ModifyIndex != 8 {
		t.Errorf("%+v", e)
	}
}

// TestKeysAreAskedForInParts: a URL holds so many, and a page may be full before it has all.
func TestKeysAreAskedForInParts(t *testing.T) {
	questions, index := 0, 50
	sink := stranger(t, func(w http.ResponseWriter, r *http.Request) {
		questions++
		index--
		if len(r.URL.RawQuery) > urlBytes+100 && len(r.URL.Query()["key"]) > 1 {
			t.Errorf("the parameters have %d bytes", len(r.URL.RawQuery))
		}
		var rows []pair
		more := "false"
		for _, key := range r.URL.Query()["key"] {
			if strings.Contains(key, "missing") || key == "" {
				continue
			}
			if len(rows) == 40 {
				more = "true"
				break
			}
			rows = append(rows, pair{Key: key})
		}
		pageHeader(w, more)
		w.Header().Set("X-Consul-Index", fmt.Sprint(index))
		if len(rows) == 0 {
			rows = []pair{}
		}
		json.NewEncoder(w).Encode(rows)
	}).Sink()
	var keys, want []string
	for i := range 500 {
		key := fmt.Sprintf("c/%03d", i)
		switch i % 3 {
		case 0:
			key += "/missing"
		case 1:
			key += strings.Repeat("ü", i%40)
		}
		if i == 250 {
			key += strings.Repeat("x", 2*urlBytes)
		}
		if keys = append(keys, key); i%3 != 0 {
			want = append(want, key)
		}
	}
	page, err := sink.Entries(t.Context(), replicate.EntriesQuery{Prefix: "c/", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range page.Entries {
		got = append(got, e.Key)
	}
	if !slices.Equal(got, want) || page.More || page.Index != uint64(index) || questions < 8 {
		t.Errorf("%d questions, %d keys, want %d, index %d", questions, len(got), len(want), page.Index)
	}
	if page, err := sink.Entries(t.Context(), replicate.EntriesQuery{Prefix: "c/", Keys: []string{}}); err != nil || len(page.Entries) != 0 || page.Index == 0 {
		t.Errorf("none of no keys: %+v, %v", page, err)
	}
}

// TestOnlyAPageIsTakenForOne: what others answer to ?entries is the key of that name, or
// that they do not know it.
func TestOnlyAPageIsTakenForOne(t *testing.T) {
	const key = `[{"LockIndex":0,"Key":"c/","Flags":0,"Value":"AAE=","CreateIndex":5,"ModifyIndex":8}]`
	const id, page = "X-Hanse-Datacenter-Id:id", "X-Hanse-Datacenter-Id:id X-Hanse-More:false"
	for _, c := range []struct {
		name   string
		status int
		header string // pairs with a colon between
		body   string
		none   bool   // it knows no pages
		says   string // "" means that it is a page
	}{
		{"a page", 200, page, key, false, ""},
		{"an empty page", 200, page, "[]", false, ""},
		{"Consul has no such key", 404, "", "", true, "404"},
		{"Consul has the key", 200, "", key, true, "no datacenter ID"},
		{"Consul wants a key", 400, "", "Missing key name", true, "Missing"},
		{"an old Hanse has no such key", 404, id, "", true, "404"},
		{"an old Hanse has the key", 200, id, key, true, "whether there is more"},
		{"an agent knows it, servers do not", 500, "X-Hanse-Reason:unknown_method", "rpc: can't find method Hanse.KVEntries", true, "can't find"},
		{"the same from Consul's servers", 500, "", "rpc error: rpc: can't find service Hanse.KVEntries", true, "can't find"},
		{"no leader", 500, "X-Hanse-Reason:no_leader", "No cluster leader", false, "No cluster leader"},
		{"a token that may not", 403, "", "Permission denied", false, "Permission denied"},
		{"a web page", 200, page, "<html>", false, "does not begin"},
		{"a page that breaks off", 200, page, key[:len(key)-1], false, "does not end"},
		{"a key that is not of the page", 200, page, `[{"Key":"c/z"},{"Key":"c/a"}]`, false, `the key "c/a" behind "c/z"`},
		{"more, but behind what", 200, "X-Hanse-Datacenter-Id:id X-Hanse-More:true", "[]", false, "without entries"},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := stranger(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Consul-Index", "9")
				for pair := range strings.FieldsSeq(c.header) {
					k, v, _ := strings.Cut(pair, ":")
					w.Header().Set(k, v)
				}
				w.WriteHeader(c.status)
				w.Write([]byte(c.body))
			}).Source("shanghai", 0)
			_, err := source.Entries(t.Context(), replicate.EntriesQuery{Prefix: "c/"})
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || errors.Is(err, replicate.ErrNoPages) != c.none {
				t.Fatalf("error %v, want one with %q", err, c.says)
			}
		})
	}
}

// FuzzDecodePage: what is accepted is in order and of the range, or was asked for.
func FuzzDecodePage(f *testing.F) {
	f.Add(`[{"Key":"c/a","ModifyIndex":8},{"Key":"c/b"}]`, "", "", "")
	f.Add(`[{"Key":"c/\ufffd","KeyBytes":"Yy//"}]`, "c/a", "", "")
	f.Add(`[{"Key":"c/a"}]`, "", "c/b", "c/a c/b")
	f.Fuzz(func(t *testing.T, body, after, to, keys string) {
		q := replicate.EntriesQuery{Prefix: "c/", After: after, To: to}
		if keys != "" {
			q.Keys = strings.Fields(keys)
		}
		entries, err := decodePage(strings.NewReader(body), q)
		if err != nil {
			return
		}
		last := after
		for _, e := range entries {
			in := e.Key > last && (to == "" || e.Key < to)
			if q.Keys != nil {
				in = slices.Contains(q.Keys, e.Key)
			}
			if !in || !strings.HasPrefix(e.Key, "c/") {
				t.Fatalf("%q is accepted for %+v", e.Key, q)
			}
			last = e.Key
		}
	})
}
