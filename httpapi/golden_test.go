package httpapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/operator"
	"github.com/hanse-project/hanse/test/golden"
)

// otherwise are texts and bodies that differ on purpose.
var otherwise = map[string]string{
	// Clients look for "is too large".
	"value above 512 KiB": "Request body(524289 bytes) is too large, max size: 524288 bytes.",
	"129 operations: 413": "Transaction contains too many operations (129 > 128): it is too large",
	// The name of a type in the program.
	"an object instead of a list": "Failed to parse body: json: cannot unmarshal object into Go value of type []httpapi.txnOp",
	// The field is named.
	"service: bad duration": "Request decode failed: Check.TTL: time: invalid duration \"nope\"",
	"service: wrong type":   "Request decode failed: Port: use a whole number, not a text",
	// The token and what it lacks are named, as everywhere else.
	"permission denied: event": "Permission denied: token with AccessorID 'acce5500-0000-4000-8000-00000000a004' lacks permission 'event:write' on \"x\"",
	// The release that we speak like, not the build that was recorded.
	"version": `{"SHA":"","BuildDate":"1970-01-01T00:00:01Z","HumanVersion":"1.21.4","FIPS":""}`,
	// The recorded datacenter had four nodes more.
	"usage": `{"Usage":{"dc1":{"Services":11,"ServiceInstances":42,"ConnectServiceInstances":{"api-gateway":0,"connect-native":1,"connect-proxy":0,"ingress-gateway":0,"mesh-gateway":0,"terminating-gateway":0},"BillableServiceInstances":41,"Nodes":36}},"Index":1,"LastContact":0,"KnownLeader":true,"ConsistencyLevel":"leader","NotModified":false,"Backend":0,"ResultsFilteredByACLs":false}`,
	// A single server always knows itself.
	"unknown verb": `{"Results":null,"Errors":[{"OpIndex":0,"What":"unknown KV operation: nope"}],"Index":1,"LastContact":0,"KnownLeader":true,"ConsistencyLevel":"","NotModified":false,"Backend":0,"ResultsFilteredByACLs":false}`,
}

// variable are the headers whose values are compared for being there only, or not at
// all: an error says nothing of an index, and how a list is found is our own affair.
var variable = []string{"X-Consul-Index", "Content-Length", "X-Consul-Query-Backend", "X-Consul-Contenthash"}

func TestAnswersAreThoseClientsKnow(t *testing.T) {
	exchanges, err := golden.HTTPExchanges()
	if err != nil {
		t.Fatal(err)
	}
	world := newWorld(t, exchanges)
	client := &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	lastIndex, lastHash := "", ""
	for _, x := range exchanges {
		t.Run(x.Note, func(t *testing.T) {
			base := world[x.Agent]
			if base == "" {
				t.Fatalf("no agent is a %q", x.Agent)
			}
			path := strings.NewReplacer("wait=1s", "wait=20ms", "wait=500ms", "wait=20ms", "index=71", "index="+lastIndex, "hash=24c20a9db626b93e", "hash="+lastHash).Replace(x.Path)
			req, err := http.NewRequestWithContext(t.Context(), x.Method, base+path, reader(x.Body))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range x.RequestHeaders {
				req.Header.Set(name, value)
			}
			rep, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer rep.Body.Close()
			got, err := io.ReadAll(rep.Body)
			if err != nil {
				t.Fatal(err)
			}
			if index := rep.Header.Get("X-Consul-Index"); index != "" {
				lastIndex = index
			}
			lastHash = rep.Header.Get("X-Consul-Contenthash")
			compare(t, &x, rep, got)
		})
	}
}

// anyID is an ID that was made up.
var anyID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

