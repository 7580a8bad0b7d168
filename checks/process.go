package checks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// drainTime is how long output is still read after a process was killed. Only a
// descendant that left the group can keep the pipe open for longer.
const drainTime = time.Second

// run starts a command in a process group of its own, with the environment of the agent,
// and waits for it and for all that write to its output, until ctx ends. Then the whole
// group is killed. code is -1 if the command did not exit by itself.
func run(ctx context.Context, args []string, out io.Writer) (code int, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return -1, err
	}
	defer r.Close()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// The command is reaped after its output ends, so until then the number of its
	// group belongs to nobody else.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return -1, err
	}
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Now().Add(drainTime)) })
	defer stop()
	_, readErr := io.Copy(out, r)
	err = cmd.Wait()
	if ctx.Err() != nil {
		return -1, context.Cause(ctx)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return -1, err
	}
	return 0, readErr
}

// verdict is what a command says by its exit code.
func verdict(code int) string {
	switch code {
	case 0:
		return Passing
	case 1:
		return Warning
	}
	return Critical
}

// timedOut is what a turn that took too long says.
func timedOut(limit time.Duration, out *tail) string {
	said := fmt.Sprintf("Timed out (%s) running check", limit)
	if out.total > 0 {
		said += ": " + out.String()
	}
	return said
}

// script runs a command.
func script(d *Definition) probe {
	return func(ctx context.Context) (string, string) {
		out := &tail{limit: d.OutputMaxSize}
		code, err := run(ctx, d.Args, out)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return Critical, timedOut(d.timeout(), out)
		case err != nil:
			return Critical, err.Error()
		}
		return verdict(code), out.String()
	}
}

// osService asks systemd. What cannot be found out is a warning.
func osService(d *Definition) probe {
	return func(ctx context.Context) (string, string) {
		out := &tail{limit: d.OutputMaxSize}
		_, err := run(ctx, []string{"systemctl", "is-active", "--", d.OSService}, out)
		if err != nil {
			return Warning, fmt.Sprintf("OS service %q: cannot ask systemd: %v", d.OSService, err)
		}
		state := strings.TrimSpace(out.String())
		said := fmt.Sprintf("OS service %q is %s", d.OSService, state)
		switch state {
		case "active", "reloading", "refreshing":
			return Passing, said
		case "inactive", "failed", "deactivating", "unknown":
			return Critical, said
		}
		return Warning, said
	}
}
