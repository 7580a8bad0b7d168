package rexec

import (
	"fmt"
	"sync"
	"time"
)

const (
	// MaxOutput is how much of a job's output is sent, in bytes.
	MaxOutput = 1 << 20
	// pieceSize is from when on output is not collected any longer, in bytes.
	pieceSize = 4 << 10
	// collectFor is how long less than that is collected.
	collectFor = 500 * time.Millisecond
)

// output collects what a job prints.
type output struct {
	mu     sync.Mutex
	buf    []byte
	total  int64
	closed bool
	change chan struct{}
}

func newOutput() *output { return &output{change: make(chan struct{})} }

// Write implements io.Writer. It never waits and never fails.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	keep := p[:min(int64(len(p)), max(0, MaxOutput-o.total))]
	o.buf = append(o.buf, keep...)
	o.total += int64(len(p))
	o.changedLocked()
	return len(p), nil
}

// close says that there is no more.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.total > MaxOutput {
		o.buf = fmt.Appendf(o.buf, "\n[the first %d of %d bytes were sent]\n", MaxOutput, o.total)
	}
	o.closed = true
	o.changedLocked()
}

func (o *output) changedLocked() {
	close(o.change)
	o.change = make(chan struct{})
}

// next waits for the next piece, which is empty after a time in which nothing was
// printed. more is false once it is the last.
func (o *output) next(quiet time.Duration) (piece []byte, more bool) {
	silence := time.NewTimer(quiet)
	defer silence.Stop()
	var enough <-chan time.Time
	for {
		o.mu.Lock()
		if n := len(o.buf); n >= pieceSize || o.closed {
			defer o.mu.Unlock()
			return o.takeLocked()
		} else if n > 0 && enough == nil {
			enough = time.After(collectFor)
		}
		change := o.change
		o.mu.Unlock()
		select {
		case <-change:
		case <-silence.C:
			if enough == nil {
				return nil, true
			}
		case <-enough:
			o.mu.Lock()
			defer o.mu.Unlock()
			return o.takeLocked()
		}
	}
}

func (o *output) takeLocked() (piece []byte, more bool) {
	n := min(len(o.buf), pieceSize)
	piece, o.buf = o.buf[:n:n], o.buf[n:]
	return piece, len(o.buf) > 0 || !o.closed
}
