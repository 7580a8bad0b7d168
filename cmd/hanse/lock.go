package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"
)

// exitChildFailed is the exit code of -child-exit-code for a child that failed.
const exitChildFailed = 2

var lockCommand = command{
	name:  "lock",
	args:  "PREFIX COMMAND...",
	short: "Run a command while holding a lock",
	long: "Takes a lock at PREFIX/.lock in the key/value store and runs the command\n" +
		"while it holds it, with CONSUL_LOCK_HELD=true in its environment. With -n\n" +
		"above 1 as many may run at once. When the command ends, the lock is\n" +
		"released. When the lock is lost, or cannot be watched any more, or we are\n" +
		"interrupted, the command and all it started get a SIGTERM, and a SIGKILL if\n" +
		"they do not end within 5 seconds. With -pass-stdin only the command itself\n" +
		"gets them.",
	examples: []string{"lock service/backup ./backup.sh", "lock -n=3 service/workers ./work", "lock -try=10s -child-exit-code service/backup ./backup.sh"},
	prepare: func(fs *flag.FlagSet) work {
		r := &lockRequest{client: clusterFlags(fs)}
		fs.BoolVar(&r.childExitCode, "child-exit-code", false, "Exit with 2 if the command fails, instead of 0.")
		fs.IntVar(&r.monitorRetry, "monitor-retry", 3, "How `often` in a row watching the lock may fail with a server's error before it counts as lost, a second apart.")
		fs.IntVar(&r.holders, "n", 1, "How `many` may hold the lock at once. All who use a prefix must give the same.")
		fs.StringVar(&r.name, "name", "", "The `name` of the session; one is made of the command by default.")
		fs.BoolVar(&r.passStdin, "pass-stdin", false, "Give our standard input to the command.")
		fs.BoolVar(&r.shell, "shell", true, "Run the command in a shell.")
		fs.DurationVar(&r.timeout, "timeout", 0, "How long to wait for the lock at most, such as `30s`; for ever by default.")
		fs.DurationVar(&r.try, "try", 0, "Try to get the lock for this long, such as `500ms`.")
		fs.BoolVar(&r.verbose, "verbose", false, "Say what is going on.")
		return r.run
	},
}

// lockRequest is what the command line asks for.
type lockRequest struct {
	client                                   *clientFlags
	childExitCode, passStdin, shell, verbose bool
	monitorRetry, holders                    int
	name                                     string
	timeout, try                             time.Duration
	prefix                                   string
	command                                  []string
}

func (r *lockRequest) check(args []string) error {
	switch {
	case len(args) < 2:
		return failf("Key prefix and child command must be specified")
	case r.holders <= 0:
		return failf("Lock holder limit must be positive")
	case r.monitorRetry < 0:
		return failf("Number for 'monitor-retry' must be >= 0")
	case r.timeout < 0:
		return failf("Timeout must be positive")
	case r.try < 0:
		return failf("Try timeout must be positive")
	}
	r.prefix, r.command = strings.TrimPrefix(args[0], "/"), args[1:]
	if strings.Trim(r.prefix, "/") == "" {
		return failf("Key prefix must not be empty")
	}
	if r.name == "" {
		r.name = fmt.Sprintf("Consul lock for '%s' at '%s'", strings.Join(r.command, " "), r.prefix)
	}
	return nil
}

// patience is how long to wait for the lock, 0 for ever.
func (r *lockRequest) patience() time.Duration {
	if r.try > 0 && (r.timeout == 0 || r.try < r.timeout) {
		return r.try
	}
	return r.timeout
}

func (r *lockRequest) run(ctx context.Context, std stdio, args []string) error {
	if err := r.check(args); err != nil {
		return err
	}
	client, err := r.client.connect()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	say := func(format string, args ...any) {
		if r.verbose {
			fmt.Fprintf(std.out, format+"\n", args...)
		}
	}
	session, end, err := r.openSession(client)
	if err != nil {
		return failf("Lock setup failed: %s", err)
	}
	defer end()
	lock, err := r.newLock(client, session, say)
	if err != nil {
		return failf("Lock setup failed: %s", err)
	}
	lost, err := r.acquire(ctx, lock, say)
	if err != nil {
		return err
	}
	outcome := r.runChild(ctx, std, lost, say)
	r.cleanUp(lock, std, say)
	return outcome
}

