package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
)

// clearEnvironment hides what the tester's own environment says about agents,
// and puts back afterwards what a test or command changes in it.
func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "CONSUL_") || strings.HasPrefix(name, "HANSE_") {
			t.Setenv(name, "")
		}
	}
	for _, name := range clientVariables {
		t.Setenv("CONSUL_"+name, "")
		t.Setenv("HANSE_"+name, "")
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	for _, c := range commands {
		for _, flag := range []string{"-h", "-help", "--help"} {
			out, stderr, exit := hanse(t, "", append(strings.Fields(c.name), flag)...)
			if exit != 0 || stderr != "" || !strings.HasPrefix(out, "Usage: hanse "+c.name) {
				t.Errorf("%s %s: exit %d, stderr %q, help:\n%s", c.name, flag, exit, stderr, out)
			}
			for line := range strings.Lines(out) {
				if len(line) > 81 {
					t.Errorf("%s: line too long: %s", c.name, line)
				}
			}
		}
		if len(c.examples) == 0 {
			t.Errorf("%s has no example", c.name)
		}
	}
}

func TestExamplesParse(t *testing.T) {
	for _, c := range commands {
		for _, example := range c.examples {
			found, rest, ok := find(strings.Fields(example))
			if !ok || found.prepare == nil || (c.prepare != nil && found.name != c.name) {
				t.Errorf("%s: example %q runs %q", c.name, example, found.name)
				continue
			}
			fs := newFlagSet()
			found.prepare(fs)
			if err := fs.Parse(rest); err != nil {
				t.Errorf("%s: example %q: %v", c.name, example, err)
			}
		}
	}
}

func TestEveryCommandHasAGroup(t *testing.T) {
	for _, c := range commands {
		words := strings.Fields(c.name)
		for n := 1; n < len(words); n++ {
			group, _, ok := find(words[:n])
			acts := group.name == "replicate" // it was there before what is below it
			if !ok || group.prepare != nil && !acts || group.name != strings.Join(words[:n], " ") {
				t.Errorf("%s: no group %q", c.name, strings.Join(words[:n], " "))
			}
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	clearEnvironment(t)
	for _, tc := range []struct {
		name string
		args string
		exit int
		want string
	}{
		{"an unknown flag names the nearest", "kv get -recrse config/", 1, "Did you mean -recurse?"},
		{"two dashes are one", "kv get --recrse config/", 1, "Did you mean -recurse?"},
		{"a bad flag value says which", "kv put -flags=x a b", 1, "invalid value \"x\" for flag -flags"},
		{"a bad pair says how", "catalog nodes -node-meta=rack", 1, "use key=value"},
		{"a bad format says which there are", "members -format=xml", 1, "use pretty or json"},
		{"an unknown command names the nearest", "membrs", 127, "Did you mean \"members\"?"},
		{"a command like none is no riddle", "qqq", 127, "Unknown command \"qqq\".\n\nUsage:"},
		{"a flag like none is none either", "leave -qqq", 1, "flag provided but not defined: -qqq\n\nUsage:"},
		{"a command cut short names the whole", "snap", 127, "Did you mean \"snapshot\"?"},
		{"an unknown subcommand names the nearest", "kv gte a", 1, "Did you mean \"kv get\"?"},
		{"a flag before the command", "-stale kv get a", 1, "Invalid flags before the subcommand"},
		{"too many values", "kv put a b c", 1, "Too many arguments (expected 1 or 2, got 3)"},
		{"a value that is no base64", "kv put -base64 a !", 1, "Cannot base 64 decode data"},
		{"a value from a missing file", "kv put a @/nonexistent", 1, "Error! Failed to read file: open /nonexistent"},
		{"delete of everything by accident", "kv delete -recurse", 1, "Error! Missing KEY argument"},
		{"delete with cas and recurse", "kv delete -cas -recurse a", 1, "Cannot specify both -cas and -recurse!"},
		{"delete with cas alone", "kv delete -cas a", 1, "Must specify -modify-index with -cas!"},
		{"delete with an index alone", "kv delete -modify-index=1 a", 1, "Cannot specify -modify-index without -cas!"},
		{"nothing to import", "kv import", 1, "Error! Missing DATA argument"},
		{"no peer to remove", "operator raft remove-peer", 1, "Error removing peer: an address or id is required for the peer to remove"},
		{"two peers to remove", "operator raft remove-peer -id=a -address=b", 1, "Error removing peer: cannot give both an address and id"},
		{"no file to restore", "snapshot restore", 1, "Missing FILE argument"},
		{"a missing file to restore", "snapshot restore /nonexistent", 1, "Error opening snapshot file: open /nonexistent"},
		{"a missing token file", "kv get -token-file=/nonexistent a", 1, "Error loading token file /nonexistent"},
		{"an address that makes no sense", "kv get -http-addr=ftp://x a", 1, "Error connecting to Consul agent: Unknown protocol scheme: ftp"},
		{"leave with an argument", "leave now", 1, "Too many arguments (expected 0, got 1)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stdout, stderr, exit := hanse(t, "", strings.Fields(tc.args)...)
			if exit != tc.exit || stdout != "" || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit %d, stdout %q, stderr:\n%s", exit, stdout, stderr)
			}
		})
	}
}

