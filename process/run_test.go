package process_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-project/hanse/process"
)

func TestCommandGetsItsInputAndEnvironment(t *testing.T) {
	var out bytes.Buffer
	code, err := process.Run(t.Context(), process.Command{
		Args: process.Shell(`cat; echo "$MORE" >&2; exit 3`), Env: []string{"MORE=more"},
		Input: strings.NewReader("given\n"), Output: &out,
	})
	if err != nil || code != 3 || out.String() != "given\nmore\n" {
		t.Errorf("exit code %d, %v, output %q", code, err, &out)
	}
}

func TestInputThatNobodyReadsIsNoError(t *testing.T) {
	var out bytes.Buffer
	code, err := process.Run(t.Context(), process.Command{
		Args: []string{"true"}, Input: bytes.NewReader(make([]byte, 1<<20)), Output: &out,
	})
	if err != nil || code != 0 {
		t.Errorf("exit code %d, %v", code, err)
	}
}

func TestProgramThatIsNotThere(t *testing.T) {
	code, err := process.Run(t.Context(), process.Command{Args: []string{"/nowhere/to/be/found"}, Output: &bytes.Buffer{}})
	if !errors.Is(err, os.ErrNotExist) || code != -1 {
		t.Errorf("exit code %d, %v", code, err)
	}
}

func TestTheWholeGroupIsKilled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	reason := errors.New("time is over")
	done := make(chan error, 1)
	go func() {
		_, err := process.Run(ctx, process.Command{
			Args: process.Shell(`sleep 600 & echo $! >` + file + `.new; mv ` + file + `.new ` + file + `; wait`), Output: &bytes.Buffer{},
		})
		done <- err
	}()
	var text []byte
	for text == nil {
		select {
		case err := <-done:
			t.Fatal("it ended by itself:", err)
		case <-time.After(10 * time.Millisecond):
			text, _ = os.ReadFile(file)
		}
	}
	cancel(reason)
	if err := <-done; !errors.Is(err, reason) {
		t.Errorf("ended with %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	// Whoever adopted it may take a moment to reap it.
	for deadline := time.Now().Add(time.Minute); alive(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// alive tells whether a process runs. One that only waits to be reaped does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(stat), ") Z ")
}
