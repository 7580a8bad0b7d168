package rexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/event"
	"github.com/hanse-project/hanse/kv"
	"github.com/hanse-project/hanse/process"
	"github.com/hanse-project/hanse/rpc"
)

// exitUnknown is the exit code of a job that could not be started, or was killed by a signal.
const exitUnknown = 255

// errGone is why a job ends before its time.
var errGone = errors.New("the session that asked for the job is gone")

// work is one job at this agent.
type work struct {
	cfg   Config
	order Order
	job   Job
	log   hclog.Logger
}

// carryOut does what an event asks for.
func (r *Runner) carryOut(ctx context.Context, e *event.Event) {
	w := &work{cfg: r.cfg, log: r.cfg.Log.With("event", e.ID)}
	if err := w.take(ctx, e.Payload); err != nil {
		w.log.Warn("a job is not taken", "error", err)
		return
	}
	w.log.Info("a job begins", "session", w.order.Session, "command", w.job.String())
	code, err := w.run(ctx)
	if err == nil {
		err = w.put(ctx, "exit", []byte(strconv.Itoa(code)))
	}
	if err != nil {
		w.log.Warn("a job ended early", "session", w.order.Session, "error", err)
		return
	}
	w.log.Info("a job has ended", "session", w.order.Session, "exit_code", code)
}

// take reads the job and says that this node has it.
func (w *work) take(ctx context.Context, payload []byte) (err error) {
	if w.order, err = parseOrder(payload); err != nil {
		return err
	}
	req := &kv.KeyRequest{Key: w.order.JobKey()}
	req.Datacenter, req.Token = w.cfg.Datacenter, w.cfg.Token()
	rep, err := kv.Get.Call(ctx, w.cfg.Caller, req)
	if err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	// A job belongs to a session: one that anybody left behind is nobody's wish.
	if len(rep.Entries) == 0 || rep.Entries[0].Session != w.order.Session {
		return fmt.Errorf("read the job: %w", errGone)
	}
	if w.job, err = parseJob(rep.Entries[0].Value); err != nil {
		return err
	}
	return w.put(ctx, "ack", nil)
}

// run runs the job and passes on what it prints. An error means that nobody is to be told
// of an exit code.
func (w *work) run(ctx context.Context) (code int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := newOutput()
	args, cleanUp, err := w.args()
	defer cleanUp()
	ended := make(chan int, 1)
	go func() {
		defer out.close()
		if err != nil {
			fmt.Fprintf(out, "%v\n", err)
			ended <- exitUnknown
			return
		}
		code, err := process.Run(ctx, process.Command{Args: args, Output: out})
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(out, "%v\n", err)
		}
		if code < 0 {
			code = exitUnknown
		}
		ended <- code
	}()
	if err := w.pass(ctx, out); err != nil {
		cancel(err)
		<-ended
		return 0, err
	}
	code = <-ended
	return code, context.Cause(ctx)
}

// args are the program and its arguments. cleanUp removes what was made for them.
func (w *work) args() (args []string, cleanUp func(), err error) {
	nothing := func() {}
	switch {
	case len(w.job.Script) > 0:
		path, err := writeScript(w.job.Script)
		if err != nil {
			return nil, nothing, fmt.Errorf("write the script: %w", err)
		}
		return process.Shell(path), func() { _ = os.Remove(path) }, nil
	case len(w.job.Args) > 0:
		return w.job.Args, nothing, nil
	}
	return process.Shell(w.job.Command), nothing, nil
}

// writeScript makes a program of a script: its first line may say what interprets it.
func writeScript(text []byte) (path string, err error) {
	// A process that is started meanwhile would hold the file open for a moment, and a
	// program that somebody may write to cannot be run.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.CreateTemp("", "hanse-exec-")
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o700), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// pass writes the output, piece by piece, until its end.
func (w *work) pass(ctx context.Context, out *output) error {
	for n := 0; ; n++ {
		piece, more := out.next(w.job.heartbeat())
		if len(piece) > 0 || more {
			if err := w.put(ctx, fmt.Sprintf("out/%05x", n), piece); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

const (
	// patience is how long a write is tried: as long as the session lives that nobody can
	// renew either.
	patience   = 15 * time.Second
	retryAfter = 500 * time.Millisecond
)

// put writes one of this node's keys, locked by the session. While the servers cannot say
// how it ended it tries again, which does no harm.
func (w *work) put(ctx context.Context, name string, value []byte) error {
	req := &kv.ApplyRequest{Op: kv.Lock, DirEnt: kv.Entry{
		Key: w.order.Folder() + w.cfg.Node + "/" + name, Value: value, Session: w.order.Session,
	}}
	req.Datacenter, req.Token = w.cfg.Datacenter, w.cfg.Token()
	for deadline := time.Now().Add(patience); ; {
		done, err := kv.Apply.Call(ctx, w.cfg.Caller, req)
		switch {
		case err == nil && *done:
			return nil
		case err == nil:
			return errGone
		case !passing(err) || time.Now().After(deadline):
			return fmt.Errorf("write %s: %w", name, err)
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// passing tells whether an error is one of servers, and not of what they were asked.
func passing(err error) bool {
	switch rpc.ReasonOf(err) {
	case rpc.ReasonFailed, rpc.ReasonInvalid, rpc.ReasonDenied, rpc.ReasonACLNotFound, rpc.ReasonTooLarge, rpc.ReasonUnknownMethod:
		return false
	}
	return true
}