func TestHelpAfterArgumentsAndNotAfterTwoDashes(t *testing.T) {
	recordedAgent(t)
	if stdout, _, exit := hanse(t, "", "kv", "get", "none", "-h"); exit != 0 || !strings.HasPrefix(stdout, "Usage:") {
		t.Errorf("exit %d, stdout %q", exit, stdout)
	}
	if stdout, stderr, exit := hanse(t, "", "kv", "get", "--", "none", "-h"); exit != 1 || stdout != "" {
		t.Errorf("exit %d, stdout %q, stderr %q", exit, stdout, stderr)
	}
}

// TestWhichSettingWins asks for the token that reaches the agent.
func TestWhichSettingWins(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name          string
		consul, hanse string
		args          []string
		want          string
	}{
		{"nothing is set", "", "", nil, ""},
		{"CONSUL_HTTP_TOKEN", "consul", "", nil, "consul"},
		{"HANSE_HTTP_TOKEN", "", "hanse", nil, "hanse"},
		{"HANSE_ before CONSUL_", "consul", "hanse", nil, "hanse"},
		{"a flag before both", "consul", "hanse", []string{"-token=flag"}, "flag"},
		{"a file before a flag", "consul", "", []string{"-token=flag", "-token-file=" + file}, "from-file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got string
			serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
				got = r.Header.Get("X-Consul-Token")
				io.WriteString(w, `["dc1"]`)
			})
			t.Setenv("CONSUL_HTTP_TOKEN", tc.consul)
			t.Setenv("HANSE_HTTP_TOKEN", tc.hanse)
			if _, stderr, exit := hanse(t, "", append([]string{"catalog", "datacenters"}, tc.args...)...); exit != 0 {
				t.Fatalf("exit %d: %s", exit, stderr)
			}
			if got != tc.want {
				t.Errorf("token %q, want %q", got, tc.want)
			}
		})
	}
}

// TestFlagsReachTheAgent looks at the request that a command line makes.
func TestFlagsReachTheAgent(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"kv get -stale -datacenter=dc2 a", "GET /v1/kv/a?dc=dc2&stale="},
		{"kv get -namespace=n -partition=p a", "GET /v1/kv/a?ns=n&partition=p"},
		{"kv get -keys -separator= config/", "GET /v1/kv/config/?keys="},
		{"kv get -keys", "GET /v1/kv/?keys=&separator=%2F"},
		{"kv get /config/limit", "GET /v1/kv/config/limit?"},
		{"kv put -acquire -session=s a b", "PUT /v1/kv/a?acquire=s"},
		{"kv put -release -session=s a b", "PUT /v1/kv/a?release=s"},
		{"kv put -cas -modify-index=7 -flags=9 a b", "PUT /v1/kv/a?cas=7&flags=9"},
		{"kv delete -cas -modify-index=7 a", "DELETE /v1/kv/a?cas=7"},
		{"kv delete -recurse a/", "DELETE /v1/kv/a/?recurse="},
		{"join -wan 10.0.0.1", "PUT /v1/agent/join/10.0.0.1?wan=1"},
		{"force-leave -prune -wan n.dc2", "PUT /v1/agent/force-leave/n.dc2?prune=1&wan=1"},
		{"members -wan -filter=x", "GET /v1/agent/members?filter=x&segment=_all&wan=1"},
		{"members -segment=s", "GET /v1/agent/members?segment=s"},
		{"catalog nodes -near=_agent -filter=x -node-meta=a=b", "GET /v1/catalog/nodes?filter=x&near=_agent&node-meta=a%3Ab"},
		{"catalog services -node-meta=a=b", "GET /v1/catalog/services?node-meta=a%3Ab"},
		{"operator raft remove-peer -id=x", "DELETE /v1/operator/raft/peer?id=x"},
		{"operator raft list-peers -stale", "GET /v1/operator/raft/configuration?stale="},
		{"leave", "PUT /v1/agent/leave?"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			var got string
			serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
				got = r.Method + " " + r.URL.Path + "?" + r.URL.Query().Encode()
				http.Error(w, "seen", http.StatusTeapot)
			})
			hanse(t, "", strings.Fields(tc.args)...)
			if got != tc.want {
				t.Errorf("asked %s, want %s", got, tc.want)
			}
		})
	}
}

func TestPutSendsItsData(t *testing.T) {
	file := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(file, []byte("from\nfile"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"an argument", []string{"value"}, "value"},
		{"no argument", nil, ""},
		{"an empty argument", []string{""}, ""},
		{"a file", []string{"@" + file}, "from\nfile"},
		{"the standard input", []string{"-"}, "from stdin"},
		{"an argument that begins with a dash", []string{"-1"}, "-1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []byte
			serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
				got, _ = io.ReadAll(r.Body)
				io.WriteString(w, "true")
			})
			_, stderr, exit := hanse(t, "from stdin", append([]string{"kv", "put", "key"}, tc.args...)...)
			if exit != 0 || string(got) != tc.want {
				t.Errorf("sent %q, want %q; exit %d, %s", got, tc.want, exit, stderr)
			}
		})
	}
}

