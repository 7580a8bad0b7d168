package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	memdb "github.com/hashicorp/go-memdb"
	"github.com/hashicorp/raft"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store"
	"github.com/hanse-project/hanse/store/storetest"
)

// The module of these tests keeps words, each with the log index that wrote it.
type word struct {
	Text        string
	CreateIndex uint64
	ModifyIndex uint64
}

const (
	opSay    store.Op = 101 // one word
	opSayAll store.Op = 102 // many, of which "bad" fails half-way

	recordWord = 120
)

type sentence struct{ Words []string }

var errBad = errors.New("a bad word")

func isBad(text string) bool { return text == "bad" || text == "" }

func say(tx *store.Tx, text string) {
	w := &word{Text: text, CreateIndex: tx.Index, ModifyIndex: tx.Index}
	if old, found := store.First[*word](&tx.View, "words", "id", text); found {
		w.CreateIndex = old.CreateIndex
	}
	tx.Insert("words", w)
	tx.Touch("words")
}

func words() store.Module {
	return store.Module{
		Name: "words",
		Tables: []*memdb.TableSchema{{Name: "words", Indexes: map[string]*memdb.IndexSchema{
			"id": {Name: "id", Unique: true, Indexer: &memdb.StringFieldIndex{Field: "Text"}},
		}}},
		Commands: []store.Command{
			store.On(opSay, func(tx *store.Tx, cmd *word) (int, error) {
				if isBad(cmd.Text) {
					return 0, errBad
				}
				say(tx, cmd.Text)
				return len(cmd.Text), nil
			}),
			store.OnMany(opSayAll, func(tx *store.Tx, cmd *sentence) (int, error) {
				for _, text := range cmd.Words {
					if isBad(text) {
						return 0, errBad
					}
					say(tx, text)
				}
				return len(cmd.Words), nil
			}),
		},
		Records: []store.Record{store.Persist(recordWord, func(v *store.View) iter.Seq[*word] {
			return store.Rows[*word](v, "words", "id")
		}, func(tx *store.Tx, w *word) error {
			if w.Text == "secret" {
				return store.ErrSkip
			}
			if isBad(w.Text) {
				return errBad
			}
			if tx.Import {
				w.ModifyIndex = tx.Index
				tx.Touch("words")
			}
			tx.Insert("words", w)
			return nil
		})},
	}
}

// said lists the words, each with its indexes.
func said(s *store.Store) (all []string) {
	for w := range store.Rows[*word](s.Read(nil), "words", "id") {
		all = append(all, fmt.Sprintf("%s %d %d", w.Text, w.CreateIndex, w.ModifyIndex))
	}
	return all
}

func expect(t *testing.T, s *store.Store, want ...string) {
	t.Helper()
	if got := said(s); !slices.Equal(got, want) {
		t.Fatalf("the words are %q, want %q", got, want)
	}
}

func one(t testing.TB, text string) []byte { return storetest.Encode(t, opSay, &word{Text: text}) }

func many(t testing.TB, texts ...string) []byte {
	return storetest.Encode(t, opSayAll, &sentence{Words: texts})
}

func TestACommandThatFailsHalfWayLeavesNothingBehind(t *testing.T) {
	s, log := storetest.New(t, words())
	got, _ := log.Batch(one(t, "a"), many(t, "b", "c", "bad", "d"), one(t, "bad"), one(t, "e"), many(t, "f", "a"), []byte{255}, one(t, "g"))
	for i, want := range []any{1, errBad, errBad, 1, 2, nil, 1} {
		if want == nil {
			if _, failed := got[i].(error); !failed {
				t.Errorf("entry %d returned %v, want an error", i+1, got[i])
			}
			continue
		}
		if got[i] != want {
			t.Errorf("entry %d returned %v, want %v", i+1, got[i], want)
		}
	}
	expect(t, s, "a 1 5", "e 4 4", "f 5 5", "g 7 7")
	if s.AppliedIndex() != 7 {
		t.Errorf("the applied index is %d", s.AppliedIndex())
	}
	if at := s.Read(nil).TouchedAt("words"); at != 7 {
		t.Errorf("the table was touched at %d", at)
	}
}

func TestAnUnknownCommandSaysWhatToDo(t *testing.T) {
	_, log := storetest.New(t, words())
	got, _ := log.Batch(storetest.Encode(t, 99, &word{}))
	if err, failed := got[0].(error); !failed || !strings.Contains(err.Error(), "upgrade this server") {
		t.Fatalf("it returned %v", got[0])
	}
}

func TestConfigurationsInABatchAreLeftAlone(t *testing.T) {
	s, _ := storetest.New(t, words())
	got := s.ApplyBatch([]*raft.Log{
		{Index: 1, Type: raft.LogCommand, Data: one(t, "a")},
		{Index: 2, Type: raft.LogConfiguration, Data: []byte("servers")},
		{Index: 3, Type: raft.LogCommand, Data: one(t, "b")},
	})
	if got[0] != 1 || got[1] != nil || got[2] != 1 {
		t.Fatalf("returned %v", got)
	}
	expect(t, s, "a 1 1", "b 3 3")
}

