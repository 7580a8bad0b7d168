package local_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-hclog"

	"github.com/hanse-project/hanse/agent"
	"github.com/hanse-project/hanse/config"
)

// running is an agent of this process with a client of it.
type running struct {
	*api.Client
	addr string
	args []string
	log  journal
	end  context.CancelFunc
	done chan error
}

// journal keeps log lines: gossip writes some after it has ended.
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

// address is an address of this machine that no other test uses.
func address() string {
	return fmt.Sprintf("127.%d.%d.%d", 10+rand.IntN(240), rand.IntN(256), 1+rand.IntN(250))
}

// start runs an agent until the test ends.
func start(t testing.TB, args ...string) *running {
	t.Helper()
	r := &running{addr: address()}
	r.args = append([]string{"-bind", r.addr, "-client", r.addr, "-log-level", "warn"}, args...)
	r.begin(t)
	t.Cleanup(func() {
		r.stop(t)
		if t.Failed() {
			t.Logf("log of %s:\n%s", r.addr, &r.log)
		}
	})
	return r
}

// begin starts the agent, again if it was stopped.
func (r *running) begin(t testing.TB) {
	t.Helper()
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	flags := config.Register(fs)
	if err := fs.Parse(r.args); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := flags.Load()
	if err != nil {
		t.Fatal(err)
	}
	log := hclog.New(&hclog.LoggerOptions{Output: &r.log, Level: hclog.LevelFromString(cfg.Log.Level)})
	a, err := agent.New(cfg, agent.Options{Log: log, Load: flags.Load})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	r.end, r.done = end, make(chan error, 1)
	go func() { r.done <- a.Run(ctx) }()
	if r.Client, err = api.NewClient(&api.Config{Address: r.addr + ":8500"}); err != nil {
		t.Fatal(err)
	}
}

// stop ends the agent. A second time does nothing.
func (r *running) stop(t testing.TB) {
	t.Helper()
	if r.done == nil {
		return
	}
	r.end()
	if err := <-r.done; err != nil {
		t.Errorf("the agent ended with: %v", err)
	}
	r.done = nil
}

// server is a datacenter of one, client an agent in it.
func server(t testing.TB, args ...string) *running {
	t.Helper()
	return start(t, append([]string{"-dev", "-node", "server"}, args...)...)
}

func client(t testing.TB, of *running, args ...string) *running {
	t.Helper()
	return start(t, append([]string{"-node", "client", "-data-dir", t.TempDir(), "-retry-join", of.addr}, args...)...)
}

// patience bounds a failure: an agent that missed the first join tries again after 30 s.
const patience = 2 * time.Minute

// until waits for something to hold.
func until(t testing.TB, what string, holds func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// healthOf is the instance of a service, with its aggregated status, as another agent sees it.
func healthOf(t testing.TB, at *running, service, id, status string) *api.ServiceEntry {
	t.Helper()
	var found *api.ServiceEntry
	until(t, fmt.Sprintf("%s is %s", id, status), func() error {
		all, _, err := at.Health().Service(service, "", false, nil)
		if err != nil {
			return err
		}
		for _, e := range all {
			if e.Service.ID == id {
				found = e
				if got := e.Checks.AggregatedStatus(); got != status {
					return fmt.Errorf("it is %s: %+v", got, e.Checks)
				}
				return nil
			}
		}
		if status == "" {
			return nil
		}
		return fmt.Errorf("it is not there, %d others are", len(all))
	})
	return found
}

func gone(t testing.TB, at *running, service, id string) {
	t.Helper()
	until(t, id+" is gone", func() error {
		all, _, err := at.Catalog().Service(service, "", nil)
		for _, e := range all {
			if e.ServiceID == id {
				return fmt.Errorf("it is there: %+v", e)
			}
		}
		return err
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// do makes a request that the client has no method for.
func (r *running) do(t testing.TB, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.addr+":8500"+path, strings.NewReader(body))
	must(t, err)
	rep, err := http.DefaultClient.Do(req)
	must(t, err)
	defer rep.Body.Close()
	text, err := io.ReadAll(rep.Body)
	must(t, err)
	return rep.StatusCode, string(text)
}

func write(t testing.TB, dir, name string, content any) {
	t.Helper()
	text, isText := content.(string)
	if !isText {
		b, err := json.Marshal(content)
		must(t, err)
		text = string(b)
	}
	must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}
