package main

import (
	"context"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// lockRun is a hanse lock that runs in this process.
type lockRun struct {
	out, err *syncBuffer
	stop     context.CancelFunc
	ended    chan int
}

func startLock(t *testing.T, stdin string, args ...string) *lockRun {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &lockRun{&syncBuffer{}, &syncBuffer{}, stop, make(chan int, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- run(ctx, append([]string{"lock"}, args...), stdio{strings.NewReader(stdin), r.out, r.err})
	}()
	t.Cleanup(func() { stop(); <-done })
	return r
}

// waitOut waits until the command has printed text.
func (r *lockRun) waitOut(t *testing.T, text string) {
	t.Helper()
	lab.Until(t, "the command prints "+text, func() error {
		if out := r.out.String(); !strings.Contains(out, text) {
			return fmt.Errorf("it printed %q, and %q as errors", out, r.err)
		}
		return nil
	})
}

func TestLock(t *testing.T) {
	clearEnvironment(t)
	_, stop := signal.NotifyContext(t.Context(), syscall.SIGHUP) // its goroutine stays for ever: the lab must not mind
	stop()
	fed := lab.Start(t, lab.Servers("dc1", 1))
	node := fed.Node("dc1-s1")
	t.Setenv("CONSUL_HTTP_ADDR", node.Addr(lab.HTTPPort))
	client := node.API(t)
	// nothing checks that a lock that ended left nothing.
	nothing := func(t *testing.T) {
		t.Helper()
		keys, _, err := client.KV().Keys("", "", nil)
		sessions, _, err2 := client.Session().List(nil)
		if err != nil || err2 != nil || len(keys) != 0 || len(sessions) != 0 {
			t.Errorf("keys %q and sessions %v are left (%v, %v)", keys, sessions, err, err2)
		}
	}
	t.Run("the command's end is told as wished", func(t *testing.T) {
		for _, c := range []struct {
			args, stdin, out, err string
			exit                  int
		}{
			{args: "-child-exit-code cli/lock echo held", out: "held\n"}, // as recorded
			{args: "-child-exit-code cli/lock exit 3", err: "Error running handler: exit status 3\n", exit: 2},
			{args: "cli/lock exit 3", err: "Error running handler: exit status 3\n"},
			{args: "/cli/lock/ echo $CONSUL_LOCK_HELD", out: "true\n"},
			{args: "-shell=false cli/lock echo $CONSUL_LOCK_HELD", out: "$CONSUL_LOCK_HELD\n"},
			{args: "-shell=false cli/lock /no/such/command", err: "Error running handler: fork/exec /no/such/command: no such file or directory\n", exit: 1},
			{args: "-pass-stdin cli/lock cat", stdin: "from us", out: "from us"},
			{args: "cli/lock cat", stdin: "from us"},
			{args: "-n=2 cli/lock echo slot", out: "slot\n"},
			{args: "-verbose -try=1m -timeout=1h cli/lock true", out: "Setting up lock at path: cli/lock/.lock\nAttempting lock acquisition\nStarting handler 'true'\nCleanup succeeded\n"},
			{args: "-verbose -n=3 cli/lock true", out: "Setting up semaphore (limit 3) at prefix: cli/lock\nAttempting lock acquisition\nStarting handler 'true'\nCleanup succeeded\n"},
			{args: "cli/lock", err: "Key prefix and child command must be specified\n", exit: 1},
			{args: "-n=0 cli/lock true", err: "Lock holder limit must be positive\n", exit: 1},
			{args: "-monitor-retry=-1 cli/lock true", err: "Number for 'monitor-retry' must be >= 0\n", exit: 1},
			{args: "-try=-1s cli/lock true", err: "Try timeout must be positive\n", exit: 1},
			{args: "-timeout=-1s cli/lock true", err: "Timeout must be positive\n", exit: 1},
			{args: "/ true", err: "Key prefix must not be empty\n", exit: 1},
			{args: "-datacenter=nowhere cli/lock true", err: "Lock setup failed: create a session: Unexpected response code: 500 (No path to datacenter: nowhere)\n", exit: 1},
		} {
			out, err, exit := hanse(t, c.stdin, append([]string{"lock"}, strings.Fields(c.args)...)...)
			if out != c.out || err != c.err || exit != c.exit {
				t.Errorf("%s: %d, %q, %q; want %d, %q, %q", c.args, exit, out, err, c.exit, c.out, c.err)
			}
			nothing(t)
		}
	})
	t.Run("one at a time", func(t *testing.T) {
		first := startLock(t, "", "-name=first", "one", "echo held; sleep 1000")
		first.waitOut(t, "held")
		if sessions, _, err := client.Session().List(nil); err != nil || len(sessions) != 1 || sessions[0].Name != "first" || sessions[0].TTL != "15s" {
			t.Errorf("%+v, %v", sessions, err)
		}
		for _, wait := range []string{"-try=100ms", "-timeout=100ms"} {
			out, err, exit := hanse(t, "", "lock", wait, "one", "echo", "held")
			if out != "" || err != "Shutdown triggered or timeout during lock acquisition\n" || exit != 1 {
				t.Errorf("%s: %d, %q, %q", wait, exit, out, err)
			}
		}
		next := startLock(t, "", "one", "echo next")
		first.stop()
		if exit := <-first.ended; exit != 1 || !strings.Contains(first.err.String(), "Shutdown triggered, killing child\n") {
			t.Errorf("the first: %d, %q", exit, first.err)
		}
		if exit := <-next.ended; exit != 0 || next.out.String() != "next\n" {
			t.Errorf("the next: %d, %q, %q", exit, next.out, next.err)
		}
		nothing(t)
	})
	t.Run("as many as there are slots", func(t *testing.T) {
		var held []*lockRun
		for range 2 {
			held = append(held, startLock(t, "", "-n=2", "slots", "echo held; sleep 1000"))
		}
		for _, r := range held {
			r.waitOut(t, "held")
		}
		if out, _, exit := hanse(t, "", "lock", "-n=2", "-try=100ms", "slots", "echo", "held"); out != "" || exit != 1 {
			t.Errorf("a third: %d, %q", exit, out)
		}
		if _, err, exit := hanse(t, "", "lock", "-n=3", "slots", "true"); exit != 1 || !strings.Contains(err, "Lock acquisition failed") {
			t.Errorf("another number: %d, %q", exit, err)
		}
		if _, err, exit := hanse(t, "", "lock", "-try=1m", "slots", "true"); exit != 1 || !strings.Contains(err, api.ErrLockConflict.Error()) {
			t.Errorf("a lock where a semaphore is: %d, %q", exit, err)
		}
		for _, r := range held {
			r.stop()
			<-r.ended
		}
		nothing(t)
	})
	t.Run("a lost lock ends the command and all it started", func(t *testing.T) {
		for command, says := range map[string]string{
			`trap 'echo asked; exit 0' TERM; echo held; while :; do sleep 0.05; done`: "asked",
			`trap '' TERM; (echo held; while :; do sleep 0.05; done)`:                 "", // needs a SIGKILL
		} {
			r := startLock(t, "", "lost"+says, command)
			r.waitOut(t, "held")
			sessions, _, err := client.Session().List(nil)
			if err != nil || len(sessions) != 1 {
				t.Fatalf("%+v, %v", sessions, err)
			}
			if _, err := client.Session().Destroy(sessions[0].ID, nil); err != nil {
				t.Fatal(err)
			}
			if exit := <-r.ended; exit != 1 || !strings.Contains(r.err.String(), "Lock lost, killing child") || !strings.Contains(r.out.String(), says) {
				t.Errorf("%s: %d, %q, %q", command, exit, r.out, r.err)
			}
			if _, err := client.KV().DeleteTree("", nil); err != nil { // there is a delay, and nobody waits
				t.Fatal(err)
			}
		}
		nothing(t)
	})
}
