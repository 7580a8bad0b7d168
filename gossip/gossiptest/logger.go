package gossiptest

import (
	"io"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// Logger writes to the test's output. It falls silent when the test ends: memberlist
// does not wait for its goroutines, and testing allows no output after the end.
func Logger(t testing.TB) hclog.Logger {
	w := &output{to: t.Output()}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.to = io.Discard
	})
	return hclog.New(&hclog.LoggerOptions{Output: w, Level: hclog.Debug, DisableTime: true})
}

type output struct {
	mu sync.Mutex
	to io.Writer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.to.Write(p)
}