func compare(t *testing.T, x *golden.HTTP, rep *http.Response, got []byte) {
	t.Helper()
	if rep.StatusCode != x.Status {
		t.Errorf("status %d, want %d: %s", rep.StatusCode, x.Status, got)
	}
	want := []byte(x.Response)
	if x.ResponseB64 != nil {
		want = x.ResponseB64
	}
	if ours, differs := otherwise[x.Note]; differs {
		want = []byte(ours)
	}
	if x.Headers["Content-Encoding"] == "gzip" {
		got, want = unzipped(t, got), unzipped(t, want)
	}
	text := !strings.HasPrefix(x.Headers["Content-Type"], "application/json")
	if strings.HasPrefix(x.Path, "/v1/event/") {
		got, want = anyID.ReplaceAll(got, []byte("#")), anyID.ReplaceAll(want, []byte("#"))
	}
	if g, w := normal(got, text), normal(want, text); g != w {
		t.Errorf("body\n got %s\nwant %s", g, w)
	}
	headers := maps.Clone(x.Headers)
	if x.Status >= 500 { // some errors carry an index of 1, which means nothing
		maps.DeleteFunc(headers, func(name, _ string) bool {
			return strings.HasPrefix(name, "X-Consul") && name != "X-Consul-Default-Acl-Policy"
		})
	}
	if x.Note == "unknown verb" {
		headers["X-Consul-Knownleader"] = "true"
	}
	if strings.HasPrefix(x.Agent, "server with ACLs") {
		headers["X-Consul-Default-Acl-Policy"] = "allow" // access rules come to a face that does not know of them
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value := rep.Header.Get(name)
		if value != headers[name] && (value == "" || !slices.Contains(variable, name)) {
			t.Errorf("header %s is %q, want %q", name, value, headers[name])
		}
	}
	for name := range rep.Header {
		if _, known := x.Headers[name]; !known && name != "Date" && name != "Content-Length" && !strings.HasPrefix(name, "X-Hanse-") {
			t.Errorf("header %s: %s is not known", name, rep.Header.Get(name))
		}
	}
}

func unzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// normal is a body without what varies from one agent to the next: indexes, the order
// of tags, and the order of the lines of a text.
func normal(body []byte, text bool) string {
	var out strings.Builder
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if !text && len(body) > 0 && normalValue(&out, dec, "") == nil {
		rest := body[dec.InputOffset():]
		return out.String() + string(rest)
	}
	lines := strings.Split(string(body), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// normalValue rewrites the next value, keeping the order of its keys.
func normalValue(out *strings.Builder, dec *json.Decoder, key string) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case json.Delim:
		closing := map[json.Delim]string{'{': "}", '[': "]"}[v]
		var parts []string
		texts := true
		for dec.More() {
			var part strings.Builder
			name := ""
			if v == '{' {
				token, err := dec.Token()
				if err != nil {
					return err
				}
				name = token.(string)
				part.WriteString(strconv.Quote(name) + ":")
			}
			if err := normalValue(&part, dec, name); err != nil {
				return err
			}
			texts = texts && v == '[' && strings.HasPrefix(part.String(), `"`)
			parts = append(parts, part.String())
		}
		if _, err := dec.Token(); err != nil {
			return err
		}
		if texts {
			slices.Sort(parts)
		}
		out.WriteString(v.String() + strings.Join(parts, ",") + closing)
	case json.Number:
		switch key {
		case "CreateIndex", "ModifyIndex", "Index", "LastIndex", "Hash":
			out.WriteString("#")
		default:
			out.WriteString(v.String())
		}
	case string:
		if key == "ContentHash" {
			v = "#"
		}
		out.WriteString(strconv.Quote(v))
	default:
		fmt.Fprint(out, v)
	}
	return nil
}

// newWorld starts the agents that were asked, with what they held, and returns their URLs.
func newWorld(t *testing.T, exchanges []golden.HTTP) map[string]string {
	t.Helper()
	response := func(note string) string {
		for i := range exchanges {
			if exchanges[i].Note == note {
				return exchanges[i].Response
			}
		}
		t.Fatalf("there is no exchange %q", note)
		return ""
	}
	dc1 := newServer(t, "dc1", raft.Server{ID: "a1a1a1a1-0000-4000-8000-000000000001", Address: "127.31.1.1:27300"}, unencrypted())
	dc2 := newServer(t, "dc2", raft.Server{ID: "b2b2b2b2-0000-4000-8000-000000000002", Address: "127.31.2.1:27300"}, noKeys("beta"))
	fill(t, dc1, dc2)
	trust(t, dc1)
	servers := map[string]*server{"dc1": dc1, "dc2": dc2}
	dc9 := newServer(t, "dc9", raft.Server{}, noKeys("lonely"))

	start := func(c *callers, agent *body) string {
		return listen(t, New(Config{
			Caller: c, Cache: newCache(t, c), Agent: agent, Local: recordedLocal(t), Leaves: newLeaves(t, c), Events: c.servers[c.here].events, Resolver: c.resolver, Datacenter: c.here, Node: "alpha",
			MaxValue: 512 << 10, MaxTxn: 512 << 10, Log: hclog.NewNullLogger(),
			Tokens: newTokens(t), ACLs: len(c.resolver.(tokens)) > 0,
		})).URL
	}
	all := tokens{}
	secure := newServer(t, "dc1", raft.Server{ID: "s"}, secureRing())
	secure.register(t, `{"Node":"secure","Address":"127.31.3.1","Service":{"Service":"consul"}}`)
	return map[string]string{
		"server dc1":       start(&callers{"dc1", servers, all}, &body{lan: members(t, response("members")), wan: members(t, response("members of the WAN"))}),
		"client agent dc1": start(&callers{"dc1", servers, all}, &body{lan: members(t, response("members"))}),
		"server without a leader": start(
			&callers{"dc9", map[string]*server{"dc9": dc9}, all}, &body{}),
		"server with ACLs (default deny)": start(
			&callers{"dc1", map[string]*server{"dc1": secure}, tokens{"5ec2e700-0000-4000-8000-00000000a004": stranger{}}}, &body{}),
	}
}

