package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

// solo starts a server that is alone and leads, on disk.
func solo(t testing.TB, dir string, change ...func(*Config)) *member {
	t.Helper()
	c := newCluster()
	m := c.start(t, "a", dir, change...)
	if !m.HasState() {
		c.bootstrap(t, m)
	}
	return leader(t, m)
}

func TestRestartKeepsEveryAcknowledgedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var want []string
		for start := range 3 {
			m := solo(t, dir)
			if got := m.journal.texts(); !slices.Equal(got, want) {
				t.Fatalf("start %d reads %q, want %q", start, got, want)
			}
			for i := range 5 {
				want = append(want, fmt.Sprint(start, ".", i))
				put(t, m, want[len(want)-1])
			}
			m.stop(t)
		}
	})
}

func TestSnapshotAndTruncatedLogSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		m := solo(t, dir, func(c *Config) { c.TrailingLogs = 2 })
		var want []string
		for i := range 20 {
			want = append(want, fmt.Sprint(i))
			put(t, m, want[i])
		}
		meta, r, err := m.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		want = append(want, "after")
		put(t, m, "after")
		m.stop(t)

		w := openTestWAL(t, dir)
		first, err := w.FirstIndex()
		if err != nil || first < meta.Index-2 {
			t.Fatalf("log begins at %d (%v) after a snapshot at %d", first, err, meta.Index)
		}
		w.Close()
		m = solo(t, dir)
		if got := m.journal.texts(); !slices.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
		again, r, err := m.Snapshot(t.Context()) // without a new command
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if again.Index <= meta.Index || again.Size == 0 {
			t.Errorf("the snapshot after the one at %d is %+v", meta.Index, again)
		}
	})
}

func TestLogThatEndsBeforeTheSnapshotGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		m := solo(t, dir)
		want := []string{"a", "b", "c"}
		for _, text := range want {
			put(t, m, text)
		}
		meta, r, err := m.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		m.stop(t)
		w := openTestWAL(t, dir)
		last, err := w.LastIndex()
		if err != nil || last < meta.Index {
			t.Fatalf("the log ends at %d (%v) after a snapshot at %d", last, err, meta.Index)
		}
		if err := w.DeleteRange(meta.Index-1, last); err != nil {
			t.Fatal(err)
		}
		w.Close()
		for range 2 {
			m = solo(t, dir)
			want = append(want, "later")
			put(t, m, "later")
			if got := m.journal.texts(); !slices.Equal(got, want) {
				t.Errorf("read %q, want %q", got, want)
			}
			m.stop(t)
		}
	})
}

func TestSnapshotOfAServerWithoutALeaderIsItsLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		c := newCluster()
		m := c.start(t, "a", dir)
		if _, _, err := m.Snapshot(t.Context()); !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			t.Errorf("snapshot of nothing: %v", err)
		}
		c.start(t, "b", "")
		c.start(t, "c", "")
		c.bootstrap(t, m)
		put(t, leader(t, slices.Collect(maps.Values(c.nodes))...), "x")
		if err := m.waitUntilRead(t); err != nil {
			t.Fatal(err)
		}
		taken, r, err := m.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		m.stop(t)
		alone := newCluster().start(t, "a", dir)
		meta, r, err := alone.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if meta.Index != taken.Index {
			t.Errorf("latest snapshot is at %d, want %d", meta.Index, taken.Index)
		}
	})
}

