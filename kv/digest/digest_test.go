package digest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
)

// side is a set of keys with its tree, and counts what crosses the wire.
type side struct {
	testing.TB
	values map[string]string
	sorted []string // nil if it has to be made
	tree   *Tree
	bytes  int
	asked  int
}

func newSide(t testing.TB, values map[string]string) *side {
	s := &side{TB: t, values: values}
	s.tree = Build(s.entries)
	return s
}

func (s *side) entries(from, to string) iter.Seq[Entry] {
	if s.sorted == nil {
		s.sorted = slices.Sorted(maps.Keys(s.values))
	}
	return func(yield func(Entry) bool) {
		at, _ := slices.BinarySearch(s.sorted, from)
		for _, key := range s.sorted[at:] {
			if to != "" && key >= to || !yield(Entry{Key: key, Value: []byte(s.values[key])}) {
				return
			}
		}
	}
}

// change sets keys, or deletes those whose value is "", and has the tree follow.
func (s *side) change(changes map[string]string) {
	for key, value := range changes {
		if s.values[key] = value; value == "" {
			delete(s.values, key)
		}
	}
	s.sorted = nil
	s.tree = s.tree.Update(maps.Keys(changes), s.entries)
}

// ask has the question and the answer cross a wire.
func (s *side) ask(_ context.Context, q Query) (*Reply, error) {
	var there Query
	s.send(&q, &there)
	if err := there.Check(); err != nil {
		return nil, err
	}
	var back Reply
	s.send(s.tree.Answer(&there, s.entries), &back)
	s.asked++
	return &back, nil
}

func (s *side) send(what, into any) {
	s.Helper()
	var wire []byte
	if err := codec.NewEncoderBytes(&wire, rpc.Msgpack).Encode(what); err != nil {
		s.Fatal(err)
	}
	s.bytes += len(wire)
	if err := codec.NewDecoderBytes(wire, rpc.Msgpack).Decode(into); err != nil {
		s.Fatal(err)
	}
}

func (s *side) compare(to *side) *Result {
	s.Helper()
	r, err := Compare(context.Background(), Side{Ask: s.ask}, Side{Ask: to.ask})
	if err != nil {
		s.Fatal(err)
	}
	return r
}

