package e2e

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell is a running bash that takes commands like a person's.
type shell struct {
	in    io.WriteCloser
	lines chan string // what it prints; closed when it has ended
}

// patience is how long a step may take until it prints what the page shows. The first one
// builds everything.
const patience = 4 * time.Minute

// startShell runs bash in dir until the test ends. What it left running ends with it,
// even if the test is killed: its input ends then.
func startShell(t *testing.T, dir string) *shell {
	t.Helper()
	cmd := exec.Command("bash", "--noprofile", "--norc")
	cmd.Dir, cmd.Env = dir, append(withoutSettings(os.Environ()), "TMPDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &shell{in: in, lines: make(chan string, 1000)}
	go func() {
		defer close(s.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			s.lines <- scan.Text()
		}
	}()
	t.Cleanup(func() {
		in.Close()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // fails if the whole group has ended
		for range s.lines {
		}
		cmd.Wait() // it was killed
	})
	s.run(t, "exec 2>&1; trap 'trap - EXIT TERM; kill 0' EXIT")
	return s
}

// run returns what the commands print, in lines.
func (s *shell) run(t *testing.T, commands string) []string {
	t.Helper()
	const end = "--- end of step ---"
	if _, err := io.WriteString(s.in, commands+"\nprintf '\\n%s\\n' '"+end+"'\n"); err != nil {
		t.Fatalf("the shell has ended: %v", err)
	}
	late := time.After(patience)
	var printed []string
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				t.Fatalf("the shell ended in the middle of\n%s", commands)
			}
			if line == end {
				return printed
			}
			printed = append(printed, line)
		case <-late:
			t.Fatalf("not done after %v:\n%s\nprinted so far:\n%s", patience, commands, strings.Join(printed, "\n"))
		}
	}
}

// withoutSettings leaves out variables that would lead the program to other agents.
func withoutSettings(env []string) []string {
	var kept []string
	for _, entry := range env {
		if !strings.HasPrefix(entry, "CONSUL_") && !strings.HasPrefix(entry, "HANSE_") {
			kept = append(kept, entry)
		}
	}
	return kept
}
