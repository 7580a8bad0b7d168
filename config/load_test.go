package config

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// parse runs a command line through the flags, without loading.
func parse(args ...string) (*Flags, error) {
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f := Register(fs)
	return f, ExplainFlag(fs, fs.Parse(args))
}

// load loads a command line that is expected to be right, and fails otherwise.
func load(t *testing.T, args ...string) (*Config, []string) {
	t.Helper()
	f, err := parse(args...)
	if err != nil {
		t.Fatalf("parse %q: %v", args, err)
	}
	c, warnings, err := f.Load()
	if err != nil {
		t.Fatalf("load %q: %v", args, err)
	}
	return c, warnings
}

// write makes files below a new folder, and returns the folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFolderIsMergedInOrder(t *testing.T) {
	dir := write(t, map[string]string{
		"10-base.hcl": `
			bind_addr  = "127.0.0.1"
			data_dir   = "/from-10"
			node_name  = "from-10"
			retry_join = ["a", "b"]
			node_meta { rack = "1" room = "2" }
			ports { http = 1001 dns = -1 }`,
		"20-more.json": `{"node_name": "from-20", "retry_join": ["c"], "node_meta": {"rack": "9"}, "ports": {"https": -1, "http": 1002}}`,
		"30-late.hcl":  `log_level = "warn"`,
		"ignored.txt":  `this is no configuration`,
		"sub/40.hcl":   `node_name = "from-a-subfolder"`,
		"dir.hcl/x":    `a folder whose name ends like a file's`,
	})
	c, _ := load(t, "-config-dir", dir, "-retry-join", "d", "-data-dir", "/from-flag", "-hcl", `data_dir = "/from-fragment" log_level = "err"`)
	if c.NodeName != "from-20" || c.DataDir != "/from-flag" || c.Log.Level != "ERROR" || c.Ports.HTTP != 1002 {
		t.Errorf("scalars: node %q, data %q, log %q, http %d", c.NodeName, c.DataDir, c.Log.Level, c.Ports.HTTP)
	}
	if want := []string{"a", "b", "c", "d"}; !slices.Equal(c.RetryJoinLAN.Addrs, want) {
		t.Errorf("retry_join is %q, want %q", c.RetryJoinLAN.Addrs, want)
	}
	if c.NodeMeta["rack"] != "9" || c.NodeMeta["room"] != "2" {
		t.Errorf("node_meta is %q", c.NodeMeta)
	}
}

func TestConfigFileTakesFoldersAndFormats(t *testing.T) {
	dir := write(t, map[string]string{"a.hcl": `node_name = "a"`, "b.conf": `node_name = "b"`})
	c, _ := load(t, "-dev", "-config-file", dir)
	if c.NodeName != "a" {
		t.Errorf("a folder as -config-file: node %q", c.NodeName)
	}
	c, _ = load(t, "-dev", "-config-format", "hcl", "-config-file", filepath.Join(dir, "b.conf"))
	if c.NodeName != "b" {
		t.Errorf("-config-format: node %q", c.NodeName)
	}
	// What is given later wins, whichever of the two flags names it.
	c, _ = load(t, "-dev", "-config-dir", dir, "-config-file", write(t, map[string]string{"z.hcl": `node_name = "z"`}))
	if c.NodeName != "z" {
		t.Errorf("order of the flags: node %q", c.NodeName)
	}
}

