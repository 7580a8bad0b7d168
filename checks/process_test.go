package checks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// sh is a check by a shell script.
func sh(script string) Definition {
	return Definition{Args: []string{"/bin/sh", "-c", script}, Timeout: 20 * time.Second}
}

// pidIn reads the process number that a script wrote into a file.
func pidIn(t *testing.T, file string) int {
	t.Helper()
	pid, err := readPID(file)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func readPID(file string) (int, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(raw)))
}

// runs tells whether a process runs. One that is dead and not yet reaped does not.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// awaitEnd waits until a process does not run.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	patience := time.After(20 * time.Second)
	for tick := time.Tick(5 * time.Millisecond); runs(pid); {
		select {
		case <-tick:
		case <-patience:
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("process %d still runs", pid)
		}
	}
}

func TestScriptExitCodeDecides(t *testing.T) {
	for code, want := range map[int]string{0: Passing, 1: Warning, 2: Critical, 127: Critical} {
		result, output := try(t, Reach{}, sh(fmt.Sprintf("echo out; echo err >&2; exit %d", code)))
		if result != want || output != "out\nerr\n" {
			t.Errorf("exit %d is %s: %q; want %s with both streams", code, result, output, want)
		}
	}
	if result, _ := try(t, Reach{}, sh("kill -9 $$")); result != Critical {
		t.Errorf("a script that was killed is %s", result)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	result, output := try(t, Reach{}, Definition{Args: []string{missing}})
	expect(t, result, output, Critical, "fork/exec "+missing+": no such file or directory")
}

func TestScriptHasTheEnvironmentOfTheAgent(t *testing.T) {
	t.Setenv("HANSE_CHECK_TEST", "as it is")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	_, output := try(t, Reach{}, Definition{Args: []string{"/usr/bin/env"}})
	var want []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "PWD=") {
			want = append(want, e)
		}
	}
	for _, e := range want {
		if !strings.Contains("\n"+output, "\n"+e+"\n") && len(output) < DefaultOutputMaxSize {
			t.Errorf("the script lacks %s", e)
		}
	}
	if lines := strings.Count(output, "\n"); len(output) < DefaultOutputMaxSize && lines > len(os.Environ())+1 {
		t.Errorf("the script has %d variables, the agent %d", lines, len(os.Environ()))
	}
	if _, output := try(t, Reach{}, sh("pwd; cat")); output != here+"\n" {
		t.Errorf("the script works in %q with something to read; want %q and nothing", output, here)
	}
}

func TestScriptThatHangsIsKilledWithItsGroup(t *testing.T) {
	for name, script := range map[string]string{
		"it hangs":                           "echo begun; echo $$ > %s; while :; do sleep 60; done",
		"its child hangs":                    "echo begun; sleep 600 & echo $! > %s; wait",
		"its child keeps the output open":    "echo begun; sleep 600 & echo $! > %s; exit 0",
		"it closes its output and hangs":     "echo begun; echo $$ > %s; exec >&- 2>&-; while :; do sleep 60; done",
		"it ignores signals":                 "trap '' TERM INT HUP; echo begun; echo $$ > %s; while :; do sleep 60; done",
		"it forks and forks":                 "echo begun; sleep 600 & sleep 600 & (sleep 600 & sleep 600) & echo $! > %s; wait",
		"it floods":                          "echo begun; echo $$ > %s; exec yes",
		"its child floods and it is long up": "echo begun; yes & echo $! > %s",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pid")
			def := sh(fmt.Sprintf(script, file))
			until(t, 500*time.Millisecond, func(timeout time.Duration) error {
				def.Timeout = timeout
				result, output := try(t, Reach{}, def)
				pid, err := readPID(file)
				if err != nil {
					return fmt.Errorf("the script did not begin in %v: %w", timeout, err)
				}
				expect(t, result, output, Critical, fmt.Sprintf("Timed out (%v) running check: ", timeout))
				if len(output) > DefaultOutputMaxSize+200 {
					t.Errorf("%d bytes were kept", len(output))
				}
				awaitEnd(t, pid)
				if !strings.Contains(name, "flood") && !strings.HasSuffix(output, "begun\n") {
					t.Errorf("output %q has not what the script said", output)
				}
				return nil
			})
		})
	}
}

