package metrics

import (
	"maps"
	"math"
	"slices"
)

const (
	// interval is the seconds of one slot, and what JSON reports on.
	interval = 10
	// slots hold the running interval and the finished ones of the last minute.
	slots = 60/interval + 1
)

// quantiles are those of every summary.
var quantiles = []float64{0.5, 0.9, 0.99}

// slot is what was written to a series in one interval.
type slot struct {
	at       int64 // number of the interval
	count    uint64
	sum      float64
	sumSq    float64
	min, max float64
	buckets  map[int16]uint32 // nil in counters
}

// window is a ring of the last slots, each found by its interval's number.
type window [slots]slot

// add writes v into the slot of interval at, which it empties first if that
// slot still holds an older interval.
func (w *window) add(at int64, v float64, bucketed bool) {
	s := &w[at%slots]
	if s.at != at || s.count == 0 {
		clear(s.buckets)
		*s = slot{at: at, min: v, max: v, buckets: s.buckets}
	}
	s.count++
	s.sum += v
	s.sumSq += v * v
	s.min = min(s.min, v)
	s.max = max(s.max, v)
	if bucketed {
		if s.buckets == nil {
			s.buckets = make(map[int16]uint32)
		}
		s.buckets[bucketOf(v)]++
	}
}

// in returns what was written in interval at.
func (w *window) in(at int64) (slot, bool) {
	s := w[at%slots]
	return s, s.at == at && s.count > 0
}

// quantiles looks at all slots that are not older than the window at interval now.
// It returns nil if nothing was written in them.
func (w *window) quantiles(now int64) map[float64]float64 {
	var count uint64
	lo, hi := math.Inf(1), math.Inf(-1)
	buckets := make(map[int16]uint64)
	for i := range w {
		s := &w[i]
		if s.count == 0 || s.at <= now-slots {
			continue
		}
		count += s.count
		lo, hi = min(lo, s.min), max(hi, s.max)
		for b, n := range s.buckets {
			buckets[b] += uint64(n)
		}
	}
	if count == 0 {
		return nil
	}
	out := make(map[float64]float64, len(quantiles))
	var seen uint64
	next := 0
	for _, b := range slices.Sorted(maps.Keys(buckets)) {
		seen += buckets[b]
		for next < len(quantiles) && float64(seen) >= quantiles[next]*float64(count) {
			out[quantiles[next]] = min(max(middleOf(b), lo), hi)
			next++
		}
	}
	return out
}

// Buckets cut each power of two into 32 equal parts, so that the middle of a bucket is
// within 1.6% of what is in it. The lowest takes everything from 2^-20 down (as
// milliseconds, a nanosecond and less), zero and negative values too.
//
//	bits of a float64:  sign 1 | exponent 11 | fraction 52
//	bucket:                      exponent 11 | fraction 5    less that of 2^-20
const (
	bucketShift  = 52 - 5
	lowestBucket = (1023 - 20) << 5
)

func bucketOf(v float64) int16 {
	if !(v > 1.0/(1<<20)) {
		return 0
	}
	return int16(min(math.Float64bits(v)>>bucketShift-lowestBucket, math.MaxInt16))
}

func middleOf(b int16) float64 {
	if b == 0 {
		return 0
	}
	low := (uint64(b) + lowestBucket) << bucketShift
	return math.Float64frombits(low | 1<<(bucketShift-1))
}
