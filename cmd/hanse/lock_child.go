package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// childGrace is how long the child has to end after it was asked to.
const childGrace = 5 * time.Second

// runChild runs the child until it ends, or ends it when the lock is lost or ctx ends.
// It has ended when runChild returns.
func (r *lockRequest) runChild(ctx context.Context, std stdio, lost <-chan struct{}, say func(string, ...any)) error {
	select {
	case <-lost:
		return failf("Lock lost, the command was not started")
	case <-ctx.Done():
		return failf("Shutdown triggered before the command was started")
	default:
	}
	say("Starting handler '%s'", strings.Join(r.command, " "))
	child := r.child(std)
	if err := child.Start(); err != nil {
		return failf("Error running handler: %s", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	var err, reason error
	select {
	case err = <-ended:
	case <-lost:
		reason = failf("Lock lost, killing child")
	case <-ctx.Done():
		reason = failf("Shutdown triggered, killing child")
	}
	if reason != nil {
		fmt.Fprintln(std.err, reason)
		say("Terminating child pid %d", child.Process.Pid)
		err = endChild(child, ended)
		say("Child terminated")
	}
	if err != nil {
		fmt.Fprintf(std.err, "Error running handler: %s\n", err)
	}
	switch {
	case err != nil && r.childExitCode:
		return silentExit(exitChildFailed)
	case reason != nil:
		return silentExit(exitFailed)
	}
	return nil
}

// child is the command, in a process group of its own, so that nothing it starts outlives
// the lock. Who reads from our terminal must stay in our group.
func (r *lockRequest) child(std stdio) *exec.Cmd {
	child := childCommand(std, r.command, r.shell, "CONSUL_LOCK_HELD=true")
	if r.passStdin {
		child.Stdin = std.in
	} else {
		child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	return child
}

// childCommand is a command that prints where we do, in a shell if that was asked for,
// with a variable more in its environment.
func childCommand(std stdio, argv []string, shell bool, variable string) *exec.Cmd {
	if shell {
		argv = []string{"/bin/sh", "-c", strings.Join(argv, " ")}
	}
	child := exec.Command(argv[0], argv[1:]...)
	child.Env = append(os.Environ(), variable)
	child.Stdout, child.Stderr = std.out, std.err
	return child
}

// endChild asks the child and all in its group to end, makes them after the grace, and
// returns when none is left.
func endChild(child *exec.Cmd, ended <-chan error) error {
	target := child.Process.Pid
	if child.SysProcAttr != nil {
		target = -target
	}
	// What is gone already needs no signal.
	_ = syscall.Kill(target, syscall.SIGTERM)
	grace := time.After(childGrace)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	var outcome error
	killed := false // then who is in the group still only waits to be reaped
	for running := true; running || !killed && groupThere(target); {
		select {
		case outcome = <-ended:
			running, ended = false, nil
		case <-grace:
			_ = syscall.Kill(target, syscall.SIGKILL)
			killed = true
		case <-look.C:
		}
	}
	return outcome
}

// groupThere tells whether target is a group with somebody in it.
func groupThere(target int) bool {
	return target < 0 && !errors.Is(syscall.Kill(target, 0), syscall.ESRCH)
}
