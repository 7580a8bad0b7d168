// Package storetest lets tests drive a store without a cluster.
package storetest

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hanse-project/hanse/store"
)

// Log is the log of a datacenter of one server whose disk is perfect: what is proposed
// is committed and applied at once. It is safe for concurrent use.
type Log struct {
	store *store.Store

	mu   sync.Mutex
	last uint64
}

// New makes a store of the given modules, and its log, which begins at index 1.
func New(t testing.TB, modules ...store.Module) (*store.Store, *Log) {
	t.Helper()
	s, err := store.New(modules...)
	if err != nil {
		t.Fatal(err)
	}
	return s, &Log{store: s}
}

// Propose implements [store.Log].
func (l *Log) Propose(_ context.Context, entry []byte) (any, uint64, error) {
	responses, index := l.Batch(entry)
	return responses[0], index, nil
}

// Batch applies entries as one batch, and returns what each returned, and the index of
// the last.
func (l *Log) Batch(entries ...[]byte) ([]any, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	logs := make([]*raft.Log, len(entries))
	for i, entry := range entries {
		l.last++
		logs[i] = &raft.Log{Index: l.last, Type: raft.LogCommand, Data: entry}
	}
	return l.store.ApplyBatch(logs), l.last
}

// SkipTo makes index the last one, as after a snapshot was restored at it.
func (l *Log) SkipTo(index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = index
}

// Encode makes an entry, or fails the test.
func Encode(t testing.TB, op store.Op, cmd any) []byte {
	t.Helper()
	entry, err := store.Encode(op, time.Now(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

// Snapshot is the stream of a snapshot of s, as raft would keep it.
func Snapshot(t testing.TB, s *store.Store) io.ReadCloser {
	t.Helper()
	taken, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Release()
	var to sink
	if err := taken.Persist(&to); err != nil {
		t.Fatal(err)
	}
	return io.NopCloser(&to.Buffer)
}

// sink keeps a snapshot in memory.
type sink struct{ bytes.Buffer }

func (*sink) ID() string    { return "test" }
func (*sink) Close() error  { return nil }
func (*sink) Cancel() error { return nil }
