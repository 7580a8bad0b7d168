package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/hanse-project/hanse/agent"
	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/test/lab"
)

// address is an address of this machine that no other test uses.
func address() string {
	return fmt.Sprintf("127.%d.%d.%d", 10+rand.IntN(240), rand.IntN(256), 1+rand.IntN(250))
}

// journal keeps log lines.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// count is how many lines hold all of the words.
func (j *journal) count(words ...string) int {
	n := 0
	for line := range strings.Lines(j.String()) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			n++
		}
	}
	return n
}

// running is an agent of this process.
type running struct {
	*agent.Agent
	addr string
	log  *journal
	end  context.CancelFunc
	done chan struct{}
	err  error // set before done is closed
}

// newAgent puts an agent together from a command line.
func newAgent(t testing.TB, log *journal, args ...string) (*agent.Agent, error) {
	t.Helper()
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	flags := config.Register(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := flags.Load()
	if err != nil {
		t.Fatal(err)
	}
	logger, closeLog, err := agent.NewLogger(cfg.Log, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeLog() })
	return agent.New(cfg, agent.Options{Log: logger, Load: flags.Load})
}

// start runs an agent at an address of its own until the test ends.
func start(t testing.TB, args ...string) *running {
	t.Helper()
	return startAt(t, address(), args...)
}

func startAt(t testing.TB, addr string, args ...string) *running {
	t.Helper()
	r := &running{addr: addr, log: &journal{}, done: make(chan struct{})}
	a, err := newAgent(t, r.log, append([]string{"-bind", r.addr, "-client", r.addr}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	r.Agent = a
	ctx, end := context.WithCancel(context.Background())
	r.end = end
	go func() {
		defer close(r.done)
		r.err = a.Run(ctx)
	}()
	t.Cleanup(func() {
		end()
		<-r.done
		if t.Failed() {
			t.Logf("log of %s:\n%s", r.addr, r.log)
		}
	})
	return r
}

// stop ends the agent.
func (r *running) stop(t testing.TB) {
	t.Helper()
	r.end()
	r.wait(t)
	if r.err != nil {
		t.Errorf("the agent ended with: %v", r.err)
	}
}

// wait waits until the agent has ended.
func (r *running) wait(t testing.TB) {
	t.Helper()
	lab.Until(t, "the agent has ended", func() error {
		select {
		case <-r.done:
			return nil
		default:
			return errors.New("it runs")
		}
	})
}

func (r *running) url(path string) string { return "http://" + net.JoinHostPort(r.addr, "8500") + path }

// do makes one request, and returns status and body.
func (r *running) do(method, path, body string) (int, string, error) {
	req, err := http.NewRequest(method, r.url(path), strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// put writes a key once the agent takes it.
func (r *running) put(t testing.TB, key, value string) {
	t.Helper()
	lab.Until(t, "put "+key, func() error {
		status, text, err := r.do(http.MethodPut, "/v1/kv/"+key, value)
		if err == nil && (status != http.StatusOK || text != "true") {
			err = fmt.Errorf("status %d: %s", status, text)
		}
		return err
	})
}

// ask gets JSON.
func (r *running) ask(path string, into any) error {
	status, text, err := r.do(http.MethodGet, path, "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", status, text)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), into)
}

// noLeaks fails the test if goroutines of ours outlive it.
func noLeaks(t *testing.T) {
	t.Helper()
	before := stacks()
	t.Cleanup(func() {
		lab.Until(leakTest{t}, "all goroutines have ended", func() error {
			for id, stack := range stacks() {
				if before[id] == "" {
					return errors.New(stack)
				}
			}
			return nil
		})
	})
}

// leakTest is a test that has ended, but whose cleanup may still wait.
type leakTest struct{ *testing.T }

func (leakTest) Context() context.Context { return context.Background() }

// stacks are those of goroutines that have to do with agents, by ID.
func stacks() map[string]string {
	found := map[string]string{}
	for stack := range strings.SplitSeq(stackDump(), "\n\n") {
		id, _, _ := strings.Cut(stack, " [")
		ours := strings.Contains(stack, "hanse-project/hanse/") || strings.Contains(stack, "hashicorp/")
		if ours && !strings.Contains(stack, "testing.tRunner") && !strings.Contains(stack, "agent_test.") {
			found[id] = stack
		}
	}
	return found
}

// until is a wait with a condition that is true or false.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	lab.Until(t, what, func() error {
		if !holds() {
			return errors.New("not yet")
		}
		return nil
	})
}

// errorOf is err, or what was seen instead of what was waited for.
func errorOf(err error, seen any) error {
	if err == nil {
		err = fmt.Errorf("saw %v", seen)
	}
	return err
}

func stackDump() string {
	buf := make([]byte, 4<<20)
	return string(buf[:runtime.Stack(buf, true)])
}
