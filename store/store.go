package store

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	memdb "github.com/hashicorp/go-memdb"

	"github.com/hanse-project/hanse/rpc"
)

// Store holds the state and satisfies the state machine that package consensus drives.
type Store struct {
	schema   *memdb.DBSchema
	modules  []Module
	commands [256]*Command
	records  [256]*Record
	triggers map[reflect.Type][]Trigger
	feed     *FeedOf

	current atomic.Pointer[generation]
	applied atomic.Uint64

	mu      sync.Mutex
	waiters map[uint64]chan struct{} // by the index they wait for
}

// generation is one database, from a restore to the next.
type generation struct {
	db   *memdb.MemDB
	feed *feed
	// replaced is closed when a restore has put another one in its place.
	replaced chan struct{}
}

// New makes an empty store of the given modules.
func New(modules ...Module) (*Store, error) {
	s := &Store{
		schema:  &memdb.DBSchema{Tables: map[string]*memdb.TableSchema{}},
		modules: append([]Module{systemModule()}, modules...),
		waiters: map[uint64]chan struct{}{}, triggers: map[reflect.Type][]Trigger{},
	}
	for _, m := range s.modules {
		for _, t := range m.Tables {
			if s.schema.Tables[t.Name] != nil {
				return nil, fmt.Errorf("module %s: table %s is declared twice", m.Name, t.Name)
			}
			s.schema.Tables[t.Name] = t
		}
		for _, c := range m.Commands {
			if s.commands[c.op] != nil {
				return nil, fmt.Errorf("module %s: command %d is declared twice", m.Name, c.op)
			}
			s.commands[c.op] = &c
		}
		for _, r := range m.Records {
			if s.records[r.kind] != nil {
				return nil, fmt.Errorf("module %s: record %d is declared twice", m.Name, r.kind)
			}
			s.records[r.kind] = &r
		}
		if m.Feed != nil {
			if s.feed != nil {
				return nil, fmt.Errorf("module %s: there is another feed", m.Name)
			}
			s.feed = m.Feed
		}
		for _, t := range m.Triggers {
			s.triggers[t.event] = append(s.triggers[t.event], t)
		}
	}
	fresh, err := s.newGeneration()
	if err != nil {
		return nil, err
	}
	s.current.Store(fresh)
	return s, nil
}

func (s *Store) newGeneration() (*generation, error) {
	db, err := memdb.NewMemDB(s.schema)
	if err != nil {
		return nil, fmt.Errorf("make the database: %w", err)
	}
	return &generation{db: db, feed: newFeed(s.feed), replaced: make(chan struct{})}, nil
}

// Read opens a snapshot. What is read through it is added to ws, together with the
// event of the whole state being replaced. A nil ws watches nothing.
func (s *Store) Read(ws rpc.WatchSet) *View {
	g := s.current.Load()
	ws.Add(g.replaced)
	return &View{txn: g.db.Txn(false), ws: ws}
}

// AppliedIndex is the log index of the last command that the state holds.
func (s *Store) AppliedIndex() uint64 { return s.applied.Load() }

// WaitApplied returns once the state holds the command at index, or with the error of
// the context.
func (s *Store) WaitApplied(ctx context.Context, index uint64) error {
	for s.applied.Load() < index {
		s.mu.Lock()
		if s.applied.Load() >= index {
			s.mu.Unlock()
			return nil
		}
		ch := s.waiters[index]
		if ch == nil {
			ch = make(chan struct{})
			s.waiters[index] = ch
		}
		s.mu.Unlock()
		select {
		case <-ch:
		case <-ctx.Done():
			return fmt.Errorf("wait for log index %d (at %d): %w", index, s.applied.Load(), context.Cause(ctx))
		}
	}
	return nil
}

func (s *Store) setApplied(index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied.Store(index)
	for at, ch := range s.waiters {
		if at <= index {
			close(ch)
			delete(s.waiters, at)
		}
	}
}