func TestLinkedFilesAreRead(t *testing.T) {
	dir := write(t, map[string]string{"..data/x.hcl": `node_name = "linked"`})
	if err := os.Symlink("..data/x.hcl", filepath.Join(dir, "x.hcl")); err != nil {
		t.Fatal(err)
	}
	if c, _ := load(t, "-dev", "-config-dir", dir); c.NodeName != "linked" {
		t.Errorf("node %q", c.NodeName)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := write(t, map[string]string{
		"bad.json":   "{\n  \"server\": true,\n  oops\n}",
		"list.json":  `["server"]`,
		"after.json": `{} {}`,
		"empty.json": ``,
		"bad.hcl":    "server = true\nports {\n",
		"deep.hcl":   "a = " + strings.Repeat("[", 100000),
		"x.yaml":     "server: true",
	})
	for name, want := range map[string]string{
		"bad.json":   "near line 3",
		"list.json":  "not valid JSON",
		"after.json": "more text after the closing brace",
		"empty.json": "not valid JSON",
		"bad.hcl":    "not valid HCL",
		"deep.hcl":   "nested deeper",
		"x.yaml":     "must end in .json or .hcl",
		"none.hcl":   "no such file",
	} {
		c, _, err := Load(filepath.Join(dir, name))
		if c != nil || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want its name and %q", name, err, want)
		}
	}
}

func TestFlagsExplainThemselves(t *testing.T) {
	for args, want := range map[string]string{
		"-boostrap-expect=3": "unknown flag -boostrap-expect: did you mean -bootstrap-expect?",
		"--htp-port=1":       "unknown flag -htp-port: did you mean -http-port?",
		"-whatever=1":        "unknown flag -whatever: -h shows",
		"-http-port=x":       "use a whole number",
		"-node-meta=rack":    "key:value",
		"-retry-interval=30": "unit",
		"-config-format=xml": "use json or hcl",
		"-config-file=":      "name a file or a folder",
		"-server=maybe":      "true or false",
	} {
		if _, err := parse(strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", args, err, want)
		}
	}
	if _, err := parse("-h"); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: error %v", err)
	}
}

// Every flag that an operator of a drop-in expects is there and does something.
func TestEveryFlagArrives(t *testing.T) {
	c, warnings := load(t, strings.Fields(`-server -bootstrap-expect 3 -data-dir /nowhere/hanse -node n1
		-node-id 8C0E3F2A-1b7d-4c55-9a3e-0f6d2b1c4e7a -node-meta rack:r1 -node-meta url:http://x:1 -bind 127.0.0.2
		-client 127.0.0.3 -advertise 127.0.0.4 -advertise-wan 127.0.0.5 -serf-lan-bind 127.0.0.6 -serf-wan-bind 127.0.0.7
		-datacenter Shanghai -domain example. -alt-domain alt -encrypt pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=
		-join j1 -join j2 -join-wan j3 -retry-join j4 -retry-join-wan j5 -retry-interval 1s -retry-interval-wan 2s
		-retry-max 4 -retry-max-wan 5 -rejoin -ui -http-port 1 -https-port -1 -dns-port 2 -server-port 3 -serf-lan-port 4
		-serf-wan-port 5 -recursor 9.9.9.9 -protocol 3 -raft-protocol 3 -log-level trace -log-file /l -log-json
		-log-rotate-bytes 10 -log-rotate-duration 2h -log-rotate-max-files 7 -syslog -pid-file /p
		-enable-script-checks -enable-local-script-checks -disable-host-node-id=false`)...)
	if len(warnings) != 0 {
		t.Errorf("warnings %q", warnings)
	}
	for name, pair := range map[string][2]any{
		"server": {c.Server, true}, "bootstrap-expect": {c.BootstrapExpect, 3}, "data-dir": {c.DataDir, "/nowhere/hanse"},
		"node": {c.NodeName, "n1"}, "node-id": {c.NodeID, "8c0e3f2a-1b7d-4c55-9a3e-0f6d2b1c4e7a"},
		"node-meta": {c.NodeMeta["rack"] + c.NodeMeta["url"], "r1http://x:1"}, "bind": {c.BindAddr, "127.0.0.2"},
		"client": {c.ClientAddrs[0], "127.0.0.3"}, "advertise": {c.AdvertiseAddrLAN, "127.0.0.4"},
		"advertise-wan": {c.AdvertiseAddrWAN, "127.0.0.5"}, "serf-lan-bind": {c.SerfBindAddrLAN, "127.0.0.6"},
		"serf-wan-bind": {c.SerfBindAddrWAN, "127.0.0.7"}, "datacenter": {c.Datacenter, "shanghai"},
		"primary": {c.PrimaryDatacenter, "shanghai"}, "domain": {c.Domain, "example"}, "alt-domain": {c.AltDomain, "alt"},
		"encrypt": {len(c.EncryptKey), 32}, "join": {strings.Join(c.StartJoinLAN, ","), "j1,j2"},
		"join-wan": {c.StartJoinWAN[0], "j3"}, "retry-join": {c.RetryJoinLAN.Addrs[0], "j4"},
		"retry-join-wan": {c.RetryJoinWAN.Addrs[0], "j5"}, "retry-interval": {c.RetryJoinLAN.Interval, time.Second},
		"retry-interval-wan": {c.RetryJoinWAN.Interval, 2 * time.Second}, "retry-max": {c.RetryJoinLAN.MaxAttempts, 4},
		"retry-max-wan": {c.RetryJoinWAN.MaxAttempts, 5}, "rejoin": {c.RejoinAfterLeave, true}, "ui": {c.UI, true},
		"ports": {c.Ports, Ports{Server: 3, SerfLAN: 4, SerfWAN: 5, HTTP: 1, HTTPS: -1, DNS: 2, GRPC: -1, GRPCTLS: -1, SidecarMin: 21000, SidecarMax: 21255}},
		"http":  {c.HTTPAddrs[0], "127.0.0.3:1"}, "recursor": {c.Recursors[0], "9.9.9.9:53"}, "protocol": {c.Protocol, 3},
		"raft": {c.RaftProtocol, 3},
		"log":  {fmt.Sprint(c.Log), fmt.Sprint(Log{"TRACE", true, "/l", 10, 2 * time.Hour, 7, true, "LOCAL0"})},
		"pid":  {c.PidFile, "/p"}, "scripts": {c.EnableScriptChecks && c.EnableLocalScriptChecks, true},
		"host-id": {c.DisableHostNodeID, false}, "dev": {c.DevMode || c.Bootstrap, false},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %v, want %v", name, pair[0], pair[1])
		}
	}
}

