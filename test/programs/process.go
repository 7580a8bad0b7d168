//go:build linux

package programs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Process is a program that runs beside a test.
type Process struct {
	cmd   *exec.Cmd
	log   string
	ended chan struct{}
}

// Start runs a program until the test ends, with further environment variables. Settings
// of the environment that lead to other agents are left out.
func Start(t testing.TB, binary string, env []string, args ...string) *Process {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &Process{cmd: exec.Command(binary, args...), log: log.Name(), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(slices.DeleteFunc(os.Environ(), leadsElsewhere), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // even a test that panics leaves none behind
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // with its children; all of them may have ended
		p.End(t, syscall.SIGKILL)
		if wrote, err := os.ReadFile(p.log); t.Failed() && err == nil {
			lines := bytes.Split(bytes.TrimSpace(wrote), []byte("\n"))
			t.Logf("last words of %s:\n%s", p.cmd, bytes.Join(lines[max(0, len(lines)-20):], []byte("\n")))
		}
	})
	return p
}

func leadsElsewhere(variable string) bool {
	return strings.HasPrefix(variable, "CONSUL_") || strings.HasPrefix(variable, "HANSE_")
}

// End sends a signal that ends the process, waits for that, and returns how it ended.
func (p *Process) End(t testing.TB, s syscall.Signal) *os.ProcessState {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("%v to %s: %v", s, p.cmd, err)
	}
	<-p.ended
	return p.cmd.ProcessState
}

// Wrote is all that the program has written, whole lines of it.
func (p *Process) Wrote(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	return lines[:len(lines)-1]
}