func openTestWAL(t testing.TB, dir string) *wal.WAL {
	t.Helper()
	w, err := openWAL(filepath.Join(dir, "raft", "wal"), hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A follower that must give up the end of its log writes on from there.
func TestLogReadsWholeAfterItsTailWasTruncated(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "raft", "wal"), 0o700); err != nil {
		t.Fatal(err)
	}
	store := func(w *wal.WAL, from, to, term uint64) {
		t.Helper()
		for i := from; i <= to; i++ {
			if err := w.StoreLog(&raft.Log{Index: i, Term: term, Data: fmt.Appendf(nil, "%d in %d", i, term)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	w := openTestWAL(t, dir)
	store(w, 1, 100, 1)
	if err := w.DeleteRange(51, 100); err != nil {
		t.Fatal(err)
	}
	store(w, 51, 120, 2)
	for restart := range 2 {
		for i := uint64(1); i <= 120; i++ {
			want := fmt.Sprintf("%d in 1", i)
			if i > 50 {
				want = fmt.Sprintf("%d in 2", i)
			}
			var l raft.Log
			if err := w.GetLog(i, &l); err != nil || string(l.Data) != want {
				t.Fatalf("restart %d: entry %d is %q, %v; want %q", restart, i, l.Data, err, want)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		w = openTestWAL(t, dir)
	}
	w.Close()
}

// segmentFile returns the only segment of a log.
func segmentFile(t testing.TB, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "raft", "wal", "*.wal"))
	if err != nil || len(files) != 1 {
		t.Fatalf("segments: %v, %v", files, err)
	}
	return files[0]
}

// written returns a segment's bytes and where the written part ends.
func written(t testing.TB, path string) (data []byte, end int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n, err := checkSegment(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return data, int(n)
}

// filled is a data directory with ten acknowledged writes, and these.
func filled(t testing.TB) (dir string, texts []string) {
	t.Helper()
	dir = t.TempDir()
	m := solo(t, dir)
	for i := range 10 {
		put(t, m, fmt.Sprint("write ", i))
	}
	texts = m.journal.texts()
	m.stop(t)
	return dir, texts
}

func TestTornLastWriteIsDropped(t *testing.T) {
	for name, torn := range map[string]func([]byte) []byte{
		"half a batch":           func(batch []byte) []byte { return batch[:len(batch)/2] },
		"only its second half":   func(batch []byte) []byte { clear(batch[:len(batch)/2]); return batch },
		"garbage":                func(batch []byte) []byte { return bytes.Repeat([]byte{0xa5}, 4096) },
		"all but its commit":     func(batch []byte) []byte { return batch[:len(batch)-frameHeader] },
		"its commit, no content": func(batch []byte) []byte { clear(batch[:len(batch)-frameHeader]); return batch },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, want := filled(t)
				path := segmentFile(t, dir)
				data, end := written(t, path)
				w := openTestWAL(t, dir)
				last, err := w.LastIndex()
				if err != nil {
					t.Fatal(err)
				}
				// What the next write would have put there, interrupted.
				if err := w.StoreLogs([]*raft.Log{
					{Index: last + 1, Term: 9, Data: []byte("never acknowledged")},
					{Index: last + 2, Term: 9, Data: []byte("neither this")},
				}); err != nil {
					t.Fatal(err)
				}
				w.Close()
				after, newEnd := written(t, path)
				copy(data[end:], torn(bytes.Clone(after[end:newEnd])))
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
				m := solo(t, dir)
				if got := m.journal.texts(); !slices.Equal(got, want) {
					t.Errorf("read %q, want %q", got, want)
				}
				want = append(want, "more")
				put(t, m, "more")
				m.stop(t)
				if got := solo(t, dir).journal.texts(); !slices.Equal(got, want) {
					t.Errorf("after one more start: read %q, want %q", got, want)
				}
			})
		})
	}
}

func TestDamageInsideTheLogStopsTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, want := filled(t)
		path := segmentFile(t, dir)
		good, end := written(t, path)
		last := end // where the last batch begins
		for last -= frameHeader; ; last -= frameHeader {
			if n, _ := checkSegment(bytes.NewReader(good[:end-1]), int64(end-1)); int(n) == last {
				break
			}
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for at := 0; at < last; at += 13 {
			bad := bytes.Clone(good[:end])
			bad[at] ^= 0x40
			if _, err := f.WriteAt(bad, 0); err != nil {
				t.Fatal(err)
			}
			err := openFails(t, dir)
			if !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), path) {
				t.Fatalf("byte %d of %d flipped: error is %q, want %v in %s", at, end, err, errDamaged, path)
			}
			now := make([]byte, end)
			if _, err := f.ReadAt(now, 0); err != nil || !bytes.Equal(now, bad) {
				t.Fatalf("byte %d flipped: the file was changed (%v)", at, err)
			}
		}
		if _, err := f.WriteAt(good[:end], 0); err != nil {
			t.Fatal(err)
		}
		if got := solo(t, dir).journal.texts(); !slices.Equal(got, want) {
			t.Errorf("mended: read %q, want %q", got, want)
		}
	})
}

