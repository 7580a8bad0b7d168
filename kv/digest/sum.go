package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// Sum stands for a set of entries: their names, flags and values. The sum of nothing is zero.
type Sum [16]byte

// Entry is what is summed up.
type Entry struct {
	Key   string
	Flags uint64
	Value []byte
}

// total is a number of entries and their sum, as a number of 128 bits.
type total struct {
	count  int
	hi, lo uint64
}

func (t *total) add(other total) {
	var carry uint64
	t.lo, carry = bits.Add64(t.lo, other.lo, 0)
	t.hi, _ = bits.Add64(t.hi, other.hi, carry)
	t.count += other.count
}

func (t total) rangeFrom(start string) Range {
	r := Range{Start: start, Count: t.count}
	binary.BigEndian.PutUint64(r.Sum[:8], t.hi)
	binary.BigEndian.PutUint64(r.Sum[8:], t.lo)
	return r
}

func (r *Range) total() total {
	return total{r.Count, binary.BigEndian.Uint64(r.Sum[:8]), binary.BigEndian.Uint64(r.Sum[8:])}
}

// hasher keeps the memory that hashing takes.
type hasher struct{ buf []byte }

// entry is what stands for one entry: the first half of the SHA-256 of
//
//	+-------------------+------+-------------------+-------+
//	| length of the key | key  | flags             | value |
//	| 8, big endian     |      | 8, big endian     |       |
//	+-------------------+------+-------------------+-------+
func (h *hasher) entry(e *Entry) total {
	h.buf = binary.BigEndian.AppendUint64(h.buf[:0], uint64(len(e.Key)))
	h.buf = append(h.buf, e.Key...)
	h.buf = binary.BigEndian.AppendUint64(h.buf, e.Flags)
	h.buf = append(h.buf, e.Value...)
	sum := sha256.Sum256(h.buf)
	return total{1, binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16])}
}

// rank is the highest level at which a range begins with this key: each is a sixteenth as
// frequent as the one before. It must never be calculated differently: those who compare
// may be of different versions.
func rank(key string) int {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(key) {
		h ^= uint64(key[i])
		h *= 1099511628211
	}
	h ^= h >> 33 // the finalizer of MurmurHash3: FNV leaves the high bits of short keys alike
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return bits.LeadingZeros64(h) / 4
}