func TestHTTPSWithoutACertificateIsOff(t *testing.T) {
	c, warnings := load(t, "-dev", "-https-port", "8501")
	if len(c.HTTPSAddrs) != 0 {
		t.Errorf("HTTPS on %v", c.HTTPSAddrs)
	}
	if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, "needs a certificate") }) {
		t.Errorf("warnings %q do not say that HTTPS needs a certificate", warnings)
	}
}

func TestSocketFilesOfAllClientsAreForHTTPAlone(t *testing.T) {
	c, _ := load(t, "-dev", "-client", "127.0.0.1 unix:///tmp/h.sock")
	if want := []string{"127.0.0.1:8500", "unix:///tmp/h.sock"}; !slices.Equal(c.HTTPAddrs, want) {
		t.Errorf("HTTP on %v, want %v", c.HTTPAddrs, want)
	}
	if want := []string{"127.0.0.1:8600"}; !slices.Equal(c.DNSAddrs, want) {
		t.Errorf("DNS on %v, want %v", c.DNSAddrs, want)
	}
}

func TestAFileThatCannotBeReadIsTheOnlyMistake(t *testing.T) {
	for _, text := range []string{"server =", "a = 1\nfoo =  \n", "server"} {
		path := filepath.Join(t.TempDir(), "a.hcl")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), "not valid HCL") || strings.Contains(err.Error(), "data_dir") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSettingsWithoutEffectWarn(t *testing.T) {
	for _, key := range withoutEffect {
		if _, known := keys[key]; !known {
			t.Errorf("%s is no key", key)
		}
	}
	_, warnings := load(t, "-dev", "-hcl", `limits { rpc_handshake_timeout = "9s" rpc_client_timeout = "9s" }`)
	for _, want := range []string{"limits.rpc_handshake_timeout", "limits.rpc_client_timeout"} {
		if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, want+" was checked, and has no effect yet") }) {
			t.Errorf("warnings %q, want one on %s", warnings, want)
		}
	}
}

