package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/raft"

	"github.com/hanse-project/hanse/rpc"
)

// A snapshot is a stream of msgpack: a header, then records until it ends, each one
// type byte and one value. Whoever reads it skips types it does not know.
type header struct {
	LastIndex uint64
}

// Snapshot implements raft.FSM. Taking it costs nothing; it is written later, while
// commands go on.
func (s *Store) Snapshot() (raft.FSMSnapshot, error) {
	return &snapshot{modules: s.modules, view: s.Read(nil), index: s.applied.Load()}, nil
}

type snapshot struct {
	modules []Module
	view    *View
	index   uint64
}

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.write(sink); err != nil {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() {}

func (s *snapshot) write(to io.Writer) error {
	w := bufio.NewWriterSize(to, 64<<10)
	enc := codec.NewEncoder(w, rpc.Msgpack)
	if err := enc.Encode(header{LastIndex: s.index}); err != nil {
		return err
	}
	for _, m := range s.modules {
		for _, r := range m.Records {
			err := r.save(s.view, func(row any) error {
				if err := w.WriteByte(r.kind); err != nil {
					return err
				}
				return enc.Encode(row)
			})
			if err != nil {
				return fmt.Errorf("records of type %d: %w", r.kind, err)
			}
		}
	}
	return w.Flush()
}

// Restore implements raft.FSM: it replaces the state by a snapshot this package wrote.
// The state in place stays as it is until the whole stream was read without error.
func (s *Store) Restore(from io.ReadCloser) error {
	defer from.Close()
	fresh, err := s.newGeneration()
	if err != nil {
		return err
	}
	loaded, err := s.load(from, fresh, 0)
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	fresh.feed.build(&View{txn: fresh.db.Txn(false)})
	s.replace(fresh, loaded.LastIndex)
	return nil
}

// replace puts fresh in the place of the current generation and wakes everyone who
// watched the old one.
func (s *Store) replace(fresh *generation, index uint64) {
	old := s.current.Swap(fresh)
	s.setApplied(index)
	close(old.replaced)
}

// Loaded says what a snapshot held.
type Loaded struct {
	// LastIndex is the log index the snapshot was taken at.
	LastIndex uint64
	// Records counts what was taken over, by type byte.
	Records map[byte]int
	// Skipped counts what was not, by type byte.
	Skipped map[byte]int
}

// load reads a snapshot into fresh. With an importAt above 0 the snapshot comes from
// outside, and its rows get that index as their ModifyIndex.
func (s *Store) load(from io.Reader, fresh *generation, importAt uint64) (Loaded, error) {
	l := Loaded{Records: map[byte]int{}, Skipped: map[byte]int{}}
	r := bufio.NewReaderSize(from, 64<<10)
	dec := codec.NewDecoder(r, rpc.Msgpack)
	var h header
	if err := dec.Decode(&h); err != nil {
		return l, fmt.Errorf("read its header: %w", err)
	}
	l.LastIndex = h.LastIndex
	tx := s.newTx(fresh, max(h.LastIndex, importAt))
	tx.Import = importAt > 0
	defer tx.txn.Abort()
	for n := 1; ; n++ {
		kind, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			tx.commit()
			return l, nil
		}
		if err != nil {
			return l, fmt.Errorf("read record %d: %w", n, err)
		}
		record := s.records[kind]
		if record == nil {
			l.Skipped[kind]++
			var unknown any
			if err := dec.Decode(&unknown); err != nil {
				return l, fmt.Errorf("skip record %d of type %d: %w", n, kind, err)
			}
			continue
		}
		switch err := record.load(tx, func(into any) error { return dec.Decode(into) }); {
		case errors.Is(err, ErrSkip):
			l.Skipped[kind]++
		case err != nil:
			return l, fmt.Errorf("load record %d of type %d: %w", n, kind, err)
		default:
			l.Records[kind]++
		}
	}
}

// ErrSkip is what a load function returns for a row that is not to be taken over.
var ErrSkip = errors.New("not taken over")

// Imported is a snapshot from outside, checked and rewritten, ready to be restored.
type Imported struct {
	Loaded
	scratch *Store
}

// Import reads a snapshot from outside, Hanse's or Consul's, into a database of its
// own. The rows get index as their ModifyIndex. The datacenter keeps the given ID and
// has the given incarnation from then on. The state of s is not touched.
func (s *Store) Import(from io.Reader, index uint64, identity Identity) (*Imported, error) {
	scratch, err := New(s.modules[1:]...)
	if err != nil {
		return nil, err
	}
	fresh := scratch.current.Load()
	loaded, err := scratch.load(from, fresh, index)
	if err != nil {
		return nil, fmt.Errorf("import snapshot: %w", err)
	}
	tx := scratch.newTx(fresh, index)
	// What the state in place had and the snapshot has not is gone at this index, and
	// those who wait for a table to change hold lower ones.
	tx.Touch(nameForgotten)
	for _, m := range scratch.modules {
		for _, t := range m.Tables {
			tx.Touch(t.Name)
		}
	}
	if old, found := tx.Identity(); found {
		tx.Delete(tableIdentity, &old)
	}
	tx.Insert(tableIdentity, &identity)
	tx.commit()
	scratch.setApplied(index)
	return &Imported{Loaded: loaded, scratch: scratch}, nil
}

// Write writes the stream that raft.Restore takes.
func (i *Imported) Write(w io.Writer) error {
	return (&snapshot{modules: i.scratch.modules, view: i.scratch.Read(nil), index: i.scratch.applied.Load()}).write(w)
}
