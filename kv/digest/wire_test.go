package digest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestKeysOnTheWireAreOnlyWhatIsNew(t *testing.T) {
	spans := Spans{{"config/a", "config/b"}, {"config/b", "x\xff"}, {"y", ""}}
	wire, err := spans.MarshalBinary()
	if err != nil || string(wire) != "\x00\x08config/a"+"\x07\x01b"+"\x08\x00"+"\x00\x02x\xff"+"\x00\x01y"+"\x00\x00" {
		t.Errorf("%q, %v", wire, err)
	}
	var back Spans
	if err := back.UnmarshalBinary(wire); err != nil || !slices.Equal(back, spans) {
		t.Errorf("%q came out of %q (%v)", back, spans, err)
	}
	ranges := Ranges{{{"a", 300, Sum{1}}, {"ab", 1, Sum{15: 2}}}, nil, {{"b", 2, Sum{3}}}}
	wire, err = ranges.MarshalBinary()
	if want := "\x02" + "\x00\x01a\xac\x02\x01" + strings.Repeat("\x00", 15) + "\x01\x01b\x01" + strings.Repeat("\x00", 15) + "\x02" +
		"\x00" + "\x01" + "\x00\x01b\x02\x03" + strings.Repeat("\x00", 15); err != nil || string(wire) != want {
		t.Errorf("%q, %v", wire, err)
	}
	var again Ranges
	if err := again.UnmarshalBinary(wire); err != nil || !reflect.DeepEqual(again, ranges) {
		t.Errorf("%v came out of %v (%v)", again, ranges, err)
	}
}

func TestWhatIsBrokenOnTheWireIsRefused(t *testing.T) {
	long := "\x00\x80\x80\x20" + strings.Repeat("k", 1<<19) // a key of 512 KB,
	long += strings.Repeat("\x80\x80\x20\x00"+"\xff\xff\x1f\x01x", 64)
	for _, wire := range []string{"\x00", "\x00\x05ab", "\x01\x00\x00\x00", "\x00\x00", "\x80", long} {
		var spans Spans
		if err := spans.UnmarshalBinary([]byte(wire)); err == nil && wire != "\x00\x00" {
			t.Errorf("%.20q is taken for %d spans", wire, len(spans))
		}
	}
	for _, wire := range []string{"\x01", "\x02\x00\x01a\x01" + strings.Repeat("s", 16), "\x01\x00\x01a\x01short",
		"\x01\x00\x01a\x00" + strings.Repeat("s", 16), "\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\x01\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + strings.Repeat("s", 16)} {
		var ranges Ranges
		if err := ranges.UnmarshalBinary([]byte(wire)); err == nil {
			t.Errorf("%q is taken for %v", wire, ranges)
		}
	}
}

func TestAnswersThatAreNoneAreRefused(t *testing.T) {
	good := newSide(t, manyKeys(1000))
	for name, rep := range map[string]*Reply{
		"no spans":     {},
		"many spans":   {Ranges: Ranges{nil, nil}},
		"out of order": {Ranges: Ranges{{{"b", 1, Sum{}}, {"a", 1, Sum{}}}}},
		"twice":        {Ranges: Ranges{{{"b", 1, Sum{}}, {"b", 1, Sum{}}}}},
		"levels":       {Ranges: Ranges{nil}, Levels: 100},
	} {
		bad := func(context.Context, Query) (*Reply, error) { return rep, nil }
		if r, err := Compare(t.Context(), Side{Ask: good.ask}, Side{Ask: bad}); err == nil || !strings.Contains(err.Error(), "destination") {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	down := errors.New("down")
	bad := func(context.Context, Query) (*Reply, error) { return nil, down }
	if _, err := Compare(t.Context(), Side{Ask: bad}, Side{Ask: good.ask}); !errors.Is(err, down) || !strings.Contains(err.Error(), "source") {
		t.Errorf("%v", err)
	}
}

func TestMistakenQuestions(t *testing.T) {
	for name, q := range map[string]Query{
		"level":     {Level: -1},
		"spans":     {Spans: make(Spans, MaxSpans+1)},
		"excludes":  {Exclude: make([]string, MaxExclude+1)},
		"empty":     {Spans: Spans{{"a", "a"}}},
		"order":     {Spans: Spans{{"b", "c"}, {"a", "b"}}},
		"overlap":   {Spans: Spans{{"a", "c"}, {"b", "d"}}},
		"after end": {Spans: Spans{{"a", ""}, {"b", ""}}},
	} {
		if q.Check() == nil {
			t.Errorf("%s: nothing is wrong with it", name)
		}
	}
}

func FuzzSpans(f *testing.F) {
	f.Add([]byte("\x00\x08config/a\x07\x01b\x08\x00\x00\x02x\xff"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		var spans, back Spans
		if spans.UnmarshalBinary(wire) != nil {
			return
		}
		again, err := spans.MarshalBinary()
		if err != nil || back.UnmarshalBinary(again) != nil || !slices.Equal(spans, back) {
			t.Errorf("%q came out of %q (%v)", back, spans, err)
		}
		q := Query{Spans: spans, Level: 1}
		if q.Check() == nil {
			s := newSide(t, manyKeys(100))
			if err := s.tree.Answer(&q, s.entries).check(&q); err != nil {
				t.Error(err)
			}
		}
	})
}

// What another datacenter answers must not break who compares.
func FuzzRanges(f *testing.F) {
	dice := rand.New(rand.NewPCG(1, 1))
	values := map[string]string{}
	for range 200 {
		values[odd(dice)] = "v"
	}
	s := newSide(f, values)
	for level := range 3 {
		wire, err := s.tree.Answer(&Query{Level: level}, s.entries).Ranges.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire, 2)
	}
	f.Fuzz(func(t *testing.T, wire []byte, levels int) {
		var ranges, back Ranges
		if ranges.UnmarshalBinary(wire) != nil {
			return
		}
		again, err := ranges.MarshalBinary()
		if err != nil || back.UnmarshalBinary(again) != nil || !reflect.DeepEqual(ranges, back) {
			t.Errorf("%v came out of %v (%v)", back, ranges, err)
		}
		if len(again) > len(wire) && bytes.HasPrefix(again, wire) {
			t.Errorf("%q was written as %q", wire, again)
		}
		rep := &Reply{Levels: levels, Ranges: ranges}
		other := func(context.Context, Query) (*Reply, error) { return rep, nil }
		mine := newSide(t, values)
		if r, err := Compare(t.Context(), Side{Ask: mine.ask}, Side{Ask: other}); err == nil && !slices.IsSorted(r.Keys) {
			t.Errorf("%q", r.Keys)
		}
	})
}