// members are those of an answer, as serf knows them.
func members(t *testing.T, answer string) []serf.Member {
	t.Helper()
	var shown []Member
	if err := json.Unmarshal([]byte(answer), &shown); err != nil {
		t.Fatal(err)
	}
	all := make([]serf.Member, len(shown))
	for i, m := range shown {
		all[i] = serf.Member{
			Name: m.Name, Addr: net.ParseIP(m.Addr), Port: m.Port, Tags: m.Tags, Status: serf.MemberStatus(m.Status),
			ProtocolMin: m.ProtocolMin, ProtocolMax: m.ProtocolMax, ProtocolCur: m.ProtocolCur,
			DelegateMin: m.DelegateMin, DelegateMax: m.DelegateMax, DelegateCur: m.DelegateCur,
		}
	}
	return all
}

// unencrypted is the ring of pools without keys: every operation fails.
func unencrypted() *ring {
	fail := func(wan bool, dc string, nodes ...string) *operator.KeyringResponse {
		r := &operator.KeyringResponse{WAN: wan, Datacenter: dc, Messages: map[string]string{}}
		for _, n := range nodes {
			r.Messages[n] = "Keyring is empty (encryption not enabled)"
		}
		r.Error = fmt.Sprintf("%d/%d nodes reported failure", len(nodes), len(nodes))
		return r
	}
	return &ring{
		node: "alpha", remoteDC: []string{"dc2"},
		remote: &operator.KeyringResponses{Responses: []*operator.KeyringResponse{fail(false, "dc2", "beta")}},
		answer: func(wan bool, _, _ string) *operator.KeyringResponse {
			if wan {
				return fail(true, "dc1", "beta.dc2", "alpha.dc1")
			}
			return fail(false, "dc1", "gamma", "tuned", "alpha")
		},
	}
}

// secureRing is the ring of one server with keys.
func secureRing() *ring {
	const first, second = "tmTmUmFZ7jVnqLKk2kC5Uu7dVYvJh0b8kq3pVxk9mGc=", "bXlvdGhlcmtleW15b3RoZXJrZXk9PT09PT09PT09PT0="
	return &ring{node: "secure", answer: func(wan bool, operation, key string) *operator.KeyringResponse {
		r := &operator.KeyringResponse{WAN: wan, Datacenter: "dc1", NumNodes: 1, Keys: map[string]int{first: 1}, PrimaryKeys: map[string]int{first: 1}}
		node, trouble := "secure", ""
		if wan {
			node = "secure.dc1"
		}
		switch {
		case operation == "use" && key != second:
			trouble = "Requested key is not in the keyring"
		case operation == "remove" && key == second:
			trouble = "Removing the primary key is not allowed"
		}
		if trouble != "" {
			r.Error, r.Messages = "1/1 nodes reported failure", map[string]string{node: trouble}
		}
		return r
	}}
}

func reader(content string) io.Reader {
	if content == "" {
		return nil
	}
	if n, what, ok := cutTimes(content); ok {
		content = strings.Repeat(what, n)
		if strings.HasPrefix(what, "{") {
			content = "[" + strings.TrimSuffix(strings.Repeat(what+",", n), ",") + "]"
		}
	}
	return strings.NewReader(content)
}

// cutTimes reads the short form of a long body: <129 times x>.
func cutTimes(content string) (n int, what string, ok bool) {
	inner, ok := strings.CutPrefix(content, "<")
	if !ok {
		return 0, "", false
	}
	count, what, ok := strings.Cut(strings.TrimSuffix(inner, ">"), " times ")
	n, err := strconv.Atoi(count)
	return n, strings.TrimSuffix(what, " in a list"), ok && err == nil
}
