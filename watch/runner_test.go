package watch

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-hclog"
)

// waiters is an agent where nothing ever changes, and that counts who waits for it.
type waiters struct {
	*httptest.Server
	mu sync.Mutex
	n  map[string]int // by path
}

func newWaiters(t *testing.T) *waiters {
	t.Helper()
	w := &waiters{n: map[string]int{}}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("index") != "" {
			w.count(r.URL.Path, 1)
			defer w.count(r.URL.Path, -1)
			<-r.Context().Done()
			return
		}
		rw.Header().Set("X-Consul-Index", "7")
		_, _ = io.WriteString(rw, `[]`)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *waiters) count(path string, more int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n[path] += more
}

// expect waits until as many wait for nodes, and for the health of a service.
func (w *waiters) expect(t *testing.T, nodes, service int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		w.mu.Lock()
		n, s := w.n["/v1/catalog/nodes"], w.n["/v1/health/service/web"]
		w.mu.Unlock()
		if n == nodes && s == service {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d wait for nodes and %d for a service, want %d and %d", n, s, nodes, service)
		}
	}
}

func TestRunnerRunsWhatIsSet(t *testing.T) {
	agent := newWaiters(t)
	r := New(Config{
		Client: func(datacenter, token string) (*api.Client, error) {
			return api.NewClient(&api.Config{Address: agent.URL, Datacenter: datacenter, Token: token})
		},
		Log: hclog.NewNullLogger(),
	})
	const nodes, service = `{"type": "nodes", "args": ["true"]}`, `{"type": "service", "service": "web", "args": ["true"]}`
	set := func(bodies ...string) {
		t.Helper()
		text := `{"watches": [`
		for i, b := range bodies {
			if i > 0 {
				text += ", "
			}
			text += b
		}
		watches, err := ParseAll(load(t, "w.json", text+"]}").Watches)
		if err != nil {
			t.Fatal(err)
		}
		r.Set(watches)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	set(nodes, nodes)
	running.Go(func() { _ = r.Run(ctx) })
	agent.expect(t, 2, 0)
	set(nodes, service)
	agent.expect(t, 1, 1)
	set(service, nodes, nodes)
	agent.expect(t, 2, 1)
	set()
	agent.expect(t, 0, 0)
	set(service)
	agent.expect(t, 0, 1)
	cancel()
	running.Wait()
	agent.expect(t, 0, 0)
}
