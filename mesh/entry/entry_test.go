package entry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/hcl"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// bench is the endpoint of a datacenter whose log is always committed.
type bench struct {
	*Endpoint
	store *store.Store
	log   *storetest.Log
}

func newBench(t *testing.T) *bench {
	s, log := storetest.New(t, Module())
	return &bench{NewEndpoint(s, log), s, log}
}

func anyone() *rpc.Call { return &rpc.Call{Authz: rpc.AllowAll{}} }

func parsed(t testing.TB, text string) *Entry {
	t.Helper()
	e, err := ParseJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (b *bench) put(t *testing.T, op Op, index uint64, text string) bool {
	t.Helper()
	done, err := b.apply(t.Context(), anyone(), &ApplyRequest{Op: op, Entry: parsed(t, text), ModifyIndex: index})
	if err != nil {
		t.Fatal(err)
	}
	return *done
}

func (b *bench) read(t *testing.T, kindName, name string) *Reply {
	t.Helper()
	rep, err := b.get(t.Context(), anyone(), &Query{Kind: kindName, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

const web = `{"Kind":"service-defaults","Name":"web","Protocol":"http"}`

func TestAWriteIsReadBackAtItsIndex(t *testing.T) {
	b := newBench(t)
	if rep := b.read(t, api.ServiceDefaults, "web"); rep.Entry != nil || !rep.Absent() {
		t.Fatalf("got %+v of nothing", rep)
	}
	b.put(t, Upsert, 0, web)
	first := b.read(t, api.ServiceDefaults, "web")
	b.put(t, Upsert, 0, `{"Kind":"proxy-defaults","Config":{"a":1}}`)
	b.put(t, Upsert, 0, web)
	if again := b.read(t, api.ServiceDefaults, "web"); again.Index != first.Index || again.Entry != first.Entry {
		t.Errorf("the same again moved the index from %d to %d", first.Index, again.Index)
	}
	if list, err := b.list(t.Context(), anyone(), &Query{Kind: api.ServiceDefaults}); err != nil || list.Index != first.Index {
		t.Errorf("an entry of another kind moved the list from %d to %d (%v)", first.Index, list.Index, err)
	}
	b.put(t, Upsert, 0, strings.Replace(web, "http", "grpc", 1))
	changed := b.read(t, api.ServiceDefaults, "web")
	if e := changed.Entry; e.CreateIndex != first.Index || e.ModifyIndex <= first.Index || changed.Index != e.ModifyIndex ||
		e.Body.GetCreateIndex() != e.CreateIndex || e.Body.GetModifyIndex() != e.ModifyIndex || e.Hash == first.Entry.Hash {
		t.Errorf("got %+v after %+v", e, first.Entry)
	}
	if first.Entry.ModifyIndex != first.Index {
		t.Error("an answer was changed by a later write")
	}
}

func TestComparisons(t *testing.T) {
	b := newBench(t)
	if b.put(t, UpsertCAS, 7, web) {
		t.Error("written over index 7 of nothing")
	}
	if !b.put(t, UpsertCAS, 0, web) || b.put(t, UpsertCAS, 0, web) {
		t.Error("index 0 means that there must be none")
	}
	at := b.read(t, api.ServiceDefaults, "web").Index
	if !b.put(t, UpsertCAS, at, strings.Replace(web, "http", "tcp", 1)) {
		t.Error("not written over its own index")
	}
	remove := func(op Op, index uint64) bool {
		t.Helper()
		rep, err := b.remove(t.Context(), anyone(), &ApplyRequest{Op: op, Entry: parsed(t, web), ModifyIndex: index})
		if err != nil {
			t.Fatal(err)
		}
		return rep.Deleted
	}
	if remove(DeleteCAS, at) {
		t.Error("deleted at an old index")
	}
	now := b.read(t, api.ServiceDefaults, "web").Index
	if !remove(DeleteCAS, now) || !remove(Delete, 0) {
		t.Error("not deleted")
	}
	if gone := b.read(t, api.ServiceDefaults, "web"); gone.Entry != nil || gone.Index <= now {
		t.Errorf("after the deletion: %+v, at index %d after %d", gone.Entry, gone.Index, now)
	}
}

// examples has an entry of each kind, in fields that only this kind has.
var examples = map[string]string{
	api.ServiceDefaults:       `{"Kind":"service-defaults","Name":"a","Protocol":"http","MeshGateway":{"Mode":"local"},"UpstreamConfig":{"Overrides":[{"Name":"b","ConnectTimeoutMs":5}]},"Meta":{"k":"v"}}`,
	api.ProxyDefaults:         `{"Kind":"proxy-defaults","Name":"global","Config":{"local_connect_timeout_ms":1000,"deep":[{"a":null}]}}`,
	api.ServiceRouter:         `{"Kind":"service-router","Name":"a","Routes":[{"Match":{"HTTP":{"PathPrefix":"/x"}},"Destination":{"Service":"b","RequestTimeout":"5s","NumRetries":3}}]}`,
	api.ServiceSplitter:       `{"Kind":"service-splitter","Name":"a","Splits":[{"Weight":90.5,"ServiceSubset":"v1"},{"Weight":9.5,"Service":"b"}]}`,
	api.ServiceResolver:       `{"Kind":"service-resolver","Name":"a","ConnectTimeout":"15s","Failover":{"*":{"Datacenters":["dc2"]}},"Subsets":{"v1":{"Filter":"Service.Meta.v == 1"}}}`,
	api.IngressGateway:        `{"Kind":"ingress-gateway","Name":"a","TLS":{"Enabled":true},"Listeners":[{"Port":8080,"Protocol":"http","Services":[{"Name":"*"}]}]}`,
	api.TerminatingGateway:    `{"Kind":"terminating-gateway","Name":"a","Services":[{"Name":"b","CAFile":"/ca.pem"}]}`,
	api.ServiceIntentions:     `{"Kind":"service-intentions","Name":"a","Sources":[{"Name":"b","Action":"allow","Permissions":null}]}`,
	api.MeshConfig:            `{"Kind":"mesh","TransparentProxy":{"MeshDestinationsOnly":true},"TLS":{"Incoming":{"TLSMinVersion":"TLSv1_2"}}}`,
	api.ExportedServices:      `{"Kind":"exported-services","Name":"default","Services":[{"Name":"a","Consumers":[{"Peer":"p"}]}]}`,
	api.APIGateway:            `{"Kind":"api-gateway","Name":"a","Listeners":[{"Name":"l","Port":8443,"Protocol":"http","TLS":{"Certificates":[{"Kind":"inline-certificate","Name":"c"}]}}]}`,
	api.HTTPRoute:             `{"Kind":"http-route","Name":"a","Hostnames":["x.example"],"Parents":[{"Kind":"api-gateway","Name":"g"}],"Rules":[{"Services":[{"Name":"b","Weight":1}]}]}`,
	api.TCPRoute:              `{"Kind":"tcp-route","Name":"a","Parents":[{"Kind":"api-gateway","Name":"g"}],"Services":[{"Name":"b"}]}`,
	api.InlineCertificate:     `{"Kind":"inline-certificate","Name":"a","Certificate":"c","PrivateKey":"k"}`,
	api.FileSystemCertificate: `{"Kind":"file-system-certificate","Name":"a","Certificate":"/c","PrivateKey":"/k"}`,
	api.JWTProvider:           `{"Kind":"jwt-provider","Name":"a","Issuer":"i","JSONWebKeySet":{"Remote":{"URI":"https://x","CacheDuration":300000000000}}}`,
	api.RateLimitIPConfig:     `{"Kind":"control-plane-request-limit","Name":"a","Mode":"permissive","ReadRate":100.5,"KV":{"ReadRate":5}}`,
}

// within names what stands in want and not in got.
func within(t *testing.T, path string, want, got any) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s is %v", path, got)
		}
		for name, value := range w {
			if value != nil {
				within(t, path+"."+name, value, g[name])
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			t.Errorf("%s is %v, want %v", path, got, want)
			return
		}
		for i := range w {
			within(t, path+"[]", w[i], g[i])
		}
	default:
		if text, ok := got.(string); ok && strings.HasSuffix(text, "m0s") {
			got = strings.TrimSuffix(text, "0s")
		}
		if want != got {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

func object(t *testing.T, v any) (out map[string]any) {
	t.Helper()
	text, ok := v.([]byte)
	if !ok {
		var err error
		if text, err = json.Marshal(v); err != nil {
			t.Fatal(err)
		}
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryKindIsReturnedAsItWasWritten(t *testing.T) {
	b := newBench(t)
	for _, name := range Kinds() {
		t.Run(name, func(t *testing.T) {
			text := examples[name]
			if text == "" {
				t.Fatal("there is no example")
			}
			e := parsed(t, text)
			b.put(t, Upsert, 0, text)
			within(t, "", object(t, []byte(text)), object(t, b.read(t, name, e.Name).Entry))

			// Another server, and a snapshot, see the same.
			wire, err := (&ApplyRequest{Entry: e}).MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			var there ApplyRequest
			if err := there.UnmarshalBinary(wire); err != nil {
				t.Fatal(err)
			}
			if there.Entry.Hash != e.Hash || there.Entry.Name != e.Name {
				t.Errorf("got %+v over the wire, want %+v", there.Entry, e)
			}
			// What a client reads, it can write.
			if again := parsed(t, string(must(json.Marshal(e)))); again.Hash != e.Hash {
				t.Errorf("an answer is another entry: %+v, was %+v", again.Body, e.Body)
			}
		})
	}
	all, err := b.listAll(t.Context(), anyone(), &ListAllRequest{})
	if err != nil || len(all.Entries) != len(examples) {
		t.Fatalf("%d entries (%v)", len(all.Entries), err)
	}
	if some, err := b.listAll(t.Context(), anyone(), &ListAllRequest{Kinds: []string{api.MeshConfig, BoundAPIGateway}}); err != nil || len(some.Entries) != 1 {
		t.Errorf("of the kind mesh: %v (%v)", some.Entries, err)
	}

	fresh := newBench(t)
	if err := fresh.store.Restore(storetest.Snapshot(t, b.store)); err != nil {
		t.Fatal(err)
	}
	restored, err := fresh.listAll(t.Context(), anyone(), &ListAllRequest{})
	if err != nil || restored.Index != all.Index || len(restored.Entries) != len(all.Entries) {
		t.Fatalf("%d entries at %d after a restore, want %d at %d", len(restored.Entries), restored.Index, len(all.Entries), all.Index)
	}
	for i, e := range restored.Entries {
		if want := all.Entries[i]; e.Hash != want.Hash || e.ModifyIndex != want.ModifyIndex || e.CreateIndex != want.CreateIndex {
			t.Errorf("restored %+v, want %+v", e, want)
		}
	}
}

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}

func TestBothSpellingsAndHCL(t *testing.T) {
	want := parsed(t, `{"Kind":"service-resolver","Name":"web","ConnectTimeout":"15s","DefaultSubset":"v1","Subsets":{"v1":{"Filter":"a == b","OnlyPassing":true}},"Meta":{"my_key":"x"}}`)
	for _, text := range []string{
		`{"kind":"service-resolver","name":"web","connect_timeout":"15s","default_subset":"v1","subsets":{"v1":{"filter":"a == b","only_passing":true}},"meta":{"my_key":"x"}}`,
		`{"Kind":"service-resolver","Name":"web","connect_timeout":15000000000,"DefaultSubset":"v1","Subsets":{"v1":{"Filter":"a == b","onlyPassing":"true"}},"Meta":{"my_key":"x"},"CreateIndex":4,"ModifyIndex":5,"Hash":6}`,
	} {
		if got := parsed(t, text); got.Hash != want.Hash {
			t.Errorf("%s gave %+v, want %+v", text, got.Body, want.Body)
		}
	}
	var fields map[string]any
	if err := hcl.Decode(&fields, `
Kind = "service-resolver"
Name = "web"
ConnectTimeout = "15s"
default_subset = "v1"
Subsets = { "v1" = { Filter = "a == b", OnlyPassing = true } }
Meta { my_key = "x" }`); err != nil {
		t.Fatal(err)
	}
	if got, err := Parse(fields); err != nil || got.Hash != want.Hash {
		t.Errorf("HCL gave %+v (%v), want %+v", got, err, want.Body)
	}
	numbers := map[string]any{"kind": "proxy-defaults", "config": map[string]any{"a": json.Number("5")}}
	if got, err := Parse(numbers); err != nil || got.Hash != parsed(t, `{"Kind":"proxy-defaults","Config":{"a":5}}`).Hash {
		t.Errorf("numbers as a configuration has them gave %+v (%v)", got, err)
	}
	fields = nil
	if err := hcl.Decode(&fields, `
Kind = "proxy-defaults"
Name = "global"
Config { a_b = 5  inner { c = "d" } }`); err != nil {
		t.Fatal(err)
	}
	got, err := Parse(fields)
	if err != nil || got.Hash != parsed(t, `{"Kind":"proxy-defaults","Name":"global","Config":{"a_b":5,"inner":{"c":"d"}}}`).Hash {
		t.Errorf("HCL gave %+v (%v)", got, err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                                      "unexpected end of JSON input",
		`{"Name":1}`:                             "Payload does not contain a kind/Kind key at the top level",
		`{"Kind":3}`:                             "Kind value in payload is not a string",
		`{"Kind":"nope","Name":"web"}`:           "invalid config entry kind: nope",
		`{"Kind":"sameness-group","Name":"web"}`: "Consul Enterprise",
		`{"Kind":"bound-api-gateway","Name":"web"}`:                                "cannot be written",
		`{"Kind":"service-defaults"}`:                                              "Name is required",
		`{"Kind":"service-defaults","Name":"web","Nope":1}`:                        "1 error occurred:\n\t* invalid config key \"Nope\"\n\n",
		`{"Kind":"service-defaults","Name":"web","Expose":{"Paths":[{"Nope":1}]}}`: `invalid config key "Expose.Paths.0.Nope"`,
		`{"Kind":"service-defaults","Name":"web","Protocol":"a","protocol":"b"}`:   "given twice",
		`{"Kind":"service-defaults","Name":"web","Expose":5}`:                      "Expose",
		`{"Kind":"proxy-defaults","Name":"web"}`:                                   `invalid name ("web"), only "global" is supported`,
		`{"Kind":"mesh","Name":"web"}`:                                             `invalid name ("web"), only "mesh" is supported`,
		`{"Kind":"service-resolver","Name":"web","ConnectTimeout":"soon"}`:         "ConnectTimeout",
	} {
		if e, err := ParseJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gave %+v, %v; want %q", text, e, err, want)
		}
	}
	b := newBench(t)
	deep := `{"Kind":"proxy-defaults","Config":{"a":` + strings.Repeat("[", 3000) + strings.Repeat("]", 3000) + `}}`
	if _, err := b.apply(t.Context(), anyone(), &ApplyRequest{Entry: parsed(t, deep)}); err == nil || !strings.Contains(err.Error(), "cannot be kept") {
		t.Errorf("an entry that nobody can read back: %v", err)
	}
	if _, err := b.list(t.Context(), anyone(), &Query{Kind: "nope"}); err == nil {
		t.Error("a list of a kind that does not exist")
	}
	b.put(t, Upsert, 0, web)
	for expression, want := range map[string]int{`Protocol == "http"`: 1, `Name == "other"`: 0, `Protocol ==`: -1, `Nope == 1`: -1} {
		q := &Query{Kind: api.ServiceDefaults}
		q.Filter = expression
		rep, err := b.list(t.Context(), anyone(), q)
		if want < 0 != (err != nil) || err == nil && len(rep.Entries) != want {
			t.Errorf("filter %s: %v, %v", expression, rep, err)
		}
	}
}

func TestTheEntriesOfAConsulSnapshotAreTakenOver(t *testing.T) {
	const at = 5000
	b := newBench(t)
	imported, err := b.store.Import(storetest.Archive(t, "../../catalog/testdata/consul-1.21.4.snap"), at, store.Identity{ID: "dc", Incarnation: "next"})
	if err != nil {
		t.Fatal(err)
	}
	if imported.Records[record] != 4 {
		t.Errorf("%d entries were taken over", imported.Records[record])
	}
	var stream bytes.Buffer
	if err := imported.Write(&stream); err != nil {
		t.Fatal(err)
	}
	if err := b.store.Restore(io.NopCloser(&stream)); err != nil {
		t.Fatal(err)
	}
	recorded, err := os.ReadFile("testdata/consul-1.21.4.json")
	if err != nil {
		t.Fatal(err)
	}
	var shown map[string][]map[string]any
	if err := json.Unmarshal(recorded, &shown); err != nil {
		t.Fatal(err)
	}
	for kindName, want := range shown {
		rep, err := b.list(t.Context(), anyone(), &Query{Kind: kindName})
		if err != nil || rep.Index != at || len(rep.Entries) != len(want) {
			t.Fatalf("%s: %v at %d (%v)", kindName, rep.Entries, rep.Index, err)
		}
		for i, w := range want {
			delete(w, "Hash")
			w["ModifyIndex"] = float64(at)
			within(t, kindName, w, object(t, rep.Entries[i]))
		}
	}
}

func TestAnEntryThatIsReadAndRefusedSaysWhy(t *testing.T) {
	b := newBench(t)
	text, err := pack(api.ExportedServices, &applyBody[any]{Entry: &api.ExportedServicesConfigEntry{Name: "other"}})
	if err != nil {
		t.Fatal(err)
	}
	var req ApplyRequest
	if err := req.UnmarshalBinary(text); err != nil {
		t.Fatal(err)
	}
	if _, err := b.apply(t.Context(), anyone(), &req); err == nil || !strings.Contains(err.Error(), `only "default" is supported`) {
		t.Errorf("applied: %v", err)
	}
	if err := load(&store.Tx{Import: true}, &req); !errors.Is(err, store.ErrSkip) {
		t.Errorf("loaded: %v", err)
	}
}

func TestBootstrapWritesWhatIsNotThere(t *testing.T) {
	b := newBench(t)
	b.put(t, Upsert, 0, web)
	entries := []*Entry{parsed(t, strings.Replace(web, "http", "tcp", 1)), parsed(t, `{"Kind":"mesh"}`)}
	for range 2 {
		if err := Bootstrap(t.Context(), b.store, b.log, entries); err != nil {
			t.Fatal(err)
		}
	}
	if e := b.read(t, api.ServiceDefaults, "web").Entry; e.Body.(*api.ServiceConfigEntry).Protocol != "http" {
		t.Error("an entry that was there was overwritten")
	}
	if e := b.read(t, api.MeshConfig, "mesh").Entry; e == nil || e.ModifyIndex != e.CreateIndex {
		t.Errorf("got %+v", e)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range slices.Concat([]string{web, `{"kind":"mesh","tls":{"incoming":[]}}`}, mapValues(examples)) {
		f.Add(text, false)
	}
	f.Add("Kind = \"service-defaults\"\nName = \"web\"\nExpose { Paths = [{ Path = \"/x\" }] }", true)
	f.Fuzz(func(t *testing.T, text string, isHCL bool) {
		var e *Entry
		var err error
		if isHCL {
			var fields map[string]any
			if hcl.Decode(&fields, text) != nil {
				return
			}
			e, err = Parse(fields)
		} else {
			e, err = ParseJSON([]byte(text))
		}
		if err != nil {
			return
		}
		cmd, err := writeOf(Upsert, e)
		if err != nil {
			return
		}
		again, err := fromBody(cmd.Kind, cmd.Body)
		if err != nil || again.Hash != e.Hash {
			t.Errorf("%s is %+v once it is kept (%v), was %+v", text, again, err, e)
		}
	})
}

func mapValues(m map[string]string) (out []string) {
	for _, name := range Kinds() {
		out = append(out, m[name])
	}
	return out
}
