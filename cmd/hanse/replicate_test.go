package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hanse-project/hanse/replicate"
)

// settings parses a command line and the files it names.
func settings(t *testing.T, args ...string) (*replicateSettings, []string, error) {
	t.Helper()
	clearEnvironment(t)
	fs := newFlagSet()
	s := replicateFlags(fs)
	if err := fs.Parse(args); err != nil {
		return nil, nil, err
	}
	warnings, err := s.readFiles(fs)
	return s, warnings, err
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const replicateHCL = `
consul {
  address = "10.0.0.1:8500"
  token   = "abcd"
  auth { enabled = true username = "me" password = "pw" }
  retry { attempts = 7 backoff = "2s" max_backoff = "5s" }
  ssl { enabled = true verify = false ca_cert = "ca.pem" server_name = "x" }
  transport { dial_timeout = "1s" }
}
kill_signal = "SIGTERM"
reload_signal = "SIGHUP"
log_level = "warn"
max_stale = "10m"
pid_file = "/run/x.pid"
wait { min = "5s" max = "10s" }
syslog { enabled = true facility = "LOCAL5" }
status_dir = "service/mine"
max_delete_fraction = 0.25
prefix { source = "global/" datacenter = "nyc1" }
prefix { source = "web@x/" datacenter = "nyc1" destination = "default/" }
prefix { source = "old/@nyc1" }
exclude { source = "global/private" }
`

const replicateJSON = `{
  "consul": {"address": "10.0.0.1:8500", "token": "abcd", "auth": {"username": "me", "password": "pw"},
    "retry": {"attempts": 7, "backoff": "2s", "max_backoff": "5s"},
    "ssl": {"enabled": true, "verify": false, "ca_cert": "ca.pem", "server_name": "x"}, "transport": {"dial_timeout": "1s"}},
  "kill_signal": "SIGTERM", "reload_signal": "SIGHUP", "log_level": "warn", "max_stale": "10m", "pid_file": "/run/x.pid",
  "wait": {"min": "5s", "max": "10s"}, "syslog": {"enabled": true, "facility": "LOCAL5"},
  "status_dir": "service/mine", "max_delete_fraction": 0.25,
  "prefix": [{"source": "global/", "datacenter": "nyc1"}, {"source": "web@x/", "datacenter": "nyc1", "destination": "default/"}, {"source": "old/@nyc1"}],
  "exclude": [{"source": "global/private"}]
}`

func TestReplicateReadsFilesOfConsulReplicate(t *testing.T) {
	for name, text := range map[string]string{"replicate.hcl": replicateHCL, "replicate.json": replicateJSON} {
		t.Run(name, func(t *testing.T) {
			s, warnings, err := settings(t, "-config", writeFile(t, name, text), "-log-level=debug", "-token=flag")
			if err != nil {
				t.Fatal(err)
			}
			links, err := s.links()
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, l := range links {
				names = append(names, l.String())
			}
			if want := []string{"global/@nyc1", "web@x/@nyc1:default/", "old/@nyc1"}; !reflect.DeepEqual(names, want) {
				t.Errorf("links %q", names)
			}
			got := []any{s.client.addr, s.client.token, s.auth, s.ssl, s.sslVerify, s.client.caFile, s.client.tlsServerName,
				s.retry, s.killSignal.String(), s.killSignal.Signal.String(), s.logLevel.Level.String(), s.maxStale, s.pidFile, s.quiet.Quiet,
				s.syslog, s.syslogFacility, s.statusPath, s.maxDeleteFraction, links[0].Excludes}
			want := []any{"10.0.0.1:8500", "flag", "me:pw", true, false, "ca.pem", "x",
				replicate.Retry{Attempts: 7, Base: 2 * time.Second, Max: 5 * time.Second}, "", "terminated", "debug", 10 * time.Minute, "/run/x.pid",
				replicate.Quiet{Min: 5 * time.Second, Max: 10 * time.Second}, true, "LOCAL5", "service/mine", 0.25, []string{"global/private"}}
			for i := range want {
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Errorf("setting %d is %v, want %v", i, got[i], want[i])
				}
			}
			if all := strings.Join(warnings, "\n"); len(warnings) != 2 || !strings.Contains(all, "reload_signal has no effect") || !strings.Contains(all, "consul.transport has no effect") {
				t.Errorf("warnings %q", warnings)
			}
		})
	}
}

