//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// Node is one agent and its place in the federation. It stays the same over restarts.
type Node struct {
	Name string
	DC   *DC
	IP   string
	// Server tells a server from a client agent.
	Server bool
	// Flags are given to this agent after all others, at its next start.
	Flags []string
	// Alone starts the agent without telling it whom to join.
	Alone bool

	client *http.Client

	mu    sync.Mutex
	agent running
}

// DataDir is where the agent keeps its state.
func (n *Node) DataDir() string { return filepath.Join(n.DC.fed.dir, n.Name) }

// LogFile is where its log goes, over all restarts.
func (n *Node) LogFile() string { return filepath.Join(n.DC.fed.dir, n.Name+".log") }

// Addr is its address with the given port.
func (n *Node) Addr(port int) string { return n.IP + ":" + strconv.Itoa(port) }

// args is the command line of the agent.
func (n *Node) args() []string {
	port := strconv.Itoa
	args := []string{
		"-node", n.Name, "-datacenter", n.DC.Name, "-bind", n.IP, "-client", n.IP, "-data-dir", n.DataDir(),
		"-http-port", port(HTTPPort), "-dns-port", port(DNSPort), "-server-port", port(ServerPort), "-serf-lan-port", port(LANPort), "-log-level", "debug",
		"-retry-interval", "1s", "-retry-interval-wan", "1s",
	}
	if n.Server {
		args = append(args, "-server", "-serf-wan-port", port(WANPort), "-bootstrap-expect", strconv.Itoa(len(n.DC.Servers())))
	}
	if !n.Alone {
		args = append(args, n.joins()...)
	}
	args = append(args, n.DC.fed.flags...)
	return append(args, n.Flags...)
}

// joins are the flags that say whom to join. One server of each datacenter is told about
// the other datacenters; its peers find them by themselves.
func (n *Node) joins() (flags []string) {
	for _, s := range n.DC.Servers() {
		if s != n {
			flags = append(flags, "-retry-join", s.Addr(LANPort))
		}
	}
	if f := n.DC.fed; !f.apart && n == n.DC.Nodes[0] {
		for _, dc := range f.dcs {
			if dc != n.DC {
				flags = append(flags, "-retry-join-wan", dc.Nodes[0].Addr(WANPort))
			}
		}
	}
	return flags
}

// Start starts the agent. What it writes is appended to its log.
func (n *Node) Start(t testing.TB) {
	t.Helper()
	if err := n.TryStart(); err != nil {
		t.Fatalf("start %s: %v", n.Name, err)
	}
}

// TryStart is Start where an error is no surprise. Processes start without one, and end.
func (n *Node) TryStart() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.agent != nil {
		return fmt.Errorf("%s runs already", n.Name)
	}
	agent, err := n.DC.fed.place.launch(n, n.args())
	if err != nil {
		return err
	}
	n.agent = agent
	return nil
}

// Running tells whether the agent was started and has not been stopped or killed.
func (n *Node) Running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.agent != nil
}

func (n *Node) take() running {
	n.mu.Lock()
	defer n.mu.Unlock()
	agent := n.agent
	n.agent = nil
	return agent
}

// Stop has the agent end in an orderly way. Whether it leaves is up to its flags.
func (n *Node) Stop(t testing.TB) {
	t.Helper()
	agent := n.take()
	if agent == nil {
		t.Fatalf("stop %s: it does not run", n.Name)
	}
	n.client.CloseIdleConnections()
	if err := agent.stop(); err != nil {
		t.Errorf("stop %s: %v", n.Name, err)
	}
}

// Kill ends the agent without a word: SIGKILL to a process; an agent in this process is
// cut off from everybody before it is stopped.
func (n *Node) Kill(t testing.TB) {
	t.Helper()
	agent := n.take()
	if agent == nil {
		t.Fatalf("kill %s: it does not run", n.Name)
	}
	agent.kill()
	n.client.CloseIdleConnections()
}

// Restart stops the agent and starts it again on the same data.
func (n *Node) Restart(t testing.TB) {
	t.Helper()
	n.Stop(t)
	n.Start(t)
}

// Freeze stops the agent's process as a debugger would: its connections stay open.
func (n *Node) Freeze(t testing.TB) { t.Helper(); n.freeze(t, true) }

// Thaw lets a frozen agent go on.
func (n *Node) Thaw(t testing.TB) { t.Helper(); n.freeze(t, false) }

func (n *Node) freeze(t testing.TB, stop bool) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.agent == nil {
		t.Fatalf("freeze or thaw %s: it does not run", n.Name)
	}
	if err := n.agent.freeze(stop); err != nil {
		t.Fatalf("freeze or thaw %s: %v", n.Name, err)
	}
}

// WaitEnd waits until the agent has ended by itself, and returns what it has logged.
func (n *Node) WaitEnd(t testing.TB) string {
	t.Helper()
	n.mu.Lock()
	agent := n.agent
	n.mu.Unlock()
	if agent == nil {
		t.Fatalf("wait for the end of %s: it does not run", n.Name)
	}
	Until(t, n.Name+" has ended", func() error {
		select {
		case <-agent.done():
			return nil
		default:
			return fmt.Errorf("it still runs")
		}
	})
	n.take()
	n.client.CloseIdleConnections()
	return n.Log(t)
}

// Log is what the agent has logged, over all restarts.
func (n *Node) Log(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(n.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// disasters are what no log may contain, whatever was done to the agent.
var disasters = []string{"panic:", "fatal error:", "WARNING: DATA RACE", "concurrent map"}

func (n *Node) checkLog() error {
	text, err := os.ReadFile(n.LogFile())
	if err != nil {
		return nil // it was never started
	}
	for _, bad := range disasters {
		if i := bytes.Index(text, []byte(bad)); i >= 0 {
			return fmt.Errorf("%s logged a disaster:\n%s", n.Name, text[i:min(len(text), i+4000)])
		}
	}
	return nil
}

// tail is the end of the log.
func (n *Node) tail() []byte {
	text, err := os.ReadFile(n.LogFile())
	if err != nil {
		return []byte(err.Error())
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-40):], []byte("\n"))
}