// differences are the keys of two maps that differ.
func differences(a, b map[string]string) []string {
	keys := []string{}
	for key, value := range a {
		if other, found := b[key]; !found || other != value {
			keys = append(keys, key)
		}
	}
	for key := range b {
		if _, found := a[key]; !found {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func manyKeys(n int) map[string]string {
	values := make(map[string]string, n)
	for i := range n {
		values[fmt.Sprintf("service-%07d/limit", i)] = fmt.Sprint(i)
	}
	return values
}

// odd is a key of few different bytes or of any.
func odd(dice *rand.Rand) string {
	key := make([]byte, dice.IntN(5))
	for i := range key {
		if key[i] = "ab\x00\xff"[dice.IntN(4)]; dice.IntN(4) == 0 {
			key[i] = byte(dice.IntN(256))
		}
	}
	return string(key)
}

func TestATreeThatFollowsIsOneMadeAfresh(t *testing.T) {
	for seed := range uint64(12) {
		dice := rand.New(rand.NewPCG(seed, 1))
		key := func() string {
			if seed%2 == 0 {
				return odd(dice)
			}
			return fmt.Sprintf("k%05d", dice.IntN(6_000))
		}
		s := newSide(t, map[string]string{})
		for step := range 40 {
			changes := map[string]string{}
			for range dice.IntN(1 + []int{5, 50, 1500}[dice.IntN(3)]) {
				if changes[key()] = fmt.Sprint(dice.Int()); dice.IntN(2) == 0 {
					changes[key()] = ""
				}
			}
			if dice.IntN(10) == 0 { // everything between two keys goes
				from, to := key(), key()
				for k := range s.values {
					if k >= from && k < to {
						changes[k] = ""
					}
				}
			}
			s.change(changes)
			if fresh := Build(s.entries); !reflect.DeepEqual(s.tree, fresh) {
				t.Fatalf("seed %d, step %d: the tree of %d keys has %d nodes and %d levels, made afresh %d and %d",
					seed, step, len(s.values), len(s.tree.nodes), s.tree.levels, len(fresh.nodes), fresh.levels)
			}
		}
	}
}

// Whatever is asked of a tree, its ranges are what adding up the entries gives.
func TestAnswersAreTheSumsOfTheEntries(t *testing.T) {
	for seed := range uint64(20) {
		dice := rand.New(rand.NewPCG(seed, 2))
		values := map[string]string{}
		for range 1 + dice.IntN([]int{30, 600, 5000}[seed%3]) {
			values[odd(dice)+fmt.Sprint(dice.IntN(300))] = fmt.Sprint(dice.Int())
		}
		if dice.IntN(2) == 0 {
			values[""] = "the prefix itself"
		}
		s := newSide(t, values)
		whole := s.tree.Answer(&Query{Level: s.tree.levels}, s.entries).Ranges[0]
		if len(whole) != 1 || whole[0].Count != len(values) {
			t.Fatalf("at the level of all, %d keys are in %d ranges", len(values), len(whole))
		}
		if parts := s.tree.Answer(&Query{Level: s.tree.levels - 1}, s.entries).Ranges[0]; s.tree.levels > cached+1 && len(parts) == 1 {
			t.Fatalf("below the level of all there is still one range of %d keys", len(values))
		}
		for range 50 {
			q := &Query{Level: dice.IntN(5)}
			cuts := []string{odd(dice), odd(dice), odd(dice), odd(dice), ""}
			slices.Sort(cuts[:4])
			for i := range 4 {
				if span := (Span{cuts[i], cuts[i+1]}); dice.IntN(2) == 0 && (span.To == "" || span.From < span.To) {
					q.Spans = append(q.Spans, span)
				}
			}
			if q.Check() != nil {
				continue
			}
			rep := s.tree.Answer(q, s.entries)
			if err := rep.check(q); err != nil {
				t.Fatal(err)
			}
			if q.Spans == nil {
				q.Spans = Spans{{}}
			}
			for i, span := range q.Spans {
				want := plainly(s, span, q.Level)
				if !slices.Equal(rep.Ranges[i], want) {
					t.Fatalf("level %d of %+v: %d ranges, want %d", q.Level, span, len(rep.Ranges[i]), len(want))
				}
			}
		}
	}
}

// plainly cuts a span as the documentation says.
func plainly(s *side, span Span, level int) (parts []Range) {
	var hash hasher
	var sums []total
	for e := range s.entries(span.From, span.To) {
		starts := e.Key > span.From && rank(e.Key) >= level
		if len(parts) == 0 && !starts {
			parts, sums = append(parts, Range{Start: span.From}), append(sums, total{})
		} else if starts {
			parts, sums = append(parts, Range{Start: e.Key}), append(sums, total{})
		}
		sums[len(sums)-1].add(hash.entry(&e))
	}
	if len(parts) > maxParts {
		var all total
		for _, sum := range sums {
			all.add(sum)
		}
		return []Range{all.rangeFrom(span.From)}
	}
	for i := range parts {
		parts[i] = sums[i].rangeFrom(parts[i].Start)
	}
	return parts
}

// Compare finds exactly what differs, whatever the two sides have.
func TestComparingFindsExactlyWhatDiffers(t *testing.T) {
	for seed := range uint64(60) {
		dice := rand.New(rand.NewPCG(seed, 3))
		a, b := map[string]string{}, map[string]string{}
		for range dice.IntN([]int{3, 100, 20_000}[seed%3]) {
			key := odd(dice) + fmt.Sprint(dice.IntN(2000))
			a[key], b[key] = "same", "same"
		}
		keys := slices.Sorted(maps.Keys(a))
		for range dice.IntN(60) {
			key := odd(dice)
			if len(keys) > 0 && dice.IntN(2) == 0 {
				key = keys[dice.IntN(len(keys))]
			}
			switch dice.IntN(4) {
			case 0:
				a[key] = fmt.Sprint(dice.Int())
			case 1:
				b[key] = fmt.Sprint(dice.Int())
			case 2:
				delete(a, key)
			case 3:
				delete(b, key)
			}
		}
		r := newSide(t, a).compare(newSide(t, b))
		if want := differences(a, b); !slices.Equal(r.Keys, want) || len(r.Stretches) > 0 {
			t.Fatalf("seed %d: %d keys and %d stretches of %d and %d keys: %q, want %q", seed, len(r.Keys), len(r.Stretches), len(a), len(b), r.Keys, want)
		}
		if r.Source.Keys != len(a) || r.Destination.Keys != len(b) {
			t.Fatalf("seed %d: %+v", seed, r)
		}
	}
}

// covered tells whether a result says that a key may differ.
func (r *Result) covered(key string) bool {
	if _, found := slices.BinarySearch(r.Keys, key); found {
		return true
	}
	return slices.ContainsFunc(r.Stretches, func(s Stretch) bool { return key > s.After && (s.To == "" || key < s.To) })
}

// However much differs, what differs is among what is found, and what is found is small.
func TestWhereMuchDiffersStretchesAreNamed(t *testing.T) {
	const n = 100_000
	all := manyKeys(n)
	part := func(keep func(i int) bool) map[string]string {
		some, i := map[string]string{}, 0
		for _, key := range slices.Sorted(maps.Keys(all)) {
			if keep(i) {
				some[key] = all[key]
			}
			i++
		}
		return some
	}
	third := part(func(i int) bool { return i%3 != 0 })
	for _, c := range []struct {
		name      string
		other     map[string]string
		stretches int
	}{
		{"nothing is there", nil, 1},
		{"the second half is missing", part(func(i int) bool { return i < n/2 }), 2},
		{"every third is missing", third, 400},
		{"ten thousand in a row are missing, and one elsewhere", part(func(i int) bool { return i < 20_000 || i > 30_000 && i != 77_777 }), 10},
	} {
		a, b := newSide(t, all), newSide(t, c.other)
		r := a.compare(b)
		if len(r.Keys) > 20_000 || len(r.Stretches) > c.stretches {
			t.Errorf("%s: %d keys and %d stretches", c.name, len(r.Keys), len(r.Stretches))
		}
		for _, key := range differences(a.values, b.values) {
			if !r.covered(key) {
				t.Fatalf("%s: %q is not found", c.name, key)
			}
		}
		t.Logf("%s: %d keys, %d stretches, %d and %d bytes, %d questions", c.name, len(r.Keys), len(r.Stretches), a.bytes, b.bytes, a.asked)
		if a.bytes+b.bytes > 2<<20 {
			t.Errorf("%s: it took %d and %d bytes", c.name, a.bytes, b.bytes)
		}
	}
}

// Somebody may choose names so that no range begins for long, or that each begins one.
func TestKeysOfChosenRanks(t *testing.T) {
	pick := func(n int, fits func(rank int) bool) map[string]string {
		keys := map[string]string{}
		for i := 0; len(keys) < n; i++ {
			if key := fmt.Sprint(i); fits(rank(key)) {
				keys[key] = "v"
			}
		}
		return keys
	}
	for name, keys := range map[string]map[string]string{
		"no rank":   pick(20_000, func(rank int) bool { return rank == 0 }),
		"high rank": pick(3000, func(rank int) bool { return rank >= 2 }),
	} {
		a, b := newSide(t, keys), newSide(t, maps.Clone(keys))
		if r := a.compare(b); !r.Equal() || a.asked != 1 {
			t.Errorf("%s: %+v after %d questions", name, r, a.asked)
		}
		var some string
		for some = range keys {
			break
		}
		b.change(map[string]string{some: "w"})
		r := a.compare(b)
		if !r.covered(some) || r.Equal() {
			t.Errorf("%s: %q is not found in %+v", name, some, r)
		}
		if a.bytes > 1<<20 {
			t.Errorf("%s: it took %d bytes", name, a.bytes)
		}
	}
}

// Those who compare may be of different versions.
func TestSumsAndRanksStayAsTheyAre(t *testing.T) {
	s := newSide(t, map[string]string{"": "x", "a": "", "b\xff": "value"})
	got := fmt.Sprintf("%x", s.tree.Answer(&Query{Level: 1}, s.entries).Ranges[0])
	if want := "[{ 3 bb42a346fd540a021305ea8ccc2fe764}]"; got != want {
		t.Errorf("the sum is %s, want %s", got, want)
	}
	ranks := map[int]int{}
	for i := range 1 << 16 {
		ranks[rank(fmt.Sprint("key-", i))]++
	}
	if want := (map[int]int{0: 61343, 1: 3928, 2: 247, 3: 17, 4: 1}); !maps.Equal(ranks, want) {
		t.Errorf("of the first 65,536 keys the ranks are %v, want %v", ranks, want)
	}
}

func TestFewDifferencesAmongManyKeysAreCheapToFind(t *testing.T) {
	findAmong(t, 100_000)
}

func BenchmarkFindingAHundredDifferencesAmongAMillionKeys(b *testing.B) {
	bytes, questions := 0, 0
	for b.Loop() {
		bytes, questions = findAmong(b, 1_000_000)
	}
	b.ReportMetric(float64(bytes), "wire-B")
	b.ReportMetric(float64(questions), "questions")
}

// findAmong plants a hundred differences among n keys, and returns how many bytes and questions
// it took to find them.
func findAmong(t testing.TB, n int) (bytes, questions int) {
	all := manyKeys(n)
	a, b := newSide(t, all), newSide(t, maps.Clone(all))
	if r := a.compare(b); !r.Equal() || r.Source.Keys != n {
		t.Fatalf("%+v", r)
	}
	t.Logf("nothing differs: %d and %d bytes", a.bytes, b.bytes)
	if a.asked != 1 || a.bytes > 300 || b.bytes > 300 {
		t.Errorf("to find out that nothing differs took %d questions of %d bytes", a.asked, a.bytes)
	}
	dice := rand.New(rand.NewPCG(1, 1))
	planted := map[string]string{}
	for len(planted) < 100 {
		i := dice.IntN(n)
		planted[fmt.Sprintf("service-%07d/limit", i)] = []string{"other", ""}[i%2]
		if i%3 == 0 {
			planted[fmt.Sprintf("service-%07d/new", i)] = "new"
		}
	}
	b.change(planted)
	a.bytes, b.bytes, a.asked = 0, 0, 0
	r := a.compare(b)
	if want := slices.Sorted(maps.Keys(planted)); !slices.Equal(r.Keys, want) || len(r.Stretches) != 0 {
		t.Fatalf("%d of %d differences were found, and %d stretches", len(r.Keys), len(want), len(r.Stretches))
	}
	t.Logf("%d of %d keys differ: %d and %d bytes in %d questions", len(planted), n, a.bytes, b.bytes, a.asked)
	if sum := a.bytes + b.bytes; sum > 500<<10 {
		t.Errorf("finding them took %d bytes", sum)
	}
	return a.bytes + b.bytes, a.asked
}
