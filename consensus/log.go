package consensus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
)

// logCache is how many of the newest entries followers are sent from memory: two
// full append messages.
const logCache = 128

// segmentSize is what a segment is allocated with. A start reads all of the last one,
// and a small datacenter should not take 64 MB (raft-wal's own) for it on each server.
const segmentSize = 16 << 20

// openWAL opens the log in dir, which exists and is locked by us. A second opener
// would wait for the first without a word.
func openWAL(dir string, log hclog.Logger) (w *wal.WAL, err error) {
	if err := checkMeta(dir); err != nil {
		return nil, err
	}
	// The metadata is a bbolt file, which answers damage with a panic or, being
	// mapped into memory, with a fault.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	meta := &metadb.BoltMetaDB{}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %w: %v; %s", filepath.Join(dir, metadb.FileName), errDamaged, p, damageAdvice)
		}
		if err != nil {
			meta.Close() // which raft-wal leaves open
			w = nil
		}
	}()
	w, err = wal.Open(dir,
		wal.WithMetaStore(meta),
		wal.WithSegmentSize(segmentSize),
		wal.WithLogger(log.Named("wal")),
		wal.WithSegmentFiler(newCheckedFiler(dir, log)),
		wal.WithMetricsCollector(walMetrics{}))
	if _, fromSystem := errors.AsType[*fs.PathError](err); fromSystem {
		return nil, fmt.Errorf("open the log in %s: %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the log in %s: %w; %s", dir, err, damageAdvice)
	}
	return w, nil
}

// damageAdvice is what an operator can do about a log or a snapshot that cannot be
// trusted.
const damageAdvice = "nothing was changed on disk. If the other servers are well, move the raft directory away and start again: this server will fetch everything from the leader. Otherwise restore the directory from a backup of this disk, or start anew and restore a snapshot archive"

// checkMeta refuses segments without metadata: raft-wal would take them for
// left-overs and delete them.
func checkMeta(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, metadb.FileName)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(segments) == 0 {
		return err
	}
	return fmt.Errorf("%s: %w: %s is missing beside %d segments; %s", dir, errDamaged, metadb.FileName, len(segments), damageAdvice)
}

// walMetrics puts raft-wal's counters where raft's are. (Its own bridge knows an
// older go-metrics.)
type walMetrics struct{}

func (walMetrics) IncrementCounter(name string, delta uint64) {
	metrics.IncrCounter([]string{"raft", "wal", name}, float32(delta))
}

func (walMetrics) SetGauge(name string, value uint64) {
	metrics.SetGauge([]string{"raft", "wal", name}, float32(value))
}

// checkContinuity sees that the newest snapshot that can be read reaches the start
// of the log, and that no newer one is needed to bridge a hole. raft would panic on
// a hole, or start from an older state without a word. If it can list snapshots and
// read none, it does not start, though it has written its term by then.
//
// A log that ends before the newest snapshot does (its last entry was torn, or a
// restore was cut short) is emptied: the snapshot holds all of it, and raft goes on
// behind the snapshot, where this log would take nothing.
func checkContinuity(dir string, snaps raft.SnapshotStore, logs raft.LogStore, log hclog.Logger) error {
	first, err := logs.FirstIndex()
	if err != nil {
		return fmt.Errorf("first index of the log: %w", err)
	}
	last, err := logs.LastIndex()
	if err != nil {
		return fmt.Errorf("last index of the log: %w", err)
	}
	listed, err := snaps.List()
	if err != nil {
		return fmt.Errorf("list the snapshots: %w", err)
	}
	have, torn, err := newestSnapshot(dir, snaps)
	if err != nil {
		return err
	}
	switch {
	case last > 0 && first > have+1:
		return fmt.Errorf("%s: %w: entries %d to %d are neither in the log nor in a snapshot%s; %s",
			filepath.Dir(dir), errDamaged, have+1, first-1, torn, damageAdvice)
	case torn.index > max(have, last):
		return fmt.Errorf("%s: %w: the state up to index %d is only in a snapshot that cannot be read%s; %s",
			dir, errDamaged, torn.index, torn, damageAdvice)
	case have == 0 && len(listed) > 0:
		return fmt.Errorf("%s: %w: no snapshot can be read%s, but the log holds every entry from the first: move the snapshots away and start again, and nothing is lost; %s",
			dir, errDamaged, torn, damageAdvice)
	case last > 0 && last < have:
		log.Warn("the log ends before the newest snapshot, which holds all of it: the log begins anew there", "log_end", last, "snapshot", have)
		if err := logs.DeleteRange(first, last); err != nil {
			return fmt.Errorf("empty the log up to entry %d, which a snapshot holds: %w", last, err)
		}
	}
	return nil
}

// tornSnapshot is a snapshot on disk that cannot be read; the zero value is none.
type tornSnapshot struct {
	name  string
	index uint64
	err   error
}

func (t tornSnapshot) String() string {
	if t.name == "" {
		return ""
	}
	return fmt.Sprintf(" (snapshot %s: %v)", t.name, t.err)
}

// newestSnapshot returns the index of the newest snapshot whose checksum holds (0
// if there is none), and the newest that does not.
func newestSnapshot(dir string, snaps raft.SnapshotStore) (index uint64, torn tornSnapshot, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, torn, fmt.Errorf("list snapshots in %s: %w", dir, err)
	}
	for _, e := range entries {
		var term, at, msec uint64
		name := e.Name()
		if n, _ := fmt.Sscanf(name, "%d-%d-%d", &term, &at, &msec); n != 3 || !e.IsDir() || filepath.Ext(name) == ".tmp" {
			continue
		}
		if at <= index {
			continue
		}
		_, r, err := snaps.Open(name)
		if err != nil {
			if at > torn.index {
				torn = tornSnapshot{name: name, index: at, err: err}
			}
			continue
		}
		r.Close()
		index = at
	}
	return index, torn, nil
}
