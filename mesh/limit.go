package mesh

import (
	"context"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/hanse-project/hanse/rpc"
)

// busy is the text of the error of a request for a certificate that came when there were
// too many.
const busy = "rate limit reached, try again later"

var errBusy = rpc.Failed(busy)

// Busy tells whether the servers had too many requests for certificates to answer: it is
// worth asking again.
func Busy(err error) bool { return err != nil && strings.Contains(err.Error(), busy) }

// busyWait is how long a request waits for its turn.
const busyWait = 500 * time.Millisecond

// limits bound how many certificates are signed, by CSRMaxPerSecond, or where that is 0 by
// CSRMaxConcurrent.
type limits struct {
	mu         sync.Mutex
	perSecond  float64
	rate       *rate.Limiter
	concurrent int
	slots      chan struct{}
}

// enter waits for a turn. The caller says when it is done.
func (l *limits) enter(ctx context.Context, s *settings) (done func(), err error) {
	limiter, slots := l.now(s)
	ctx, cancel := context.WithTimeout(ctx, busyWait)
	defer cancel()
	switch {
	case limiter != nil:
		if limiter.Wait(ctx) != nil {
			return nil, errBusy
		}
	case slots != nil:
		select {
		case slots <- struct{}{}:
			return func() { <-slots }, nil
		case <-ctx.Done():
			return nil, errBusy
		}
	}
	return func() {}, nil
}

// now follows the settings.
func (l *limits) now(s *settings) (*rate.Limiter, chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.perSecond != l.perSecond || s.concurrent != l.concurrent {
		l.perSecond, l.concurrent, l.rate, l.slots = s.perSecond, s.concurrent, nil, nil
		switch {
		case s.perSecond > 0:
			l.rate = rate.NewLimiter(rate.Limit(s.perSecond), max(1, int(s.perSecond)))
		case s.concurrent > 0:
			l.slots = make(chan struct{}, s.concurrent)
		}
	}
	return l.rate, l.slots
}
