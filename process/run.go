package process

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// drainTime is how long output is still read after a process was killed. Only a
// descendant that left the group can keep the pipe open for longer.
const drainTime = time.Second

// Command is what to run.
type Command struct {
	// Args are the program and its arguments.
	Args []string
	// Env is added to the environment of this process.
	Env []string
	// Input is what the command can read. nil is nothing.
	Input io.Reader
	// Output takes what it and its descendants print, to standard output and to standard
	// error, in the order they do.
	Output io.Writer
}

// Shell is a line as the shell takes it.
func Shell(line string) []string { return []string{"/bin/sh", "-c", line} }

// Run starts the command, and waits for it and for all that write to its output, until
// ctx ends. Then the whole group is killed. code is -1 if the command did not exit by
// itself, and the error is then that of ctx, or says why it could not start; it is nil
// for a command that was killed by somebody else.
func Run(ctx context.Context, c Command) (code int, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return -1, err
	}
	defer r.Close()
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Input, w, w
	if len(c.Env) > 0 {
		cmd.Env = append(os.Environ(), c.Env...)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// The command is reaped after its output ends, so until then the number of its
	// group belongs to nobody else.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = drainTime
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return -1, err
	}
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Now().Add(drainTime)) })
	defer stop()
	_, readErr := io.Copy(c.Output, r)
	err = cmd.Wait()
	if ctx.Err() != nil {
		return -1, context.Cause(ctx)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) { // that is about input that nobody read
		return -1, err
	}
	return 0, readErr
}
