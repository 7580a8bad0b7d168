package forwarder

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestQuantilesAreOfRecentRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recent
		if median, p99 := r.quantiles(); median != 0 || p99 != 0 {
			t.Errorf("of nothing: %v, %v", median, p99)
		}
		r.add(time.Second)
		if median, p99 := r.quantiles(); median != time.Second || p99 != time.Second {
			t.Errorf("of one: %v, %v", median, p99)
		}
		time.Sleep(recentFor) // of the bubble's clock
		for i := range 100 {
			r.add(time.Duration(i+1) * time.Millisecond)
		}
		if median, p99 := r.quantiles(); median != 51*time.Millisecond || p99 != 99*time.Millisecond {
			t.Errorf("of 100: %v, %v", median, p99)
		}
		for range recentSize {
			r.add(time.Millisecond)
		}
		if median, p99 := r.quantiles(); median != time.Millisecond || p99 != time.Millisecond {
			t.Errorf("of the last: %v, %v", median, p99)
		}
	})
}