// sessionTTL is how long a lock outlives a holder that died.
const sessionTTL = "15s"

// openSession makes a session and renews it until end is called, which destroys it.
func (r *lockRequest) openSession(client *api.Client) (id string, end func(), err error) {
	s, entry := client.Session(), &api.SessionEntry{Name: r.name, TTL: sessionTTL}
	if r.holders > 1 {
		entry.Behavior = api.SessionBehaviorDelete // those who wait have a key each
	}
	id, _, err = s.Create(entry, nil)
	if err != nil {
		return "", nil, fmt.Errorf("create a session: %w", err)
	}
	return id, renewing(s, id), nil
}

// renewing renews a session until end is called, which destroys it.
func renewing(s *api.Session, id string) (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		// An error needs no word: whoever watches what the session holds hears of its
		// end. The session is destroyed when done is closed.
		_ = s.RenewPeriodic(sessionTTL, id, nil, done)
	}()
	return func() { close(done); <-ended }
}

// heldLock is a lock or a slot of a semaphore.
type heldLock struct {
	acquire          func(stop <-chan struct{}) (lost <-chan struct{}, err error)
	release, destroy func() error
}

func (r *lockRequest) newLock(client *api.Client, session string, say func(string, ...any)) (*heldLock, error) {
	const retryTime = time.Second
	patience := r.patience()
	if r.holders == 1 {
		key := path.Join(r.prefix, api.DefaultSemaphoreKey)
		say("Setting up lock at path: %s", key)
		l, err := client.LockOpts(&api.LockOptions{
			Key: key, Session: session, MonitorRetries: r.monitorRetry, MonitorRetryTime: retryTime,
			LockTryOnce: patience > 0, LockWaitTime: patience,
		})
		if err != nil {
			return nil, err
		}
		return &heldLock{l.Lock, l.Unlock, l.Destroy}, nil
	}
	say("Setting up semaphore (limit %d) at prefix: %s", r.holders, r.prefix)
	s, err := client.SemaphoreOpts(&api.SemaphoreOptions{
		Prefix: r.prefix, Limit: r.holders, Session: session, MonitorRetries: r.monitorRetry, MonitorRetryTime: retryTime,
		SemaphoreTryOnce: patience > 0, SemaphoreWaitTime: patience,
	})
	if err != nil {
		return nil, err
	}
	return &heldLock{s.Acquire, s.Release, s.Destroy}, nil
}

// acquire waits for the lock. When it gives up, the end of the session also ends what
// the client may still be about to do.
func (r *lockRequest) acquire(ctx context.Context, lock *heldLock, say func(string, ...any)) (lost <-chan struct{}, err error) {
	say("Attempting lock acquisition")
	if patience := r.patience(); patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	type outcome struct {
		lost <-chan struct{}
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		lost, err := lock.acquire(ctx.Done())
		done <- outcome{lost, err}
	}()
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		select {
		case o = <-done:
		case <-time.After(abandonAfter):
		}
	}
	switch {
	case o.err != nil:
		return nil, failf("Lock acquisition failed: %s", o.err)
	case o.lost == nil:
		return nil, failf("Shutdown triggered or timeout during lock acquisition")
	}
	return o.lost, nil
}

// abandonAfter is how long an attempt that is given up may take to say that it succeeded.
const abandonAfter = 500 * time.Millisecond

// cleanUp releases the lock, and removes its key if nobody else uses it.
func (r *lockRequest) cleanUp(lock *heldLock, std stdio, say func(string, ...any)) {
	if err := lock.release(); err != nil && !errors.Is(err, api.ErrLockNotHeld) && !errors.Is(err, api.ErrSemaphoreNotHeld) {
		fmt.Fprintf(std.err, "Lock release failed: %s\n", err)
		return
	}
	switch err := lock.destroy(); {
	case err == nil:
		say("Cleanup succeeded")
	case errors.Is(err, api.ErrLockInUse), errors.Is(err, api.ErrSemaphoreInUse):
		say("Cleanup aborted, lock in use")
	default:
		fmt.Fprintf(std.err, "Cleanup failed: %s\n", err)
	}
}