func TestOldNamesWorkAndWarn(t *testing.T) {
	c, warnings := load(t, "-dev", "-dc", "beijing", "-ui-dir", "/x", "-hcl", `client = "127.0.0.9" bind = "127.0.0.8" recursor = "1.1.1.1" acl_datacenter = "paris" acl_token = "t" acl { enabled = true tokens { agent_master = "m" } }`)
	if c.Datacenter != "beijing" || c.ClientAddrs[0] != "127.0.0.9" || c.BindAddr != "127.0.0.8" || len(c.Recursors) != 1 || c.PrimaryDatacenter != "paris" || c.ACL.Tokens != (ACLTokens{Default: "t", AgentRecovery: "m"}) {
		t.Errorf("loaded %+v", c)
	}
	for _, want := range []string{"-dc is an old name: write -datacenter", "client is an old name: write client_addr", "bind is an old name: write bind_addr", "-ui-dir was ignored",
		"acl_token is an old name: write acl.tokens.default", "acl.tokens.agent_master is an old name: write acl.tokens.agent_recovery", "acl.enabled is true, and access rules are not here yet"} {
		if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, want) }) {
			t.Errorf("warnings %q, want %q", warnings, want)
		}
	}
}

func TestKnownButUnsupportedKeysWarn(t *testing.T) {
	for name, note := range later {
		value := `{"x":1}`
		path := strings.Split(name, ".")
		if strings.HasSuffix(name, "_1.9") {
			path = []string{"telemetry", "disable_compat_1.9"}
		}
		for _, part := range slices.Backward(path) {
			value = fmt.Sprintf(`{%q: %s}`, part, value)
		}
		file := filepath.Join(write(t, map[string]string{"a.json": value}), "a.json")
		f, err := parse("-dev", "-config-file", file)
		if err != nil {
			t.Fatal(err)
		}
		_, warnings, err := f.Load()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := fmt.Sprintf("%s: %s was ignored: %s", file, name, note)
		if !slices.Contains(warnings, want) {
			t.Errorf("%s: warnings %q, want %q", name, warnings, want)
		}
	}
}

func TestEmptyValuesDoNotWarn(t *testing.T) {
	_, warnings := load(t, "-dev", "-node", "n", "-config-file", filepath.Join(write(t, map[string]string{
		"a.json": `{"segments": null, "acl": {"tokens": {}, "enabled": false}, "connect": {}, "watches": [], "ports": null, "audit": {"n": 0}}`,
	}), "a.json"))
	if len(warnings) > 0 {
		t.Errorf("warnings %q", warnings)
	}
}

func TestDefinitionsAreKept(t *testing.T) {
	dir := write(t, map[string]string{
		"a.hcl":  "service {\n name = \"web\"\n}\nservice {\n name = \"api\"\n}\ncheck {\n id = \"mem\"\n}",
		"b.json": `{"services": [{"name": "db", "port": 5432}], "checks": [{"name": "disk"}]}`,
	})
	c, warnings := load(t, "-dev", "-node", "n", "-config-dir", dir)
	var got []string
	for _, d := range c.Definitions {
		got = append(got, fmt.Sprintf("%s %s %v", filepath.Base(d.Source), d.Kind, cmp.Or(d.Body["name"], d.Body["id"])))
	}
	want := []string{"a.hcl check mem", "a.hcl service web", "a.hcl service api", "b.json check disk", "b.json service db"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("definitions %q, want %q", got, want)
	}
	if len(warnings) != 0 {
		t.Errorf("warnings %q", warnings)
	}
}
