//go:build linux

package observe

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// process is a program that runs beside a test.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// start runs a program until the test ends, with further environment variables. If the
// test has failed by then, it shows the end of what the program wrote.
func start(t *testing.T, binary string, env []string, args ...string) *process {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // even a test that panics leaves none behind
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.signal(t, syscall.SIGKILL)
		log.Close()
		if wrote, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			lines := bytes.Split(bytes.TrimSpace(wrote), []byte("\n"))
			t.Logf("last words of %s:\n%s", p.cmd, bytes.Join(lines[max(0, len(lines)-20):], []byte("\n")))
		}
	})
	return p
}

// signal sends a signal that ends the process, and waits for its end.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("%v to %s: %v", s, p.cmd, err)
	}
	<-p.ended
}
