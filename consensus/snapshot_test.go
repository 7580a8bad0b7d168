package consensus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

func TestTornSnapshot(t *testing.T) {
	tear := func(file string) func(t *testing.T, snap string) {
		return func(t *testing.T, snap string) {
			if err := os.Truncate(filepath.Join(snap, file), 10); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, file := range []string{"state.bin", "meta.json"} {
		for name, tc := range map[string]struct {
			trailing uint64
			fails    bool
		}{
			"with the whole log starts from the log":  {trailing: 1000},
			"that the log depends on stops the start": {trailing: 1, fails: true},
		} {
			t.Run(file+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					dir := t.TempDir()
					m := solo(t, dir, func(c *Config) { c.TrailingLogs = tc.trailing })
					var want []string
					for i := range 20 {
						want = append(want, fmt.Sprint(i))
						put(t, m, want[i])
						if i%9 == 8 { // an older one that is whole, and the newest
							_, r, err := m.Snapshot(t.Context())
							if err != nil {
								t.Fatal(err)
							}
							r.Close()
						}
					}
					list, err := m.snaps.List()
					if err != nil {
						t.Fatal(err)
					}
					m.stop(t)
					tear(file)(t, filepath.Join(dir, "raft", "snapshots", list[0].ID))
					if tc.fails {
						err := openFails(t, dir)
						if !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), list[0].ID) {
							t.Errorf("error is %q, want %v in %s", err, errDamaged, list[0].ID)
						}
						return
					}
					if got := solo(t, dir).journal.texts(); !slices.Equal(got, want) {
						t.Errorf("read %q, want %q", got, want)
					}
				})
			})
		}
	}
}

// raft starts with none of the snapshots that it can list only if there are none.
func TestTornSnapshotThatIsTheOnlyOneStopsTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, want := filled(t)
		m := solo(t, dir)
		meta, r, err := m.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		m.stop(t)
		snap := filepath.Join(dir, "raft", "snapshots", meta.ID)
		if err := os.Truncate(filepath.Join(snap, "state.bin"), 10); err != nil {
			t.Fatal(err)
		}
		metadata := filepath.Join(dir, "raft", "wal", "wal-meta.db")
		before, err := os.ReadFile(metadata)
		if err != nil {
			t.Fatal(err)
		}
		err = openFails(t, dir)
		if !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), meta.ID) || !strings.Contains(err.Error(), "move the snapshots away") {
			t.Errorf("error is %q, want %v in %s and what to do", err, errDamaged, meta.ID)
		}
		if after, err := os.ReadFile(metadata); err != nil || !bytes.Equal(after, before) {
			t.Errorf("%s was changed by the start that failed (%v)", metadata, err)
		}
		if err := os.Rename(snap, filepath.Join(t.TempDir(), meta.ID)); err != nil {
			t.Fatal(err)
		}
		if got := solo(t, dir).journal.texts(); !slices.Equal(got, want) {
			t.Errorf("without the snapshot: read %q, want %q", got, want)
		}
	})
}

func TestRestoreReachesFollowersAndRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		dirs := map[string]string{"a": t.TempDir(), "b": t.TempDir(), "c": t.TempDir()}
		var nodes []*member
		for _, name := range []string{"a", "b", "c"} {
			nodes = append(nodes, c.start(t, name, dirs[name]))
		}
		c.bootstrap(t, nodes[0])
		l := leader(t, nodes...)
		put(t, l, "before")
		index := l.RestoreIndex()
		state, err := json.Marshal(journalState{Index: index, Rows: []row{{index, "restored"}}})
		if err != nil {
			t.Fatal(err)
		}
		f := except(l, nodes)[0]
		if err := f.waitUntilRead(t); err != nil {
			t.Fatal(err)
		}
		if err := f.Restore(t.Context(), index, bytes.NewReader(state), int64(len(state))); !errors.Is(err, ErrNotLeader) {
			t.Errorf("restore on a follower: %v", err)
		}
		if err := l.Restore(t.Context(), 5, bytes.NewReader(state), int64(len(state))); !errors.Is(err, ErrRestoreOutrun) {
			t.Errorf("restore at a low index: %v", err)
		}
		if err := l.Restore(t.Context(), index, bytes.NewReader(state), int64(len(state))); err != nil {
			t.Fatal(err)
		}
		if at := put(t, l, "after"); at <= index {
			t.Errorf("a write after the restore at %d got %d", index, at)
		}
		want := []string{"restored", "after"}
		for _, m := range nodes {
			if err := m.waitUntilRead(t); err != nil {
				t.Fatal(err)
			}
			if got := m.journal.texts(); !slices.Equal(got, want) {
				t.Errorf("%s reads %q, want %q", m.id, got, want)
			}
		}
		for _, m := range nodes {
			c.kill(t, m)
		}
		c = newCluster()
		nodes = nil
		for name, dir := range dirs {
			nodes = append(nodes, c.start(t, name, dir))
		}
		leader(t, nodes...)
		for _, m := range nodes {
			if err := m.waitUntilRead(t); err != nil {
				t.Fatal(err)
			}
			if got := m.journal.texts(); !slices.Equal(got, want) {
				t.Errorf("restarted %s reads %q, want %q", m.id, got, want)
			}
		}
	})
}
