package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/hanse-project/hanse/consensus/archive"
)

// recordedSnapshot is an archive that Consul made. It has 19 records of nodes,
// services and checks, and 50 keys.
const recordedSnapshot = "../../consensus/archive/testdata/consul-1.21.4.snap"

func readSnapshot(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(recordedSnapshot)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestInspectionLooksLikeConsuls prints the figures of a recorded inspection.
func TestInspectionLooksLikeConsuls(t *testing.T) {
	const want = ` ID           2-106-1795226089948
 Size         80470
 Index        106
 Term         2
 Version      1

 Type                        Count      Size
 ----                        ----       ----
 Register                    127        71.1KB
 ConnectCAProviderState      1          1.1KB
 PreparedQuery               3          1KB
 KVS                         8          643B
 ----                        ----       ----
 Total                                  78.6KB
`
	meta := raft.SnapshotMeta{ID: "2-106-1795226089948", Size: 80470, Index: 106, Term: 2, Version: 1}
	state := stateUsage{typesSize: 80470, types: []usage{
		{"Register", 72_800, 127}, {"ConnectCAProviderState", 1130, 1}, {"PreparedQuery", 1030, 3}, {"KVS", 643, 8},
	}}
	var out bytes.Buffer
	if err := printSnapshot(&out, meta, state); err != nil || out.String() != want {
		t.Errorf("%v\n%s\nwant:\n%s", err, out.String(), want)
	}
}

func TestInspectCountsRecords(t *testing.T) {
	for args, want := range map[string][]string{
		"":                                    {" Register                     19         11.9KB\n", " KVS                          50 ", " Total                                   36.3KB\n"},
		"-kvdetails":                          {" data/a            12 ", " locks/leader      1 "},
		"-kvdetails -kvdepth=1":               {" data          45 "},
		"-kvdetails -kvfilter=locks/":         {" locks/job         1          125B\n", " Total                        246B\n"},
		"-format=json -kvdetails -kvdepth=99": {`"Name": "locks/leader"`, `"TotalSize": 37197`},
	} {
		stdout, stderr, exit := hanse(t, "", append(append([]string{"snapshot", "inspect"}, strings.Fields(args)...), recordedSnapshot)...)
		for _, w := range want {
			if exit != 0 || !strings.Contains(stdout, w) {
				t.Errorf("%q: exit %d, %s no %q in\n%s", args, exit, stderr, w, stdout)
			}
		}
	}
}

// TestInspectReadsADataDirectory takes the state out of an archive, as it lies in
// the data directory of a server.
func TestInspectReadsADataDirectory(t *testing.T) {
	packed, err := archive.Read(bytes.NewReader(readSnapshot(t)), t.TempDir(), maxState)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	state, err := io.ReadAll(packed.State())
	if err != nil {
		t.Fatal(err)
	}
	meta, err := json.Marshal(packed.Meta)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string][]byte{rawState: state, rawMeta: meta} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, _, _ := hanse(t, "", "snapshot", "inspect", recordedSnapshot)
	got, stderr, exit := hanse(t, "", "snapshot", "inspect", filepath.Join(dir, rawState))
	if exit != 0 || got != want {
		t.Errorf("exit %d, %s\n%s\nwant:\n%s", exit, stderr, got, want)
	}
	if err := os.WriteFile(filepath.Join(dir, rawState), state[:len(state)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, exit := hanse(t, "", "snapshot", "inspect", filepath.Join(dir, rawState)); exit != 1 || !strings.HasPrefix(stderr, "Error extracting snapshot data: ") {
		t.Errorf("a torn state: exit %d, %s", exit, stderr)
	}
}

func TestInspectRefuses(t *testing.T) {
	dir := t.TempDir()
	damaged := filepath.Join(dir, "damaged.snap")
	if err := os.WriteFile(damaged, readSnapshot(t)[:2000], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, args, want string }{
		{"a damaged archive", damaged, "Error reading snapshot: "},
		{"a state without its metadata", filepath.Join(dir, rawState), "Error opening snapshot file: "},
		{"no file", "", "Missing FILE argument"},
		{"two files", "a b", "Too many arguments (expected 1, got 2)"},
		{"a depth of nothing", "-kvdetails -kvdepth=0 a", "-kvdepth is 0: use at least 1"},
		{"a filter of nothing", "-kvfilter=a a", "can only be used with -kvdetails"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stdout, stderr, exit := hanse(t, "", append([]string{"snapshot", "inspect"}, strings.Fields(tc.args)...)...)
			if exit != 1 || stdout != "" || !strings.Contains(stderr, tc.want) {
				t.Errorf("exit %d, %q, %q", exit, stdout, stderr)
			}
		})
	}
}

// serveSnapshot is an agent that answers with a snapshot and with its recorded
// description of itself.
func serveSnapshot(t *testing.T, snapshot []byte) {
	t.Helper()
	var self string
	for _, a := range decodeLines[answer](t, recordedAnswers) {
		if a.Path == "/v1/agent/self" {
			self = a.Body
		}
	}
	serveAgent(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/snapshot":
			w.Write(snapshot)
		case "/v1/agent/self":
			io.WriteString(w, self)
		}
	})
}