func TestImportWritesAllOrNothing(t *testing.T) {
	var written []string
	serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
		written = append(written, r.URL.Path)
		io.WriteString(w, "true")
	})
	bad := `[{"key":"a","value":"MQ=="},{"key":"b","value":"not base64"}]`
	if _, stderr, exit := hanse(t, bad, "kv", "import", "-"); exit != 1 || len(written) > 0 ||
		!strings.Contains(stderr, "Error base 64 decoding value for key b") {
		t.Errorf("exit %d, wrote %v, %s", exit, written, stderr)
	}
	good := `[{"key":"a","value":"MQ=="},{"key":"d/","value":""}]`
	stdout, _, exit := hanse(t, "", "kv", "import", "-prefix=copy", good)
	if exit != 0 || stdout != "Imported: copy/a\nImported: copy/d/\n" ||
		!reflect.DeepEqual(written, []string{"/v1/kv/copy/a", "/v1/kv/copy/d/"}) {
		t.Errorf("exit %d, wrote %v, said %q", exit, written, stdout)
	}
}

func TestJoinSucceedsIfOneAnswers(t *testing.T) {
	serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "bad") {
			http.Error(w, "no", http.StatusInternalServerError)
		}
	})
	stdout, stderr, exit := hanse(t, "", "join", "bad", "good")
	if exit != 0 || stdout != "Successfully joined cluster by contacting 1 nodes.\n" || !strings.Contains(stderr, "'bad'") {
		t.Errorf("exit %d, %q, %q", exit, stdout, stderr)
	}
}

func TestJSONBesideTables(t *testing.T) {
	recordedAgent(t)
	for _, args := range []string{
		"members", "members -wan", "info", "operator raft list-peers", "catalog datacenters",
		"catalog nodes -service=web", "catalog nodes -node-meta=rack=r1", "catalog services",
		"catalog services -node=ext1", "version",
	} {
		stdout, stderr, exit := hanse(t, "", strings.Fields(args+" -format=json")...)
		if exit != 0 || !json.Valid([]byte(stdout)) || len(stdout) < 10 {
			t.Errorf("%s: exit %d, %s\n%s", args, exit, stderr, stdout)
		}
	}
}

// TestVersionForPrograms reads the version as consul/sdk's test server does.
func TestVersionForPrograms(t *testing.T) {
	stdout, _, exit := hanse(t, "", "version", "-format=json")
	var v struct{ Version string }
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || exit != 0 || v.Version != "1.21.4" {
		t.Errorf("exit %d, %v, %q", exit, err, stdout)
	}
	for _, args := range [][]string{{"version"}, {"-v"}, {"-version"}, {"--version"}} {
		stdout, _, exit = hanse(t, "", args...)
		if exit != 0 || !strings.HasPrefix(stdout, "Hanse v") || !strings.Contains(stdout, "\nConsul v1.21.4") {
			t.Errorf("%v: exit %d, %q", args, exit, stdout)
		}
	}
}

func TestKeygenMakesNewKeys(t *testing.T) {
	first, _, _ := hanse(t, "", "keygen")
	second, _, _ := hanse(t, "", "keygen")
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(first))
	if err != nil || len(key) != 32 || first == second {
		t.Errorf("keys %q and %q, %v", first, second, err)
	}
}

func TestPeersThatTrail(t *testing.T) {
	rows := peerRows([]*api.RaftServer{
		{Node: "bob", Leader: true, LastIndex: 1167},
		{Node: "carol", LastIndex: 1159},
		{Node: "dave", LastIndex: 1170},
	})
	for i, want := range []string{"Trails Leader By", "-", "8 commits", "0 commits"} {
		if got := rows[i][len(rows[i])-1]; got != want {
			t.Errorf("row %d: %q, want %q", i, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"recurse", "keys", "http-addr"}
	for word, want := range map[string]string{
		"recurs": "recurse", "key": "keys", "http_addr": "http-addr", "": "keys",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
	if got := nearest("word", nil); got != "" {
		t.Errorf("nearest of nothing is %q", got)
	}
}

// FuzzImport feeds kv import files that anyone may have written. What it
// accepts comes out of an export as it went in.
func FuzzImport(f *testing.F) {
	f.Add([]byte(`[{"key":"a","flags":3,"value":"MQ=="}]`))
	f.Add([]byte(`[{"key":"d/","value":""},null]`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		pairs, err := importPairs(data, "")
		if err != nil {
			return
		}
		again, err := json.Marshal(exportPairs(pairs))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := importPairs(again, ""); err != nil || !reflect.DeepEqual(back, pairs) {
			t.Errorf("%v came back as %v, %v", pairs, back, err)
		}
	})
}
