package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/raft"

	"github.com/hanse-project/hanse/test/golden"
)

// TestPreparedQueriesAnswerAsRecorded plays recorded exchanges. The IDs of their queries
// are those that we gave to ours.
func TestPreparedQueriesAnswerAsRecorded(t *testing.T) {
	recorded, err := os.ReadFile("testdata/queries.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	face, _ := newFace(t, nil)
	var ids []string
	for line := range bytes.Lines(recorded) {
		var x golden.HTTP
		if err := json.Unmarshal(line, &x); err != nil {
			t.Fatal(err)
		}
		t.Run(x.Note, func(t *testing.T) {
			w := do(face, x.Method, strings.NewReplacer(ids...).Replace(x.Path), x.Body)
			rep := w.Result()
			got, err := io.ReadAll(rep.Body)
			if err != nil {
				t.Fatal(err)
			}
			var theirs, mine struct{ ID string }
			if json.Unmarshal([]byte(x.Response), &theirs) == nil && json.Unmarshal(got, &mine) == nil && theirs.ID != "" {
				ids = append(ids, theirs.ID, mine.ID)
			}
			x.Response = strings.NewReplacer(ids...).Replace(x.Response)
			for name := range x.Headers { // no index stands for an error, and how it was read is our own affair
				if x.Status >= 400 && strings.HasPrefix(name, "X-Consul") && name != "X-Consul-Default-Acl-Policy" {
					delete(x.Headers, name)
				}
			}
			delete(x.Headers, "Content-Length") // net/http adds it
			delete(x.Headers, "X-Consul-Effective-Consistency")
			compare(t, &x, rep, got)
		})
	}
}

// The client of others prepares queries, executes them here and in another datacenter,
// and gets the fields that it knows.
func TestTheClientOfOthersPreparesQueries(t *testing.T) {
	face, dc1 := newFace(t, nil)
	dc2 := newServer(t, "dc2", raft.Server{ID: "b"}, noKeys("beta"))
	dc1.others = map[string]*server{"dc1": dc1, "dc2": dc2}
	dc1.register(t, `{"Node":"n1","Address":"10.1.0.1","Service":{"Service":"web","Port":80,"Tags":["v1"]}}`)
	dc2.register(t, `{"Node":"n2","Address":"10.2.0.1","Service":{"Service":"geo","Port":81}}`)
	client, err := api.NewClient(&api.Config{Address: listen(t, face).URL})
	if err != nil {
		t.Fatal(err)
	}
	queries := client.PreparedQuery()
	def := &api.PreparedQueryDefinition{
		Name: "geo-", Template: api.QueryTemplate{Type: "name_prefix_match", Regexp: "^geo-(.*)$", RemoveEmptyTags: true},
		Service: api.ServiceQuery{Service: "${match(1)}", Failover: api.QueryFailoverOptions{NearestN: 1}},
		DNS:     api.QueryDNSOptions{TTL: "7s"},
	}
	if def.ID, _, err = queries.Create(def, nil); err != nil {
		t.Fatal(err)
	}
	def.Service.OnlyPassing = true
	if _, err := queries.Update(def, nil); err != nil {
		t.Fatal(err)
	}
	got, _, err := queries.Get(def.ID, nil)
	if err != nil || len(got) != 1 || !got[0].Service.OnlyPassing || got[0].Template != def.Template || got[0].DNS != def.DNS {
		t.Fatalf("get: %+v, %v", got, err)
	}
	all, _, err := queries.List(nil)
	if err != nil || len(all) != 1 || all[0].ID != def.ID {
		t.Errorf("list: %+v, %v", all, err)
	}
	for name, want := range map[string]struct {
		dc, node  string
		failovers int
	}{"geo-web": {"dc1", "n1", 0}, "geo-geo": {"dc2", "n2", 1}, "geo-none": {"dc1", "", 1}} {
		rep, _, err := queries.Execute(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		node := ""
		if len(rep.Nodes) == 1 {
			node = rep.Nodes[0].Node.Node
		}
		if rep.Datacenter != want.dc || node != want.node || rep.Failovers != want.failovers || rep.DNS.TTL != "7s" || rep.Service != name[4:] {
			t.Errorf("%s: %+v", name, rep)
		}
	}
	if _, err := queries.Delete(def.ID, nil); err != nil {
		t.Error(err)
	}
	if all, _, err = queries.List(nil); err != nil || len(all) != 0 {
		t.Errorf("after the delete: %+v, %v", all, err)
	}
}

func TestQueriesThatCannotBeRead(t *testing.T) {
	face, _ := newFace(t, nil)
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"POST", "/v1/query", `{"Name":"a","Servise":{}}`, 400, `unknown field "Servise"`},
		{"POST", "/v1/query", `{"Service":{"Service":"web"},"Template":{"Type":"name_prefix_match","Regexp":"("}}`, 500, "Invalid prepared query: bad Template.Regexp"},
		{"POST", "/v1/query", `{"Service":{"Service":"${nope}"},"Template":{"Type":"name_prefix_match"}}`, 500, "Invalid prepared query: bad template: ${nope} is unknown"},
		{"GET", "/v1/query//execute", "", 404, "Query not found"},
		{"GET", "/v1/query/a/b/explain", "", 404, "Query not found"},
		{"GET", "/v1/query/", "", 500, "UUID must be 36 characters"},
		{"PUT", "/v1/query/a/execute", `{"Service":{"Service":"web"}}`, 500, "UUID must be 36 characters"},
	} {
		w := do(face, c.method, c.path, c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.text) {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
	if w := do(face, http.MethodGet, "/v1/query", ""); w.Body.String() != "[]" {
		t.Errorf("what was refused is there: %s", w.Body)
	}
}