func TestReplicateReadsItsOwnKeys(t *testing.T) {
	s, _, err := settings(t)
	if err != nil || s.verifyInterval != 10*time.Minute || !s.repair || !s.lock || s.lockTTL != 10*time.Second {
		t.Errorf("without settings: %+v, %v", s, err)
	}
	s, _, err = settings(t, "-config", writeFile(t, "own.hcl", `verify_interval = "90s" repair = false lock = false lock_ttl = "15s"`))
	if err != nil || s.verifyInterval != 90*time.Second || s.repair || s.lock || s.lockTTL != 15*time.Second {
		t.Errorf("from a file: %+v, %v", s, err)
	}
}

func TestReplicateReadsOldFiles(t *testing.T) {
	s, _, err := settings(t, "-config", writeFile(t, "old.hcl", `
		consul = "127.0.0.1:9" token = "abcd" retry = "10s"
		auth { enabled = true username = "me" }
		ssl { enabled = true verify = false }
		wait = "1s:3s"`))
	if err != nil {
		t.Fatal(err)
	}
	if s.client.addr != "127.0.0.1:9" || s.client.token != "abcd" || s.retry.Base != 10*time.Second || s.auth != "me" || !s.ssl || s.sslVerify || s.quiet.Max != 3*time.Second {
		t.Errorf("%+v", s)
	}
}

func TestReplicateReadsAFolderInOrder(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"10.hcl":       `max_stale = "1s"  prefix { source = "a/" datacenter = "x" }`,
		"20/more.json": `{"max_stale": "2s", "prefix": {"source": "b/@x"}}`,
		".hidden":      `no = "way"`,
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, _, err := settings(t, "-config", dir, "-prefix", "c/@x")
	if err != nil {
		t.Fatal(err)
	}
	if s.maxStale != 2*time.Second || len(s.prefixes) != 3 {
		t.Errorf("max_stale %v, prefixes %v", s.maxStale, s.prefixes)
	}
}

func TestReplicateNamesMistakesInFiles(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"unknown keys":         {`max_stall = "1s" consul { retry { backof = "1s" } }`, []string{"key max_stall is unknown: the nearest known one is max_stale", "key consul.retry.backof is unknown: the nearest known one is consul.retry.backoff"}},
		"unknown key of block": {`prefix { source = "a@b" destinatin = "x" }`, []string{"prefix.destinatin", "prefix.destination"}},
		"no source":            {`prefix { datacenter = "x" }`, []string{"block 1 of prefix has no source"}},
		"no datacenter":        {`prefix { source = "x/" }`, []string{"names no datacenter"}},
		"prefix is a string":   {`prefix = "x@y"`, []string{"key prefix is no block"}},
		"exclude of nothing":   {`exclude { source = "" }`, []string{"exclude every key"}},
		"bad duration":         {`max_stale = "10 minutes"`, []string{`key max_stale is "10 minutes"`}},
		"bad signal":           {`kill_signal = "SIGWHAT"`, []string{"use one of SIGHUP, SIGINT"}},
		"bad level":            {`log_level = "loud"`, []string{"trace, debug, info, warn or err"}},
		"a list":               {`log_level = ["info"]`, []string{"log_level is a list"}},
		"not HCL":              {`prefix {`, []string{"not valid HCL"}},
		"not JSON":             {`{"prefix": [}`, []string{"not valid JSON"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, "bad.hcl", c.text)
			_, _, err := settings(t, "-config", path)
			for _, want := range append(c.want, path) {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v\ndoes not say %q", err, want)
				}
			}
		})
	}
}

func FuzzReplicateFile(f *testing.F) {
	f.Add(replicateHCL)
	f.Add(replicateJSON)
	f.Add(`wait { min = 5 } prefix { source = ["x"] }`)
	f.Fuzz(func(t *testing.T, text string) {
		file, err := parseReplicateFile([]byte(text))
		if err != nil {
			return
		}
		for _, l := range file.prefixes {
			if l.SourceDC == "" {
				t.Fatalf("%q gives a link without a datacenter", text)
			}
		}
		fs := newFlagSet()
		file.apply(replicateFlags(fs), fs, nil)
	})
}

