package replicate

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// store is a key/value table with Consul's indexes, enough to be a Source and a
// Sink of the engine's pure logic. What a real agent answers is tested elsewhere.
type store struct {
	mu       sync.Mutex
	index    uint64
	keys     map[string]Entry
	changed  chan struct{}
	identity Position // Index unused

	leaderless, filtered bool

	// feed says that the source has one. log is the last change of each key, clock how
	// far the leader's clock is ahead, reaped the index up to which deletes are forgotten.
	feed  bool
	page  int // rows
	log   map[string]Change
	clock time.Duration
	paged bool // it can be read in pages, and summed up

	// mine are the keys that the link wrote last, nil if that is not known.
	mine    map[string]bool
	reaped  uint64
	changes int // answers of the feed with something in them
	limits  Limits
	lists   int
	reads   int  // pages of entries
	sums    int  // answers with sums
	sumsAll bool // they count what is not the link's, too

	// slow, if there is one, is called at the beginning and at the end of each call.
	slow func()

	// fault is asked before each call, by its name; cut says after how many
	// entries a listing breaks, negative for never.
	fault func(call string) error
	cut   func() int
	// afterApply is asked after a batch landed: its error makes the outcome unknown.
	afterApply func() error
	lenient    bool // operations may change nothing
	// landed is told of each batch, under the lock.
	landed  func(b Batch)
	ops     int // operations that changed something
	applied int // batches that landed
}

var errCut = errors.New("connection reset")

func newStore() *store {
	return &store{
		log: map[string]Change{}, page: 7,
		index: 1, keys: map[string]Entry{}, changed: make(chan struct{}),
		identity:   Position{Datacenter: "id", Incarnation: "one"},
		limits:     Limits{Ops: 16, Bytes: 8192},
		fault:      func(string) error { return nil },
		cut:        func() int { return -1 },
		afterApply: func() error { return nil },
	}
}

func (s *store) takeTime() {
	if s.slow != nil {
		s.slow()
	}
}

func (s *store) wakeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *store) put(key, value string, flags uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	s.putLocked(key, []byte(value), flags)
	s.wakeLocked()
}

func (s *store) putLocked(key string, value []byte, flags uint64) {
	e := Entry{Key: key, Value: value, Flags: flags, CreateIndex: s.index, ModifyIndex: s.index}
	if old, ok := s.keys[key]; ok {
		e.CreateIndex = old.CreateIndex
	}
	s.keys[key] = e
	delete(s.mine, key)
	s.log[key] = Change{Entry: e, Time: time.Now().Add(s.clock)}
}

func (s *store) delLocked(key string) {
	if _, ok := s.keys[key]; ok {
		delete(s.keys, key)
		delete(s.mine, key)
		s.log[key] = Change{Entry: Entry{Key: key, ModifyIndex: s.index}, Deleted: true, Time: time.Now().Add(s.clock)}
	}
}

func (s *store) del(keys ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index++
	for _, k := range keys {
		s.delLocked(k)
	}
	s.wakeLocked()
}

// mutate changes the store's history under its lock.
func (s *store) mutate(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.wakeLocked()
}

// batches counts those that landed, once nothing else runs at this instant.
func (s *store) batches() int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applied
}

// contents is what lies under prefix, by the rest of the key.
func (s *store) contents(prefix string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]string{}
	for k, e := range s.keys {
		if rel, ok := strings.CutPrefix(k, prefix); ok {
			all[rel] = fmt.Sprintf("%d:%s", e.Flags, e.Value)
		}
	}
	return all
}

func (s *store) answerLocked(prefix string) *Listing {
	var entries []Entry
	for _, k := range slices.Sorted(maps.Keys(s.keys)) {
		if strings.HasPrefix(k, prefix) {
			entries = append(entries, s.keys[k])
		}
	}
	s.lists++
	cut := s.cut()
	l := &Listing{
		Position:    Position{Index: s.index, Datacenter: s.identity.Datacenter, Incarnation: s.identity.Incarnation},
		KnownLeader: !s.leaderless, Filtered: s.filtered, Close: func() {},
	}
	l.Entries = func(yield func(Entry, error) bool) {
		for i, e := range entries {
			if i == cut {
				break
			}
			if !yield(e, nil) {
				return
			}
		}
		if cut >= 0 {
			yield(Entry{}, errCut)
		}
	}
	return l
}

