//go:build linux

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// dialer is implemented by places whose agents cannot be reached from everywhere.
type dialer interface {
	dial(ctx context.Context, n *Node, addr string) (net.Conn, error)
}

// newHTTPClient makes a client of one agent, as a program on the same machine would.
func newHTTPClient(t testing.TB, n *Node) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	if d, ok := n.DC.fed.place.(dialer); ok {
		transport.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) { return d.dial(ctx, n, addr) }
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// URL is the address of a path of the agent's HTTP API.
func (n *Node) URL(path string) string { return "http://" + n.Addr(HTTPPort) + path }

// API is Consul's own client of this agent.
func (n *Node) API(t testing.TB) *api.Client {
	t.Helper()
	c, err := api.NewClient(&api.Config{Address: n.Addr(HTTPPort), HttpClient: n.client})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Answer is what the HTTP API answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Index is X-Consul-Index, 0 if there is none.
func (a *Answer) Index() uint64 {
	index, err := strconv.ParseUint(a.Header.Get("X-Consul-Index"), 10, 64)
	if err != nil {
		return 0
	}
	return index
}

// Reason is why the call failed.
func (a *Answer) Reason() string { return a.Header.Get("X-Hanse-Reason") }

// Err is nil for an answer that is not an error: 404 is none.
func (a *Answer) Err() error {
	if a.Status < 400 || a.Status == http.StatusNotFound {
		return nil
	}
	return fmt.Errorf("status %d, reason %q: %s", a.Status, a.Reason(), bytes.TrimSpace(a.Body))
}

// Do makes one request to the agent. Its error means that no whole answer arrived.
func (n *Node) Do(ctx context.Context, method, path, body string) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, n.URL(path), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: answer}, nil
}

// try is [Node.Do] within a bounded time, with every error status an error.
func (n *Node) try(method, path, body string) (*Answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	a, err := n.Do(ctx, method, path, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s at %s: %w", method, path, n.Name, err)
	}
	if err := a.Err(); err != nil {
		return nil, fmt.Errorf("%s %s at %s: %w", method, path, n.Name, err)
	}
	return a, nil
}

// ask is try for an answer in JSON.
func (n *Node) ask(path string, into any) error {
	a, err := n.try(http.MethodGet, path, "")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(a.Body, into); err != nil {
		return fmt.Errorf("GET %s at %s: %w in %.200q", path, n.Name, err, a.Body)
	}
	return nil
}

// Get reads the path once, and fails the test on an error.
func (n *Node) Get(t testing.TB, path string) *Answer {
	t.Helper()
	a, err := n.try(http.MethodGet, path, "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Put writes a key at this agent, in the given datacenter or in its own if dc is "". It
// goes on trying until that is acknowledged.
func (n *Node) Put(t testing.TB, dc, key, value string) {
	t.Helper()
	Until(t, "put "+key, func() error {
		_, err := n.try(http.MethodPut, kvPath(key, dc), value)
		return err
	})
}

// kvPath is the path of a key in a datacenter, "" for the agent's own.
func kvPath(key, dc string) string {
	path := "/v1/kv/" + key
	if dc != "" {
		path += "?dc=" + dc
	}
	return path
}