func TestReplicateRefusesBadCommandLines(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "Nothing to replicate"},
		{[]string{"-prefix", "config/"}, "names no datacenter"},
		{[]string{"-prefix", "config/@x", "stray"}, "Too many arguments"},
		{[]string{"-prefx", "config/@x"}, "Did you mean -prefix?"},
		{[]string{"-wait", "soon", "-prefix", "config/@x"}, "invalid duration"},
		{[]string{"-config", "/no/such/file"}, "/no/such/file"},
		{[]string{"-prefix", "config/@x", "-lock-ttl", "0s"}, "-lock-ttl is 0s"},
		{[]string{"-prefix", "config/@x", "-verify-interval", "-1m"}, "-verify-interval is -1m0s"},
		{[]string{"-prefix", "config/@x", "-pid-file", "/no/such/dir/pid"}, "-pid-file"},
		{[]string{"-prefix", "config/@x", "-once", "-http-addr", "127.0.0.1:1", "-consul-retry-attempts", "2", "-consul-retry-backoff", "1ms"}, "no agent at http://127.0.0.1:1 after 2 attempts"},
	} {
		clearEnvironment(t)
		_, stderr, exit := hanse(t, "", append([]string{"replicate"}, c.args...)...)
		if exit != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit %d, %s", c.args, exit, stderr)
		}
	}
}

func TestReplicateTalksOverASocket(t *testing.T) {
	clearEnvironment(t)
	path := filepath.Join(t.TempDir(), "http.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "pw" || r.Header.Get("X-Consul-Token") != "abcd" {
			t.Errorf("credentials %q %q %q", user, password, r.Header)
		}
		io.WriteString(w, "{}")
	})}
	go srv.Serve(listener)
	t.Cleanup(func() { srv.Close() })
	_, stderr, exit := hanse(t, "", "replicate", "-prefix=a@b", "-http-addr=unix://"+path, "-consul-auth=me:pw", "-consul-token=abcd", "-consul-retry=false")
	if exit != 1 || !strings.Contains(stderr, "is this an agent's HTTP API?") || strings.Contains(stderr, ":pw") {
		t.Errorf("exit %d, %s", exit, stderr)
	}
}

func TestProgressLine(t *testing.T) {
	for _, c := range []struct {
		status replicate.Status
		total  int
		from   int // of what was done two seconds before
		i, n   int
		want   string
	}{
		{replicate.Status{Link: "a/@x", Compared: 7, Applied: 3, Bytes: 1536}, 14, 7, 0, 1, "a/@x [==========          ]  50% 7 compared, 3 set, 1.5 KiB"},
		{replicate.Status{Link: "a/@x", Compared: 7, Applied: 3, Bytes: 9}, 6, 0, 0, 1, "a/@x [====================] 100% 7 compared, 3 set, 9 B, 4/s"},
		{replicate.Status{Link: "a/@x", Compared: 7, Applied: 3, Bytes: 2 << 20}, 0, 7, 1, 3, "2/3 a/@x 7 compared, 3 set, 2.0 MiB"},
		{replicate.Status{Link: "a/@x", State: replicate.Retrying}, 5, 0, 0, 1, "a/@x  retrying"},
		{replicate.Status{Link: "a/@x", Compared: 300, Total: 1200, Applied: 3, Bytes: 9}, 0, 100, 0, 1, "a/@x [=====               ]  25% 300 compared, 3 set, 9 B, 100/s, 9s left"},
	} {
		now := time.Now()
		p := pace{total: c.total}
		before := c.status
		before.Compared = c.from
		p.see(before, now.Add(-2*time.Second))
		p.see(c.status, now)
		if got := progressLine(c.status, p, c.i, c.n); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestADryRunFindsItsRecords(t *testing.T) {
	var out strings.Builder
	d := &dryRun{out: &out, records: map[string]dryRecord{}}
	ops := []replicate.Op{{Key: "a", Value: []byte("xyz")}, {Kind: replicate.DeleteKey, Key: "b"}, {Kind: replicate.AdoptKey, Key: "c"}}
	index := uint64(6)
	var err error
	for range 2 { // whatever is told is told once
		if index, err = d.Apply(t.Context(), replicate.Batch{Record: replicate.Record{Key: "r", Value: []byte("1"), Index: index}, Ops: ops}); err != nil {
			t.Fatal(err)
		}
	}
	value, found, loadErr := d.Load(t.Context(), "r")
	if loadErr != nil || index != 8 || found != 8 || string(value) != "1" || out.String() != "would set a (3 bytes)\nwould delete b\n" {
		t.Errorf("index %d, then %d, %q, %v, %q", index, found, value, loadErr, out.String())
	}
}

func TestLogLinesPassAboveTheBar(t *testing.T) {
	var out strings.Builder
	p := &progress{out: &out}
	p.Write([]byte("one\n"))
	p.draw("50%")
	p.Write([]byte("two\n"))
	p.draw("")
	p.Write([]byte("three\n"))
	if want := "one\n" + clearLine + "50%" + clearLine + "two\n50%" + clearLine + "three\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}
