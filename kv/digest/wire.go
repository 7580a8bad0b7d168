package digest

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Spans are what a [Query] is about. On the wire they are one string of bytes: the keys From
// and To of each, written as what they have in common with the key before and what follows.
//
//	+---------------------------+----------------+------------+
//	| length of what is shared  | length of rest | rest       |
//	| uvarint                   | uvarint        |            |
//	+---------------------------+----------------+------------+
type Spans []Span

// Ranges are the ranges of each span of a [Query]. On the wire they are one string of bytes:
// for each span how many ranges it has (uvarint), and of each range its start, like the keys
// of [Spans], its count (uvarint) and its sum.
type Ranges [][]Range

// MarshalBinary implements encoding.BinaryMarshaler.
func (s Spans) MarshalBinary() ([]byte, error) {
	var k keyWriter
	for _, span := range s {
		k.key(span.From)
		k.key(span.To)
	}
	return k.out, nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (s *Spans) UnmarshalBinary(data []byte) error {
	r := keyReader{in: data}
	*s = nil
	for len(r.in) > 0 {
		span := Span{r.key(), r.key()}
		if r.err != nil {
			return fmt.Errorf("span %d: %w", len(*s)+1, r.err)
		}
		*s = append(*s, span)
	}
	return nil
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (r Ranges) MarshalBinary() ([]byte, error) {
	var k keyWriter
	for _, parts := range r {
		k.number(uint64(len(parts)))
		for i := range parts {
			k.key(parts[i].Start)
			k.number(uint64(parts[i].Count))
			k.out = append(k.out, parts[i].Sum[:]...)
		}
	}
	return k.out, nil
}

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (r *Ranges) UnmarshalBinary(data []byte) error {
	k := keyReader{in: data}
	*r = nil
	for len(k.in) > 0 {
		count := k.number()
		var parts []Range
		for ; count > 0 && k.err == nil; count-- {
			part := Range{Start: k.key(), Count: int(k.number())}
			k.sum(&part.Sum)
			if part.Count <= 0 {
				k.fail(errors.New("it has no keys"))
			}
			parts = append(parts, part)
		}
		if k.err != nil {
			return fmt.Errorf("range %d of span %d: %w", len(parts), len(*r)+1, k.err)
		}
		*r = append(*r, parts)
	}
	return nil
}

// keyWriter writes keys that have their beginnings in common.
type keyWriter struct {
	out  []byte
	last string
}

func (w *keyWriter) number(n uint64) { w.out = binary.AppendUvarint(w.out, n) }

func (w *keyWriter) key(key string) {
	shared := 0
	for shared < min(len(key), len(w.last)) && key[shared] == w.last[shared] {
		shared++
	}
	w.number(uint64(shared))
	w.number(uint64(len(key) - shared))
	w.out = append(w.out, key[shared:]...)
	w.last = key
}

// keyReader reads what a keyWriter wrote. After an error it reads nothing more.
type keyReader struct {
	in   []byte
	last string
	// size is what the keys take: a few bytes may stand for a long one, again and again.
	size int
	err  error
}

var errCut = errors.New("it is cut off")

func (r *keyReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.in = nil
}

func (r *keyReader) number() uint64 {
	n, size := binary.Uvarint(r.in)
	if size <= 0 {
		r.fail(errCut)
		return 0
	}
	r.in = r.in[size:]
	return n
}

func (r *keyReader) key() string {
	shared, rest := r.number(), r.number()
	switch {
	case r.err != nil:
		return ""
	case rest > uint64(len(r.in)):
		r.fail(errCut)
		return ""
	case shared > uint64(len(r.last)):
		r.fail(fmt.Errorf("%d bytes are said to be shared with a key of %d", shared, len(r.last)))
		return ""
	}
	key := r.last[:shared]
	if rest > 0 {
		key += string(r.in[:rest])
		if r.size += len(key); r.size > 2*maxBytes {
			r.fail(fmt.Errorf("the keys are larger than %d bytes", 2*maxBytes))
			return ""
		}
	}
	r.in, r.last = r.in[rest:], key
	return key
}

func (r *keyReader) sum(into *Sum) {
	if r.err == nil && copy(into[:], r.in) < len(into) {
		r.fail(errCut)
		return
	}
	r.in = r.in[min(len(into), len(r.in)):]
}
