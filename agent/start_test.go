package agent_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/consensus"
	"github.com/hanse-project/hanse/test/lab"
)

func TestStartThatFailsLeavesNothingBehind(t *testing.T) {
	cases := map[string]struct {
		taken string // which port is taken
		args  []string
		want  []string
	}{
		"server port":            {":8300", nil, []string{"port is taken", "ports.server"}},
		"LAN gossip":             {":8301", nil, []string{"already in use", "ports.serf_lan"}},
		"WAN gossip":             {":8302", nil, []string{"already in use", "ports.serf_wan"}},
		"HTTP":                   {":8500", nil, []string{"port is taken", "ports.http"}},
		"HTTP of a client agent": {":8500", []string{"-hcl", "server = false"}, []string{"port is taken", "ports.http"}},
		"DNS":                    {":8600", nil, []string{"port is taken", "ports.dns"}},
		"folder of the pid file": {"", []string{"-pid-file", "/dev/null/x/pid"}, []string{"pid_file"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			addr, dir := address(), t.TempDir()
			if c.taken != "" {
				ln, err := net.Listen("tcp", addr+c.taken)
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
			}
			args := append([]string{"-dev", "-bind", addr, "-client", addr, "-data-dir", dir}, c.args...)
			_, err := newAgent(t, &journal{}, args...)
			if err == nil {
				t.Fatal("the agent has started")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error is %q, want %q in it", err, want)
				}
			}
			lock, err := consensus.LockDir(dir)
			if err != nil {
				t.Fatalf("the data directory is still in use: %v", err)
			}
			lock.Unlock()
			for _, port := range []string{":8300", ":8301", ":8302", ":8500", ":8600"} {
				if port == c.taken {
					continue
				}
				ln, err := net.Listen("tcp", addr+port)
				if err != nil {
					t.Errorf("a port is still open: %v", err)
					continue
				}
				ln.Close()
			}
		})
	}
}

func TestAgentEndsWithoutATrace(t *testing.T) {
	noLeaks(t)
	pid := filepath.Join(t.TempDir(), "run", "hanse.pid")
	a := start(t, "-dev", "-pid-file", pid, "-data-dir", t.TempDir())
	a.put(t, "a", "1")
	if text, err := os.ReadFile(pid); err != nil || string(text) != strconv.Itoa(os.Getpid()) {
		t.Errorf("the pid file holds %q (%v)", text, err)
	}
	waiting := make(chan string, 1)
	go func() { // a blocking query does not hold up the end
		_, text, err := a.do(http.MethodGet, "/v1/kv/a?index=1000000&wait=5m", "")
		if err != nil {
			text = err.Error()
		}
		waiting <- text
	}()
	until(t, "the query waits", func() bool { return strings.Contains(stackDump(), "WatchCtx") })
	a.stop(t)
	<-waiting
	if _, err := os.Stat(pid); !os.IsNotExist(err) {
		t.Errorf("the pid file is still there (%v)", err)
	}
}

func TestPIDFileThatSomebodyElseRemovedIsNoError(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "hanse.pid")
	a := start(t, "-dev", "-pid-file", pid)
	if err := os.Remove(pid); err != nil {
		t.Fatal(err)
	}
	a.stop(t)
}

func TestRetryJoinThatIsGivenUpEndsTheAgent(t *testing.T) {
	noLeaks(t)
	nobody := address()
	a := start(t, "-dev", "-retry-join", nobody, "-retry-max", "2", "-retry-interval", "10ms")
	a.wait(t)
	if a.err == nil || !strings.Contains(a.err.Error(), "max join retry exhausted after 2 tries") || !strings.Contains(a.err.Error(), nobody) {
		t.Errorf("the agent ended with: %v", a.err)
	}
	if n := a.log.count("Join cluster failed, will retry"); n != 1 {
		t.Errorf("%d retries were logged, want 1", n)
	}
}

func TestJoinThatFailsEndsTheAgent(t *testing.T) {
	noLeaks(t)
	a := start(t, "-dev", "-join", address())
	a.wait(t)
	if a.err == nil || !strings.Contains(a.err.Error(), "start_join") || !strings.Contains(a.err.Error(), "nothing listens there") {
		t.Errorf("the agent ended with: %v", a.err)
	}
}

func TestJoinThatIsNeverAnsweredDoesNotHoldUpTheEnd(t *testing.T) {
	silent, err := net.Listen("tcp", address()+":8301") // it accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	a := start(t, "-dev", "-retry-join", silent.Addr().String())
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	a.stop(t)
}

func TestDevAgentsFormOneCluster(t *testing.T) {
	noLeaks(t)
	first := start(t, "-dev", "-node", "one")
	first.put(t, "a", "1")
	start(t, "-dev", "-node", "two", "-join", first.addr)
	third := start(t, "-dev", "-node", "three", "-server=false", "-retry-join", first.addr)
	lab.Until(t, "all see all", func() error {
		_, text, err := third.do(http.MethodGet, "/v1/kv/a?raw", "")
		if err != nil || text != "1" {
			return errorOf(err, text)
		}
		var nodes []api.Node
		if err := third.ask("/v1/catalog/nodes", &nodes); err != nil || len(nodes) != 3 {
			return errorOf(err, nodes)
		}
		var peers []string
		if err := third.ask("/v1/status/peers", &peers); err != nil || len(peers) != 2 {
			return errorOf(err, peers)
		}
		return nil
	})
}

func TestLeaveOverHTTPEndsTheAgent(t *testing.T) {
	noLeaks(t)
	server := start(t, "-dev", "-node", "server")
	client := start(t, "-dev", "-server=false", "-node", "client", "-retry-join", server.addr)
	lab.Until(t, "the client is in the catalog", func() error {
		var nodes []api.Node
		err := client.ask("/v1/catalog/nodes", &nodes)
		if err == nil && len(nodes) != 2 {
			err = errorOf(nil, nodes)
		}
		return err
	})
	if status, text, err := client.do(http.MethodPut, "/v1/agent/leave", ""); err != nil || status != http.StatusOK {
		t.Errorf("leave answered %d %q (%v)", status, text, err)
	}
	client.wait(t)
	if client.err != nil {
		t.Errorf("the agent ended with: %v", client.err)
	}
	lab.Until(t, "the client is gone from the catalog", func() error {
		var nodes []api.Node
		err := server.ask("/v1/catalog/nodes", &nodes)
		if err == nil && len(nodes) != 1 {
			err = errorOf(nil, nodes)
		}
		return err
	})
}

func TestSeveralAgentsInOneProcessCountApart(t *testing.T) {
	a, b := start(t, "-dev"), start(t, "-dev")
	a.put(t, "a", "1")
	for _, agent := range []*running{b, a} {
		status, text, err := agent.do(http.MethodGet, "/v1/agent/metrics?format=prometheus", "")
		if err != nil || status != http.StatusOK {
			t.Fatalf("metrics: %d (%v)", status, err)
		}
		const series = `hanse_rpc_calls_total{method="KVS.Apply"} `
		if want := agent == a; strings.Contains(text, series+"0\n") == want || !strings.Contains(text, series) {
			t.Errorf("of the writes at the other agent, %v shows: %t", agent == a, !want)
		}
	}
}