func TestTablesAndCommandsAreDeclaredOnce(t *testing.T) {
	if _, err := store.New(words(), words()); err == nil || !strings.Contains(err.Error(), "declared twice") {
		t.Fatalf("got %v", err)
	}
}

func TestWaitAppliedReturnsOnceTheCommandIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := storetest.New(t, words())
		done := make(chan error, 3)
		for _, index := range []uint64{2, 2, 3} {
			go func() { done <- s.WaitApplied(t.Context(), index) }()
		}
		log.Batch(one(t, "a"))
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("it returned before its command was applied")
		}
		log.Batch(one(t, "b"))
		synctest.Wait()
		if len(done) != 2 {
			t.Fatalf("%d returned at index 2, want 2", len(done))
		}
		log.Batch(many(t, "bad"))
		synctest.Wait()
		if len(done) != 3 {
			t.Fatal("a command that failed was not counted as applied")
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := s.WaitApplied(t.Context(), 1); err != nil {
			t.Error(err)
		}
		gone, cancel := context.WithCancelCause(t.Context())
		cancel(errBad)
		if err := s.WaitApplied(gone, 9); !errors.Is(err, errBad) {
			t.Errorf("got %v, want the cause", err)
		}
	})
}

func woke(ws rpc.WatchSet) bool {
	for ch := range ws {
		select {
		case <-ch:
			return true
		default:
		}
	}
	return false
}

func TestARestoreWakesEveryReader(t *testing.T) {
	s, log := storetest.New(t, words())
	log.Batch(one(t, "a"))
	ws := make(rpc.WatchSet)
	s.Read(ws)
	log.Batch(one(t, "b"))
	if woke(ws) {
		t.Fatal("a reader that read nothing woke")
	}
	if err := s.Restore(storetest.Snapshot(t, s)); err != nil {
		t.Fatal(err)
	}
	if !woke(ws) {
		t.Fatal("the restore woke nobody")
	}
}

func TestATouchWakesItsWatchersOnly(t *testing.T) {
	s, log := storetest.New(t, words())
	log.Batch(one(t, "a"))
	watched, unwatched := make(rpc.WatchSet), make(rpc.WatchSet)
	if at := s.Read(watched).WatchTouch("words"); at != 1 {
		t.Fatalf("touched at %d", at)
	}
	v := s.Read(unwatched).Unwatched()
	v.WatchTouch("words")
	store.First[*word](v, "words", "id", "a")
	log.Batch(one(t, "a"))
	if !woke(watched) || woke(unwatched) {
		t.Fatalf("the watcher woke: %v; the other: %v", woke(watched), woke(unwatched))
	}
}

var home = store.Identity{ID: "dc", Incarnation: "first"}

func TestSnapshotKeepsRowsIndexesAndIdentity(t *testing.T) {
	from, log := storetest.New(t, words())
	log.Batch(storetest.Encode(t, store.OpIdentity, &home), one(t, "a"), one(t, "b"), one(t, "a"))
	got, _ := log.Batch(storetest.Encode(t, store.OpIdentity, &store.Identity{ID: "other", Incarnation: "x"}))
	if got[0] != false {
		t.Fatalf("a second identity was taken: %v", got[0])
	}
	to, log2 := storetest.New(t, words())
	log2.Batch(one(t, "old"))
	if err := to.Restore(storetest.Snapshot(t, from)); err != nil {
		t.Fatal(err)
	}
	expect(t, to, "a 2 4", "b 3 3")
	if id, found := to.Read(nil).Identity(); !found || id != home {
		t.Errorf("the identity is %+v", id)
	}
	if to.AppliedIndex() != 5 || to.Read(nil).TouchedAt("words") != 4 {
		t.Errorf("applied at %d, touched at %d", to.AppliedIndex(), to.Read(nil).TouchedAt("words"))
	}
}

func TestAnImportRaisesIndexesAndChangesTheIncarnation(t *testing.T) {
	from, log := storetest.New(t, words())
	log.Batch(storetest.Encode(t, store.OpIdentity, &home), one(t, "a"), one(t, "secret"))
	s, log2 := storetest.New(t, words())
	log2.Batch(one(t, "here"), one(t, "before"))
	next := store.Identity{ID: "dc2", Incarnation: "second"}
	imported, err := s.Import(storetest.Snapshot(t, from), 1000, next)
	if err != nil {
		t.Fatal(err)
	}
	if imported.LastIndex != 3 || imported.Records[recordWord] != 1 || imported.Skipped[recordWord] != 1 {
		t.Errorf("imported %+v", imported.Loaded)
	}
	expect(t, s, "before 2 2", "here 1 1")
	var stream bytes.Buffer
	if err := imported.Write(&stream); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(io.NopCloser(&stream)); err != nil {
		t.Fatal(err)
	}
	expect(t, s, "a 2 1000")
	if id, _ := s.Read(nil).Identity(); id != next {
		t.Errorf("the identity is %+v", id)
	}
	if s.AppliedIndex() != 1000 || s.Read(nil).TouchedAt("words") != 1000 || s.Read(nil).ForgottenAt() != 1000 {
		t.Errorf("applied at %d, touched at %d, forgotten at %d",
			s.AppliedIndex(), s.Read(nil).TouchedAt("words"), s.Read(nil).ForgottenAt())
	}
}

