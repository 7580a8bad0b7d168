package badinput

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/hanse-project/hanse/test/lab"
)

const written = 60

// killed is a server alone that was killed, with a snapshot and a log behind it.
func killed(t *testing.T) *lab.Node {
	t.Helper()
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 1),
		lab.Flags("-hcl", `raft_snapshot_threshold = 20, raft_snapshot_interval = "50ms", raft_trailing_logs = 5`))
	n := fed.DC("shanghai").Nodes[0]
	for i := range written {
		n.Put(t, "", fmt.Sprintf("k/%d", i), fmt.Sprint(i))
	}
	lab.Until(t, "a snapshot was taken", func() error {
		if found := snapshots(t, n); len(found) == 0 {
			return fmt.Errorf("there are %v", found)
		}
		return nil
	})
	n.Put(t, "", "last", "word")
	n.Kill(t)
	return n
}

func snapshots(t *testing.T, n *lab.Node) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(n.DataDir(), "raft", "snapshots", "*[0-9]", "state.bin"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// segment is the newest file of the log, with the number of bytes used in it.
func segment(t *testing.T, n *lab.Node) (path string, text []byte, used int) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(n.DataDir(), "raft", "wal", "*.wal"))
	if err != nil || len(found) == 0 {
		t.Fatalf("segments of the log: %v (%v)", found, err)
	}
	path = found[len(found)-1]
	if text, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, text, len(bytes.TrimRight(text, "\x00"))
}

func overwrite(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// digests are those of all files of the log and its snapshots.
func digests(t *testing.T, n *lab.Node) map[string][32]byte {
	t.Helper()
	found := map[string][32]byte{}
	err := filepath.WalkDir(filepath.Join(n.DataDir(), "raft"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		found[path] = sha256.Sum256(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// wholeAgain starts the server and wants everything that it acknowledged.
func wholeAgain(t *testing.T, n *lab.Node) {
	t.Helper()
	n.Start(t)
	n.WaitFor(t, "last", "word")
	pairs, _, err := n.API(t).KV().List("k/", nil)
	if err != nil || len(pairs) != written {
		t.Errorf("%d of %d keys are there (%v)", len(pairs), written, err)
	}
	n.Put(t, "", "later", "on")
}

// again are the flags to start the server's data once more, beside nobody.
func again(n *lab.Node) []string {
	addr := address()
	return []string{"-server", "-node", n.Name, "-datacenter", "shanghai", "-bootstrap-expect", "1", "-bind", addr, "-client", addr, "-data-dir", n.DataDir()}
}

func TestTornEndOfTheLogIsDropped(t *testing.T) {
	n := killed(t)
	path, text, used := segment(t, n)
	copy(text[used+8:], bytes.Repeat([]byte{0xa5}, 100)) // a write that was under way
	overwrite(t, path, text)
	wholeAgain(t, n)
}

func TestDamageStopsTheStart(t *testing.T) {
	n := killed(t)
	good := t.TempDir()
	if err := os.CopyFS(good, os.DirFS(n.DataDir())); err != nil {
		t.Fatal(err)
	}
	repair := func() {
		t.Helper()
		if err := os.RemoveAll(n.DataDir()); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(n.DataDir(), os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		damage func()
		want   []string
	}{
		"inside the log": {func() {
			path, text, used := segment(t, n)
			for i := range 16 {
				text[used/2+i] ^= 0xff
			}
			overwrite(t, path, text)
		}, []string{"the log is damaged", "nothing was changed on disk", "move the raft directory away", "backup"}},
		"of the snapshots": {func() {
			for _, path := range snapshots(t, n) {
				if err := os.Truncate(path, 40); err != nil {
					t.Fatal(err)
				}
			}
		}, []string{"nothing was changed on disk", "snapshot", "backup"}},
		"of the log's list": {func() { overwrite(t, filepath.Join(n.DataDir(), "raft", "wal", "wal-meta.db"), []byte("garbage")) },
			[]string{"nothing was changed on disk", "wal-meta.db"}},
		"of the node ID": {func() { overwrite(t, filepath.Join(n.DataDir(), "node-id"), []byte("garbage")) },
			[]string{"does not hold a node ID", "node-id", "remove the file"}},
		"of the keyring": {func() { overwrite(t, filepath.Join(n.DataDir(), "serf", "local.keyring"), []byte("garbage")) },
			[]string{"repair it, or remove it", "local.keyring"}},
		"of the list of those left": {func() { overwrite(t, filepath.Join(n.DataDir(), "raft", "peers.json"), []byte("garbage")) },
			[]string{"remove the file to start without recovery", "peers.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.damage()
			before := digests(t, n)
			refused(t, nil, again(n), c.want...)
			if after := digests(t, n); !maps.Equal(before, after) {
				t.Error("the start that failed has changed the log or the snapshots")
			}
			repair()
		})
	}
	wholeAgain(t, n)
}

func TestRememberedMembersThatAreGarbageAreForgotten(t *testing.T) {
	n := killed(t)
	for _, name := range []string{"local.snapshot", "remote.snapshot"} {
		overwrite(t, filepath.Join(n.DataDir(), "serf", name), []byte("garbage\x00\xff\nalive: \n"))
	}
	wholeAgain(t, n)
}