func TestScriptThatEscapesItsGroupHoldsUpNobody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	def := sh(fmt.Sprintf("echo $$ > %s; exec sleep 600", file)) // it writes soon, or never
	def.Args = append([]string{"setsid", "-f"}, def.Args...)
	until(t, 300*time.Millisecond, func(timeout time.Duration) error {
		def.Timeout = timeout
		result, output := try(t, Reach{}, def)
		expect(t, result, output, Critical, fmt.Sprintf("Timed out (%v) running check", timeout))
		pid, err := readPID(file)
		for patience := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(patience); pid, err = readPID(file) {
			time.Sleep(5 * time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("the script did not escape in %v: %w", timeout, err)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL) // what this test started
		awaitEnd(t, pid)
		return nil
	})
}

func TestDaemonOfAScriptLives(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	result, output := try(t, Reach{}, sh(fmt.Sprintf("sleep 600 >/dev/null 2>&1 & echo $! > %s; echo repaired", file)))
	expect(t, result, output, Passing, "repaired\n")
	pid := pidIn(t, file)
	if !runs(pid) {
		t.Error("a daemon that a script started, and that has nothing to do with its output, is gone")
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	awaitEnd(t, pid)
}

func TestScriptEndsWithItsTurn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	def := sh(fmt.Sprintf("echo $$ > %s; mv %s %s.done; sleep 600", file, file, file))
	def.OutputMaxSize = 100
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		script(&def)(ctx)
	}()
	patience := time.After(20 * time.Second)
	for tick := time.Tick(5 * time.Millisecond); ; {
		if _, err := os.Stat(file + ".done"); err == nil {
			break
		}
		select {
		case <-tick:
		case <-patience:
			t.Fatal("the script did not start")
		}
	}
	cancel()
	<-done
	awaitEnd(t, pidIn(t, file+".done"))
}

func TestScriptOutputIsItsEnd(t *testing.T) {
	def := sh("i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done")
	def.OutputMaxSize = 18
	result, output := try(t, Reach{}, def)
	expect(t, result, output, Passing, "Captured 18 of 8890 bytes\n...\nline 998\nline 999\n")
}

func TestLongTextsAreShortened(t *testing.T) {
	if got := shorten("grüße\xff", 100); got != "grüße\uFFFD" {
		t.Errorf("a text that is not UTF-8 is %q", got)
	}
}

// systemctl puts a program of that name first in the path: there is no systemd where
// tests run.
func systemctl(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestOSService(t *testing.T) {
	for _, c := range []struct{ script, want, output string }{
		{`[ "$*" = "is-active -- nginx.service" ] && echo active`, Passing, `OS service "nginx.service" is active`},
		{"echo inactive; exit 3", Critical, `OS service "nginx.service" is inactive`},
		{"echo failed; exit 3", Critical, `OS service "nginx.service" is failed`},
		{"echo activating; exit 3", Warning, `OS service "nginx.service" is activating`},
		{"echo reloading; exit 0", Passing, `OS service "nginx.service" is reloading`},
		{"echo Failed to connect to bus >&2; exit 1", Warning, `OS service "nginx.service" is Failed to connect to bus`},
	} {
		systemctl(t, c.script)
		result, output := try(t, Reach{}, Definition{OSService: "nginx.service"})
		expect(t, result, output, c.want, c.output)
	}
	t.Setenv("PATH", t.TempDir())
	result, output := try(t, Reach{}, Definition{OSService: "nginx.service"})
	expect(t, result, output, Warning, `OS service "nginx.service": cannot ask systemd: `)
}
