package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestPartsEndInReverseOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parts{log: hclog.NewNullLogger()}
		var order []string
		note := func(name string, err error) func() error {
			return func() error { order = append(order, name); return err }
		}
		neverFails := func(err *partError) { t.Errorf("failed: %v", err) }
		release := make(chan struct{})
		p.add("first", time.Second, note("first", nil))
		p.add("broken", time.Second, note("broken", errors.New("it is broken")))
		p.add("stuck", time.Second, func() error { <-release; return nil })
		p.run("works", time.Second, neverFails, func(ctx context.Context) error {
			<-ctx.Done()
			order = append(order, "works")
			return ctx.Err()
		})
		p.run("done early", time.Second, neverFails, func(context.Context) error { return nil })
		p.add("last", time.Second, note("last", nil))
		err := p.stop()
		if want := []string{"last", "works", "broken", "first"}; !slices.Equal(order, want) {
			t.Errorf("ended %v, want %v", order, want)
		}
		if err == nil || !strings.Contains(err.Error(), "stop stuck: it did not end within 1s") || !strings.Contains(err.Error(), "stop broken: it is broken") {
			t.Errorf("error is %v", err)
		}
		if err := p.stop(); err != nil {
			t.Errorf("the second end: %v", err)
		}
		close(release)
	})
}

func TestPartThatFailsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parts{log: hclog.NewNullLogger()}
		told := make(chan error, 1)
		cause := errors.New("no more")
		p.run("fails", time.Second, func(err *partError) { told <- err }, func(context.Context) error { return cause })
		if err := <-told; !errors.Is(err, cause) || err.Error() != "no more" {
			t.Errorf("told %v", err)
		}
		if err := p.stop(); err != nil {
			t.Errorf("what was told is told again: %v", err)
		}
	})
}