func TestATableThatAnImportLeavesEmptyIsTouched(t *testing.T) {
	from, _ := storetest.New(t, words())
	s, _ := storetest.New(t, words())
	imported, err := s.Import(storetest.Snapshot(t, from), 1000, home)
	if err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer
	if err := errors.Join(imported.Write(&stream), s.Restore(io.NopCloser(&stream))); err != nil {
		t.Fatal(err)
	}
	if at := s.Read(nil).TouchedAt("words"); at != 1000 {
		t.Errorf("the index of the table fell to %d", at)
	}
}

func TestATornSnapshotChangesNothing(t *testing.T) {
	from, log := storetest.New(t, words())
	log.Batch(storetest.Encode(t, store.OpIdentity, &home))
	for i := range 20 {
		log.Batch(one(t, fmt.Sprintf("w%02d", i)))
	}
	whole, err := io.ReadAll(storetest.Snapshot(t, from))
	if err != nil {
		t.Fatal(err)
	}
	s, log2 := storetest.New(t, words())
	log2.Batch(one(t, "here"))
	// Cut anywhere but between two records, it is known to be torn.
	refused := 0
	for cut := range whole {
		if s.Restore(io.NopCloser(bytes.NewReader(whole[:cut]))) != nil {
			refused++
			expect(t, s, "here 1 1")
			continue
		}
		s, log2 = storetest.New(t, words())
		log2.Batch(one(t, "here"))
	}
	if refused < len(whole)-30 {
		t.Fatalf("%d of %d cuts were noticed", refused, len(whole))
	}
	corrupt := slices.Clone(whole)
	for i := len(corrupt) / 2; i < len(corrupt); i++ {
		corrupt[i] = 0xc1 // no msgpack value begins like this
	}
	ws := make(rpc.WatchSet)
	s.Read(ws)
	if err := s.Restore(io.NopCloser(bytes.NewReader(corrupt))); err == nil {
		t.Fatal("a corrupt snapshot was restored")
	}
	if _, err := s.Import(bytes.NewReader(corrupt), 100, home); err == nil {
		t.Fatal("a corrupt snapshot was imported")
	}
	expect(t, s, "here 1 1")
	if woke(ws) || s.AppliedIndex() != 1 {
		t.Fatalf("a refused snapshot woke a reader or moved the index to %d", s.AppliedIndex())
	}
}

func TestUnknownRecordsAreSkippedAndCounted(t *testing.T) {
	from, log := storetest.New(t, words())
	log.Batch(one(t, "a"))
	stream, err := io.ReadAll(storetest.Snapshot(t, from))
	if err != nil {
		t.Fatal(err)
	}
	stream = append(stream, 42, 0x82, 0xa1, 'x', 0x01, 0xa1, 'y', 0x93, 0x01, 0x02, 0xc0)
	s, _ := storetest.New(t, words())
	imported, err := s.Import(bytes.NewReader(stream), 10, home)
	if err != nil || imported.Skipped[42] != 1 || imported.Records[recordWord] != 1 {
		t.Fatalf("%+v, %v", imported, err)
	}
}

func FuzzRestore(f *testing.F) {
	from, log := storetest.New(f, words())
	log.Batch(storetest.Encode(f, store.OpIdentity, &home), one(f, "a"), one(f, "b"))
	whole, err := io.ReadAll(storetest.Snapshot(f, from))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte{0x81, 0xa9})
	f.Fuzz(func(t *testing.T, stream []byte) {
		s, log := storetest.New(t, words())
		log.Batch(one(t, "here"))
		if s.Restore(io.NopCloser(bytes.NewReader(stream))) != nil {
			expect(t, s, "here 1 1")
		}
		if imported, err := s.Import(bytes.NewReader(stream), 1<<40, home); err == nil {
			if err := imported.Write(io.Discard); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add(one(f, "a"))
	f.Add(many(f, "a", "bad"))
	f.Add(storetest.Encode(f, store.OpIdentity, &home))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, entry []byte) {
		s, log := storetest.New(t, words())
		got, index := log.Batch(one(t, "first"), entry, one(t, "last"))
		if len(got) != 3 || got[0] != 5 || got[2] != 4 || s.AppliedIndex() != index {
			t.Fatalf("the neighbours of %x returned %v", entry, got)
		}
	})
}