// luck is what befalls the calls of a link, by dice of its own, until it turns.
type luck struct {
	mu     sync.Mutex
	dice   *rand.Rand
	turned bool
}

func newLuck(rnd *rand.Rand) *luck { return &luck{dice: rand.New(rand.NewPCG(rnd.Uint64(), 1))} }

func (l *luck) turn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turned = true
}

// roll is a number from 0 to n-1.
func (l *luck) roll(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dice.IntN(n)
}

// trouble is an error in so many cases of a hundred.
func (l *luck) trouble(percent int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.turned && l.dice.IntN(100) < percent {
		return errCut
	}
	return nil
}

// delay lets up to that time pass now and then.
func (l *luck) delay(longest time.Duration) {
	if l.trouble(33) != nil {
		time.Sleep(time.Duration(l.roll(int(longest) + 1)))
	}
}

type memSource struct{ *store }

func (s memSource) List(ctx context.Context, q Query) (*Listing, error) {
	s.takeTime()
	defer s.takeTime()
	wait := q.Wait
	if wait == 0 {
		wait = time.Minute
	}
	over := time.After(wait)
	for {
		s.mu.Lock()
		if err := s.fault("list"); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		if q.After == 0 || s.index > q.After {
			defer s.mu.Unlock()
			return s.answerLocked(q.Prefix), nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-over:
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.answerLocked(q.Prefix), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s memSource) Changes(ctx context.Context, q FeedQuery) (*Page, error) {
	s.takeTime()
	defer s.takeTime()
	over := time.After(cmp.Or(q.Wait, Heartbeat))
	for {
		s.mu.Lock()
		page, err := s.pageLocked(q)
		changed := s.changed
		s.mu.Unlock()
		if err != nil || len(page.Changes) > 0 || q.From.Index == 0 || q.Wait == noWait {
			return page, err
		}
		select {
		case <-changed:
		case <-over:
			return page, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *store) pageLocked(q FeedQuery) (*Page, error) {
	if err := s.fault("changes"); err != nil {
		return nil, err
	}
	switch {
	case !s.feed:
		return nil, ErrNoFeed
	case q.From.Index != 0 && (q.From.Index < s.reaped || q.From.Index == s.reaped && q.From.After != ""):
		return nil, ErrTooOld
	}
	p := &Page{
		Position:    Position{Index: s.index, Datacenter: s.identity.Datacenter, Incarnation: s.identity.Incarnation},
		KnownLeader: !s.leaderless, Filtered: s.filtered,
	}
	if q.From.Index == 0 {
		return p, nil
	}
	var rows []Change
	for k, c := range s.log {
		behind := c.ModifyIndex > q.From.Index || c.ModifyIndex == q.From.Index && q.From.After != "" && k > q.From.After
		if strings.HasPrefix(k, q.Prefix) && behind {
			rows = append(rows, c)
		}
	}
	slices.SortFunc(rows, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.ModifyIndex, b.ModifyIndex), cmp.Compare(a.Key, b.Key))
	})
	if len(rows) > s.page {
		rows = rows[:s.page]
		p.More, p.Index, p.After = true, rows[s.page-1].ModifyIndex, rows[s.page-1].Key
	}
	p.Changes = rows
	if len(rows) > 0 {
		s.changes++
	}
	return p, nil
}

// reap forgets what was deleted until now.
func (s *store) reap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, c := range s.log {
		if c.Deleted {
			s.reaped = max(s.reaped, c.ModifyIndex)
			delete(s.log, k)
		}
	}
}

type memSink struct {
	*store
	paged bool
}

func (s memSink) List(_ context.Context, prefix string) (*Listing, error) {
	s.takeTime()
	defer s.takeTime()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("list"); err != nil {
		return nil, err
	}
	return s.answerLocked(prefix), nil
}

func (s memSink) Load(_ context.Context, key string) ([]byte, uint64, error) {
	s.takeTime()
	defer s.takeTime()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("load"); err != nil {
		return nil, 0, err
	}
	e := s.keys[key]
	return e.Value, e.ModifyIndex, nil
}

func (s memSink) Limits() Limits { return s.limits }
func (s memSink) Cost(op Op) int { return len(op.Key) + len(op.Value) + 20 }

