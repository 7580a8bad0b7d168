//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Processes runs every agent as a process of its own on loopback. Agents can be killed
// and frozen; nothing can be done to the network between them.
func Processes() Option {
	return func(t testing.TB, f *Federation) {
		f.place = &processes{binary: Binary(t), net: claimNetwork(t)}
	}
}

type processes struct{ binary, net string }

func (p *processes) address(n int) string { return fmt.Sprintf("%s.%d", p.net, n) }

func (p *processes) network() *links { return nil }

func (p *processes) launch(n *Node, args []string) (running, error) {
	return spawn(n, p.binary, args, (*exec.Cmd).Start)
}

// spawn runs an agent's binary, with its output in the node's log.
func spawn(n *Node, binary string, args []string, start func(*exec.Cmd) error) (*process, error) {
	out, err := os.OpenFile(n.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{cmd: exec.Command(binary, append([]string{"agent"}, args...)...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // even a test that panics leaves none behind
	if err := start(p.cmd); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// process is an agent in a process of its own.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // set before ended is closed
}

// stopWithin is how long an agent may take to stop, with a leave before it.
const stopWithin = time.Minute

func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.ended:
		return p.err
	case <-time.After(stopWithin):
		p.kill()
		return fmt.Errorf("still running %v after SIGTERM, killed it", stopWithin)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

func (p *process) end() error {
	p.kill()
	return nil
}

func (p *process) done() <-chan struct{} { return p.ended }

// freeze returns when the process really stands still, or runs again.
func (p *process) freeze(stop bool) error {
	sig := syscall.SIGCONT
	if stop {
		sig = syscall.SIGSTOP
	}
	if err := p.cmd.Process.Signal(sig); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		state, err := p.state()
		if err != nil {
			return err
		}
		if (state == "T") == stop {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d is in state %s after %v", p.cmd.Process.Pid, state, sig)
		}
	}
}

// state is the letter that the kernel has for what the process does.
func (p *process) state() (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return "", err
	}
	_, rest, found := strings.Cut(string(stat), ") ")
	if !found {
		return "", fmt.Errorf("cannot read the state of a process in %q", stat)
	}
	return rest[:1], nil
}

// RSS is the resident memory of the agent's process in bytes.
func (n *Node) RSS(t testing.TB) int {
	t.Helper()
	n.mu.Lock()
	p, ok := n.agent.(*process)
	n.mu.Unlock()
	if !ok {
		t.Fatalf("%s is not a running process", n.Name)
	}
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize()
}

var binary = sync.OnceValues(build)

// Binary is the path of the hanse binary, built from the sources beside this test.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// build builds into a place that stays, since an unchanged binary is not linked again.
// Several test binaries may build at the same time.
func build() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "..")
	checkout := fnv.New32()
	checkout.Write([]byte(root))
	dir, unlock, err := CacheFolder("hanse-lab", fmt.Sprintf("%08x", checkout.Sum32()))
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, "hanse")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/hanse")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build hanse for the lab: %w\n%s", err, out)
	}
	return path, nil
}

// CacheFolder is a folder of the user's cache, for what takes long to build. Nobody else
// has it until unlock is called.
func CacheFolder(name ...string) (dir string, unlock func() error, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", nil, fmt.Errorf("find a place for what is built: %w", err)
	}
	dir = filepath.Join(cache, filepath.Join(name...))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return "", nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		lock.Close()
		return "", nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return dir, lock.Close, nil
}