func TestSaveKeepsOnlyGoodSnapshots(t *testing.T) {
	good := readSnapshot(t)
	t.Chdir(t.TempDir())

	serveSnapshot(t, good)
	stdout, stderr, exit := hanse(t, "", "snapshot", "save", "a.snap")
	if exit != 0 || stdout != "Saved and verified snapshot to index 118\n" {
		t.Fatalf("exit %d, %q, %q", exit, stdout, stderr)
	}
	serveSnapshot(t, good[:len(good)/2])
	if _, stderr, exit = hanse(t, "", "snapshot", "save", "a.snap"); exit != 1 || !strings.HasPrefix(stderr, "Error saving snapshot: ") {
		t.Errorf("half a snapshot: exit %d, %q", exit, stderr)
	}
	saved, err := os.ReadFile("a.snap")
	if err != nil || !bytes.Equal(saved, good) {
		t.Errorf("the good file was touched: %d bytes, %v", len(saved), err)
	}
	if left, err := filepath.Glob("*"); err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

func TestSaveAppendsToTheName(t *testing.T) {
	good := readSnapshot(t)
	t.Chdir(t.TempDir())
	serveSnapshot(t, good)
	_, stderr, exit := hanse(t, "", "snapshot", "save", "-append-filename=node,status,version,dc", "a.snap")
	if _, err := os.Stat("a-1.21.4-dc1-alpha-leader.snap"); exit != 0 || err != nil {
		t.Errorf("exit %d, %s, %v", exit, stderr, err)
	}
	if _, stderr, exit = hanse(t, "", "snapshot", "save", "-append-filename=nodes", "a.snap"); exit != 1 || !strings.Contains(stderr, `does not know "nodes"`) {
		t.Errorf("exit %d, %s", exit, stderr)
	}
}

func TestRestoreSendsTheFile(t *testing.T) {
	var got []byte
	serveAgent(t, func(_ http.ResponseWriter, r *http.Request) { got, _ = io.ReadAll(r.Body) })
	stdout, stderr, exit := hanse(t, "", "snapshot", "restore", recordedSnapshot)
	if exit != 0 || stdout != "Restored snapshot\n" || !bytes.Equal(got, readSnapshot(t)) {
		t.Errorf("exit %d, %q, %q, sent %d bytes", exit, stdout, stderr, len(got))
	}
}

func TestByteSize(t *testing.T) {
	for n, want := range map[int]string{0: "0B", 643: "643B", 1023: "1023B", 1024: "1KB", 72_800: "71.1KB", 3 << 29: "1.5GB"} {
		if got := byteSize(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

// FuzzMeasureState feeds inspect states that anyone may have written.
func FuzzMeasureState(f *testing.F) {
	packed, err := archive.Read(bytes.NewReader(readSnapshot(f)), f.TempDir(), maxState)
	if err != nil {
		f.Fatal(err)
	}
	defer packed.Close()
	state, err := io.ReadAll(packed.State())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(state[:300]) // longer ones take the fuzzer a minute each to minimise
	f.Add([]byte("\x81\xa9LastIndex\x01\x02\x81\xa3Key\xa3a/b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := measureState(bytes.NewReader(data), keyGrouping{depth: 1})
		if err == nil && (got.typesSize > len(data) || got.keysSize > got.typesSize) {
			t.Errorf("%d bytes measured as %+v", len(data), got)
		}
	})
}