// openFails opens a node on dir, and returns the error it must end with.
func openFails(t testing.TB, dir string) error {
	t.Helper()
	_, trans := raft.NewInmemTransport("a:8300")
	n, err := Open(Config{
		DataDir: dir, NodeID: "a", Transport: trans, FSM: newJournal(),
		Peers: link{newCluster(), "a"}, Log: testLog(t, "a"),
	})
	if err == nil {
		n.Shutdown()
		t.Fatal("the node started")
	}
	return err
}

func TestLogWithoutItsMetadataStopsTheStart(t *testing.T) {
	for name, spoil := range map[string]func(string) error{
		"missing":   os.Remove,
		"garbage":   func(p string) error { return os.WriteFile(p, bytes.Repeat([]byte("garbage "), 8192), 0o600) },
		"truncated": func(p string) error { return os.Truncate(p, 5000) },
		"empty":     func(p string) error { return os.Truncate(p, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, _ := filled(t)
				segment := segmentFile(t, dir)
				if err := spoil(filepath.Join(dir, "raft", "wal", "wal-meta.db")); err != nil {
					t.Fatal(err)
				}
				err := openFails(t, dir)
				if !strings.Contains(err.Error(), "wal-meta.db") || !strings.Contains(err.Error(), "backup") {
					t.Errorf("error is %q, want the file and what to do", err)
				}
				if _, err := os.Stat(segment); err != nil {
					t.Errorf("the segment: %v", err)
				}
			})
		})
	}
}

func TestDirectoryInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		m := solo(t, dir)
		err := openFails(t, dir)
		for _, want := range []string{dir, "locked by another agent", fmt.Sprint("process ", os.Getpid()), "-data-dir"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error is %q, want %q in it", err, want)
			}
		}
		m.stop(t)
		lock, err := LockDir(dir)
		if err != nil {
			t.Fatalf("lock after the end: %v", err)
		}
		solo(t, dir, func(c *Config) { c.Lock = lock }).stop(t)
		if err := lock.Unlock(); err != nil {
			t.Error(err)
		}
	})
}

func TestDirectoryThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := openFails(t, filepath.Join(file, "data"))
	if !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "-data-dir") {
		t.Errorf("error is %q", err)
	}
}

func TestRecoveryFileMakesTheOnlyOneLeftLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		dir := t.TempDir()
		a := c.start(t, "a", dir)
		b, d := c.start(t, "b", ""), c.start(t, "c", "")
		c.bootstrap(t, a)
		l := leader(t, a, b, d)
		put(t, l, "kept")
		if err := a.waitUntilRead(t); err != nil {
			t.Fatal(err)
		}
		for _, m := range []*member{a, b, d} {
			c.kill(t, m)
		}
		path := filepath.Join(dir, "raft", "peers.json")
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(`["a:8300"]`)
		if err := openFails(t, dir); !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), `"id"`) {
			t.Errorf("bad file: %v", err)
		}
		write(`[{"id": "a", "address": "a:8300", "non_voter": false}]`)
		a = leader(t, newCluster().start(t, "a", dir))
		put(t, a, "more")
		if got, want := a.journal.texts(), []string{"kept", "more"}; !slices.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the recovery file stays: %v", err)
		}
		a.stop(t)
		a = leader(t, newCluster().start(t, "a", dir))
		if got, want := a.journal.texts(), []string{"kept", "more"}; !slices.Equal(got, want) {
			t.Errorf("after a restart: read %q, want %q", got, want)
		}
	})
}
