package consensus

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// sealed makes a log of two segments, the first of them finished early.
func sealed(t testing.TB) (dir, first string) {
	t.Helper()
	dir = t.TempDir()
	walDir := filepath.Join(dir, "raft", "wal")
	if err := os.MkdirAll(walDir, 0o700); err != nil {
		t.Fatal(err)
	}
	w := openTestWAL(t, dir)
	defer w.Close()
	for i := range uint64(10) {
		if err := w.StoreLog(&raft.Log{Index: i + 1, Term: 1, Data: []byte("entry")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.DeleteRange(6, 10); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(walDir, "*.wal"))
	if err != nil || len(files) != 2 {
		t.Fatalf("segments: %v, %v", files, err)
	}
	slices.Sort(files)
	return dir, files[0]
}

func TestFinishedSegmentMustBeWhole(t *testing.T) {
	for name, spoil := range map[string]func(path string, end int64) error{
		"a byte flipped in its last batch": func(path string, end int64) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte{0xff}, end-frameHeader-4)
			return err
		},
		"cut in its last batch": func(path string, end int64) error { return os.Truncate(path, end-frameHeader) },
		"empty":                 func(path string, end int64) error { return os.Truncate(path, 0) },
		"missing":               func(path string, end int64) error { return os.Remove(path) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, path := sealed(t)
			_, end := written(t, path)
			if err := spoil(path, int64(end)); err != nil {
				t.Fatal(err)
			}
			w, err := openWAL(filepath.Join(dir, "raft", "wal"), hclog.NewNullLogger())
			if err == nil {
				w.Close()
				t.Fatal("the log opened")
			}
			if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "backup") {
				t.Errorf("error is %q, want the file and what to do", err)
			}
		})
	}
}

func TestLogOfManySegmentsReadsWhole(t *testing.T) {
	dir := t.TempDir()
	walDir := filepath.Join(dir, "raft", "wal")
	if err := os.MkdirAll(walDir, 0o700); err != nil {
		t.Fatal(err)
	}
	w := openTestWAL(t, dir)
	big := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	const entries = 3 * segmentSize / (1 << 20)
	for i := range uint64(entries) {
		if err := w.StoreLog(&raft.Log{Index: i + 1, Term: 1, Data: big}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if files, _ := filepath.Glob(filepath.Join(walDir, "*.wal")); len(files) < 3 {
		t.Fatalf("segments: %v", files)
	}
	w = openTestWAL(t, dir)
	defer w.Close()
	for i := range uint64(entries) {
		var l raft.Log
		if err := w.GetLog(i+1, &l); err != nil || !bytes.Equal(l.Data, big) {
			t.Fatalf("entry %d: %d bytes, %v", i+1, len(l.Data), err)
		}
	}
}

func FuzzCheckSegment(f *testing.F) {
	_, path := sealed(f)
	data, end := written(f, path)
	f.Add(data[:end])
	f.Add(data[:end+64])
	f.Add(data[:end-3])
	f.Add(slices.Concat(data[:segmentHeader], bytes.Repeat([]byte{frameEntry, 0, 0, 0, 8, 0, 0, 0}, 64)))
	f.Fuzz(func(t *testing.T, in []byte) {
		size := int64(len(in))
		got, err := checkSegment(bytes.NewReader(in), size)
		if err != nil {
			if !errors.Is(err, errDamaged) {
				t.Errorf("%v does not blame the log", err)
			}
			return
		}
		if got < 0 || got > size {
			t.Fatalf("the good part of %d bytes ends at %d", size, got)
		}
		if again, err := checkSegment(bytes.NewReader(in[:got]), got); err != nil || again != got {
			t.Errorf("the good part of %d bytes is checked to %d, %v", got, again, err)
		}
	})
}
