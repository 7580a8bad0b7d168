package replicate

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Quiet lets a source settle: after news a link waits until there was none for Min,
// but no longer than Max. Zero waits for nothing.
type Quiet struct{ Min, Max time.Duration }

// Retry says how failed attempts are repeated.
type Retry struct {
	// Base is the first delay; it doubles up to Max, 0 meaning without limit.
	Base, Max time.Duration

	// Attempts is how many may fail in a row before a link gives up, 0 for never.
	Attempts int
}

// Delay is how long to wait after so many failures in a row (at least 1): half of it
// is fixed and half of it random, so that daemons do not come back in step.
func (r Retry) Delay(failures int) time.Duration {
	d := r.Base
	for range failures - 1 {
		if d *= 2; d >= time.Hour || r.Max > 0 && d >= r.Max {
			break
		}
	}
	if r.Max > 0 {
		d = min(d, r.Max)
	}
	return d/2 + rand.N(d/2+1)
}

// Exhausted reports whether so many failures in a row are too many.
func (r Retry) Exhausted(failures int) bool { return r.Attempts > 0 && failures >= r.Attempts }

func (q Quiet) validate() error {
	if q.Min < 0 || q.Max < q.Min {
		return fmt.Errorf("wait is %v:%v: the maximum must not be below the minimum, nor either below 0", q.Min, q.Max)
	}
	return nil
}

func (r Retry) validate() error {
	if r.Base <= 0 || r.Max < 0 || r.Attempts < 0 {
		return fmt.Errorf("retry has backoff %v, max backoff %v, attempts %d: use a positive backoff and nothing negative", r.Base, r.Max, r.Attempts)
	}
	return nil
}
