package agent_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"
	library "github.com/hashicorp/consul/api/watch"

	"github.com/hanse-project/hanse/test/lab"
)

// folder is where handlers leave what they were told.
type folder string

// handler writes what it is told into a file, whole, and counts its runs.
func (f folder) handler(name string) string {
	line := fmt.Sprintf(`cd %s && cat >%[2]s.new && echo "$CONSUL_INDEX" >>%[2]s.runs && mv %[2]s.new %[2]s`, f, name)
	return strconv.Quote(line)
}

// told waits until a handler was told something that holds words.
func (f folder) told(t testing.TB, name string, words ...string) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("the handler %q is told of %q", name, words), func() error {
		text, err := os.ReadFile(filepath.Join(string(f), name))
		for _, word := range words {
			if err == nil && !strings.Contains(string(text), word) {
				err = fmt.Errorf("it was told %s", text)
			}
		}
		return err
	})
}

// runs are the indexes with which a handler ran.
func (f folder) runs(t testing.TB, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(string(f), name+".runs"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEveryKindOfWatchRunsItsHandler(t *testing.T) {
	f := folder(t.TempDir())
	a := start(t, "-dev", "-node", "alpha", "-hcl", `
		watches { type = "key", key = "config/limit", handler = `+f.handler("key")+` }
		watches { type = "keyprefix", prefix = "config/", handler = `+f.handler("keyprefix")+` }
		watches { type = "services", handler = `+f.handler("services")+` }
		watches { type = "nodes", stale = true, handler = `+f.handler("nodes")+` }
		watches { type = "service", service = "web", tag = "v1", passingonly = true, handler = `+f.handler("service")+` }
		watches { type = "checks", service = "web", handler = `+f.handler("checks")+` }
		watches { type = "checks", state = "warning", handler = `+f.handler("state")+` }
		watches { type = "connect_roots", handler = `+f.handler("roots")+` }
		watches { type = "connect_leaf", service = "web", handler = `+f.handler("leaf")+` }
		watches { type = "event", name = "deploy", handler = `+f.handler("event")+` }`)
	f.told(t, "roots", `"ActiveRootID"`, "BEGIN CERTIFICATE")
	f.told(t, "leaf", `"Service":"web"`, "BEGIN CERTIFICATE")
	f.told(t, "nodes", `"Node":"alpha"`)
	f.told(t, "services", `"consul":[]`)
	f.told(t, "event", "[]")

	a.put(t, "config/limit", "20")
	f.told(t, "key", `"Key":"config/limit"`, `"Value":"MjA="`)
	f.told(t, "keyprefix", `"Key":"config/limit"`)
	a.put(t, "config/name", "x")
	f.told(t, "keyprefix", `"Key":"config/limit"`, `"Key":"config/name"`)

	client := a.client(t)
	register := &api.AgentServiceRegistration{Name: "web", Tags: []string{"v1"}, Check: &api.AgentServiceCheck{TTL: "10m", Status: "passing"}}
	if err := client.Agent().ServiceRegister(register); err != nil {
		t.Fatal(err)
	}
	f.told(t, "services", `"web":["v1"]`)
	f.told(t, "service", `"Service":"web"`)
	f.told(t, "checks", `"Status":"passing"`)
	if err := client.Agent().UpdateTTL("service:web", "so so", "warning"); err != nil {
		t.Fatal(err)
	}
	f.told(t, "checks", `"Status":"warning"`)
	f.told(t, "state", `"CheckID":"service:web"`)
	lab.Until(t, "the instance that is not healthy is gone", func() error {
		text, err := os.ReadFile(filepath.Join(string(f), "service"))
		if err == nil && strings.TrimSpace(string(text)) != "[]" {
			err = errors.New(string(text))
		}
		return err
	})

	id, _, err := client.Event().Fire(&api.UserEvent{Name: "deploy", Payload: []byte("1")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.told(t, "event", id, `"Payload":"MQ=="`)
	id, _, err = client.Event().Fire(&api.UserEvent{Name: "deploy", Payload: []byte("2")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.told(t, "event", id)
	if text, err := os.ReadFile(filepath.Join(string(f), "event")); err != nil || strings.Contains(string(text), "MQ==") {
		t.Errorf("the second event came with the first: %s, %v", text, err)
	}
	if runs := f.runs(t, "key"); runs[len(runs)-1] == "" || runs[len(runs)-1] == "0" {
		t.Errorf("the indexes of a key's changes are %v", runs)
	}
}

// Plans are what other programs run with the library.
func TestPlansOfOtherPrograms(t *testing.T) {
	a := start(t, "-dev", "-node", "alpha", "-hcl", `service { name = "web", id = "web-1", tags = ["v1"] }`)
	a.put(t, "config/limit", "20")
	client := a.client(t)
	id, _, err := client.Event().Fire(&api.UserEvent{Name: "deploy"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.heard(t, "deploy")
	for _, c := range []struct{ params, shows string }{
		{`{"type": "key", "key": "config/limit"}`, `"Value":"MjA="`},
		{`{"type": "keyprefix", "prefix": "config/"}`, `"Key":"config/limit"`},
		{`{"type": "services"}`, `"web":["v1"]`},
		{`{"type": "nodes", "stale": true}`, `"Node":"alpha"`},
		{`{"type": "service", "service": "web", "passingonly": true}`, `"ID":"web-1"`},
		{`{"type": "checks", "state": "passing"}`, `"CheckID":"serfHealth"`},
		{`{"type": "event", "name": "deploy"}`, id},
		{`{"type": "connect_roots"}`, `"Active":true`},
		{`{"type": "connect_leaf", "service": "web"}`, `"Service":"web"`},
		{`{"type": "agent_service", "service_id": "web-1"}`, `"Service":"web"`},
	} {
		t.Run(c.params, func(t *testing.T) {
			params := map[string]any{}
			if err := json.Unmarshal([]byte(c.params), &params); err != nil {
				t.Fatal(err)
			}
			plan, err := library.Parse(params)
			if err != nil {
				t.Fatal(err)
			}
			seen := make(chan string, 100)
			plan.HybridHandler = func(_ library.BlockingParamVal, data any) {
				text, err := json.Marshal(data)
				if err != nil {
					text = []byte(err.Error())
				}
				seen <- string(text)
			}
			var running sync.WaitGroup
			running.Go(func() {
				if err := plan.RunWithClientAndHclog(client, nil); err != nil {
					t.Error(err)
				}
			})
			defer running.Wait()
			defer plan.Stop()
			var last string
			until(t, "the plan shows "+c.shows, func() bool {
				select {
				case last = <-seen:
				default:
				}
				return strings.Contains(last, c.shows)
			})
		})
	}
}

func TestReloadAppliesTheDifferenceOfWatches(t *testing.T) {
	f, dir := folder(t.TempDir()), t.TempDir()
	file := filepath.Join(dir, "watches.hcl")
	one := func(key string) string {
		return `watches { type = "key", key = "` + key + `", handler = ` + f.handler(key) + " }\n"
	}
	writeFile(t, file, one("stays")+one("goes"))
	a := start(t, "-dev", "-config-dir", dir)
	a.put(t, "stays", "1")
	a.put(t, "goes", "1")
	f.told(t, "stays", `"MQ=="`)
	f.told(t, "goes", `"MQ=="`)
	before := len(f.runs(t, "stays"))

	writeFile(t, file, one("stays")+one("comes")+`watches { type = "nope", args = ["true"] }`)
	err := a.Reload()
	if err == nil || !strings.Contains(err.Error(), "watches.hcl: watches[2]: Unsupported watch type: nope") {
		t.Fatalf("a watch of no type: %v", err)
	}
	a.put(t, "goes", "2")
	f.told(t, "goes", `"Mg=="`) // nothing was applied
	gone := len(f.runs(t, "goes"))

	writeFile(t, file, one("stays")+one("comes"))
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	a.put(t, "comes", "1")
	f.told(t, "comes", `"MQ=="`)
	if after := len(f.runs(t, "stays")); after != before {
		t.Errorf("what stayed ran %d times, before the reload %d", after, before)
	}
	a.put(t, "stays", "2")
	f.told(t, "stays", `"Mg=="`)
	a.put(t, "goes", "3")
	a.put(t, "comes", "2")
	f.told(t, "comes", `"Mg=="`)
	if n := len(f.runs(t, "goes")); n != gone {
		t.Errorf("what is gone ran %d times, before the reload %d", n, gone)
	}
}

func TestWrongWatchesKeepAnAgentFromStarting(t *testing.T) {
	_, err := newAgent(t, &journal{}, "-dev", "-bind", address(), "-hcl", `watches { type = "key", args = ["true"] }`)
	if err == nil || !strings.Contains(err.Error(), "-hcl (number 1): watches[0]: Must specify a single key to watch") {
		t.Errorf("started with %v", err)
	}
}

func TestHandlersEndWithTheAgent(t *testing.T) {
	noLeaks(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	a := start(t, "-dev", "-hcl", `watches { type = "nodes", handler = `+
		strconv.Quote(`sleep 600 & echo $! >`+pidFile+`.new; mv `+pidFile+`.new `+pidFile+`; wait`)+` }`)
	var pid int
	lab.Until(t, "the handler runs", func() error {
		text, err := os.ReadFile(pidFile)
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err
	})
	a.stop(t)
	until(t, "what it started is gone", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ") || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	})
}

func TestHandlersThatFailAreCalledAgain(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, r.Header.Get("X-Consul-Index")+" "+string(body))
		http.Error(w, "not today", http.StatusServiceUnavailable)
	}))
	t.Cleanup(server.Close)
	got := func(word string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(strings.Join(bodies, ""), word)
		}
	}
	a := start(t, "-dev", "-hcl", `watches { type = "keyprefix", prefix = "a/", handler_type = "http",
		http_handler_config { path = "`+server.URL+`" } }
		watches { type = "keyprefix", prefix = "a/", args = ["false"] }
		watches { type = "keyprefix", prefix = "a/", args = ["/no/such/program"] }`)
	a.put(t, "a/1", "x")
	until(t, "the first change arrives", got("a/1"))
	a.put(t, "a/2", "x")
	until(t, "the second change arrives", got("a/2"))
	for _, line := range []string{"status 503", "exit status 1", "no such file or directory"} {
		until(t, "the log tells of "+line, func() bool {
			a.put(t, "a/3", "x") // a watch that is late sees several changes as one
			return a.log.count("a watch handler failed", line) > 1
		})
	}
}

func TestWatchesSurviveALostServer(t *testing.T) {
	f, dir, addr := folder(t.TempDir()), t.TempDir(), address()
	args := []string{"-dev", "-node", "leader", "-data-dir", dir}
	server := startAt(t, addr, args...)
	server.put(t, "config/limit", "1")
	// It serves HTTP to nobody else.
	client := start(t, "-dev", "-server=false", "-node", "client", "-retry-join", addr, "-http-port=-1",
		"-hcl", `watches { type = "key", key = "config/limit", handler = `+f.handler("key")+` }`)
	f.told(t, "key", `"MQ=="`)
	server.stop(t)
	until(t, "the watch has lost its server", func() bool { return client.log.count("Watch errored") > 0 })
	startAt(t, addr, args...).put(t, "config/limit", "2")
	f.told(t, "key", `"Mg=="`)
}