func (s memSink) Apply(_ context.Context, b Batch) (uint64, error) {
	s.takeTime()
	defer s.takeTime()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault("apply"); err != nil {
		return 0, err
	}
	cost := s.Cost(Op{Key: b.Record.Key, Value: b.Record.Value})
	for _, op := range b.Ops {
		cost += s.Cost(op)
	}
	if len(b.Ops)+1 > s.limits.Ops || cost > s.limits.Bytes && len(b.Ops) > 1 {
		return 0, fmt.Errorf("batch of %d operations and %d bytes is too large", len(b.Ops)+1, cost)
	}
	if s.keys[b.Record.Key].ModifyIndex != b.Record.Index {
		return 0, ErrMoved
	}
	s.index++
	s.putLocked(b.Record.Key, b.Record.Value, 0)
	for _, op := range b.Ops {
		old, had := s.keys[op.Key]
		mine := s.mine[op.Key]
		same := had && old.Flags == op.Flags && bytes.Equal(old.Value, op.Value)
		switch {
		case op.Spare && had && (op.Kind == AdoptKey && !same || !mine && (op.Kind == DeleteKey || op.Kind == SetKey && !same)):
			continue
		case op.Kind == DeleteKey && had:
			delete(s.keys, op.Key)
			delete(s.mine, op.Key)
		case op.Kind == SetKey && !same:
			s.putLocked(op.Key, op.Value, op.Flags)
			s.own(op.Key)
		case op.Kind == AdoptKey && had && !mine && s.mine != nil:
			s.own(op.Key)
		case op.Kind == ReleaseKey && mine:
			delete(s.mine, op.Key)
		case s.lenient: // somebody else was faster
			continue
		default:
			return 0, fmt.Errorf("operation %d on %q changes nothing", op.Kind, op.Key)
		}
		s.ops++
	}
	s.applied++
	if s.landed != nil {
		s.landed(b)
	}
	s.wakeLocked()
	return s.index, s.afterApply()
}

// eitherWay runs a test with a source that has no feed, with one that has, and with both sides
// read in pages.
func eitherWay(t *testing.T, test func(t *testing.T, newSource func() *store)) {
	for _, way := range []string{"listings", "feed", "pages"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test(t, func() *store {
					s := newStore()
					s.feed, s.paged = way != "listings", way == "pages"
					return s
				})
			})
		})
	}
}

// testConfig links source to sink through one link in the syntax of ParseLink.
func testConfig(t testing.TB, source, sink *store, link string, excludes ...string) Config {
	t.Helper()
	l, err := ParseLink(link)
	if err != nil {
		t.Fatal(err)
	}
	l.Excludes = excludes
	return Config{
		Links: []Link{l}, DestinationDC: "beijing", StatusPath: DefaultStatusPath,
		Source: func(string) Source { return memSource{source} }, Sink: memSink{store: sink, paged: source.paged},
		Guard: Guard{MaxFraction: DefaultMaxDeleteFraction}, Retry: Retry{Base: time.Millisecond, Max: time.Second},
		Writer: "test", Log: hclog.New(&hclog.LoggerOptions{Output: io.Discard}),
	}
}

// run starts the engine and stops it with the test, or with the returned function.
func run(t testing.TB, cfg Config) (*Replicator, func()) {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return r, stop
}

func runOnce(t testing.TB, cfg Config) error {
	t.Helper()
	cfg.Once = true
	if cfg.Retry.Attempts == 0 {
		cfg.Retry.Attempts = 100
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r.Run(t.Context())
}

func sameContents(t testing.TB, source, sink *store, from, to string) {
	t.Helper()
	want, got := source.contents(from), sink.contents(to)
	if !maps.Equal(want, got) {
		t.Errorf("destination holds %d keys %v,\nsource %d keys %v", len(got), got, len(want), want)
	}
}

func checkpointOf(t testing.TB, sink *store, link Link) Checkpoint {
	t.Helper()
	value, index, err := memSink{store: sink}.Load(t.Context(), CheckpointKey(DefaultStatusPath, link))
	if err != nil || index == 0 {
		t.Fatalf("no checkpoint (%v)", err)
	}
	c, err := DecodeCheckpoint(value, link)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
