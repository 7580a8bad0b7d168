package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	demoShanghai = "shanghai"
	demoBeijing  = "beijing"
	demoServers  = 3 // in each datacenter

	// demoStop is how long a process may take to end before it is killed.
	demoStop = 10 * time.Second
)

// Ports of an agent, counted from its first one.
const (
	portHTTP = iota
	portRPC
	portLAN
	portWAN
	portDNS
	agentPorts
)

// demo is what runs: agents, as processes of this program.
type demo struct {
	out    io.Writer
	binary string
	dir    string
	claim  net.Listener // keeps other demos off our ports
	agents []*demoAgent
	ended  chan *demoProcess // takes every process that ends
}

// demoAgent is one agent, running or not.
type demoAgent struct {
	dc, name string
	server   bool
	port     int // the first of agentPorts
	api      *api.Client
	process  *demoProcess
}

// newDemo finds a place for everything; nothing runs yet.
func newDemo(out io.Writer) (*demo, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file: %w", err)
	}
	claim, first, err := claimPorts()
	if err != nil {
		return nil, err
	}
	d := &demo{out: out, binary: binary, claim: claim, ended: make(chan *demoProcess, 2*demoServers+3)}
	for _, dc := range []string{demoShanghai, demoBeijing} {
		for i := range demoServers + 1 {
			a := &demoAgent{dc: dc, name: fmt.Sprintf("%s-server-%d", dc, i+1), server: true}
			if i == demoServers {
				a.name, a.server = dc+"-client", false
			}
			a.port = first + 10*len(d.agents)
			if a.api, err = api.NewClient(&api.Config{Address: a.address(portHTTP), Scheme: "http"}); err != nil {
				return nil, errors.Join(err, claim.Close())
			}
			d.agents = append(d.agents, a)
		}
	}
	if d.dir, err = os.MkdirTemp("", "hanse-demo-"); err != nil {
		return nil, errors.Join(fmt.Errorf("make a temporary directory: %w", err), claim.Close())
	}
	return d, nil
}

// claimPorts finds a block of free ports below those that systems give to outgoing
// connections. Its first port stays ours until the listener is closed.
func claimPorts() (claim net.Listener, first int, err error) {
	for block := 18500; block < 32000; block += 100 {
		claim, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", block))
		if err != nil {
			continue
		}
		if err = freePorts(block + 10); err == nil {
			return claim, block + 10, nil
		}
		claim.Close()
	}
	return nil, 0, fmt.Errorf("no free ports on 127.0.0.1 between 18500 and 32000: %w", err)
}

// freePorts tells whether all agents find their ports free, from first on.
func freePorts(first int) error {
	for agent := range 2 * (demoServers + 1) {
		for i := range agentPorts {
			addr := fmt.Sprintf("127.0.0.1:%d", first+10*agent+i)
			tcp, err := net.Listen("tcp", addr)
			if err != nil {
				return err
			}
			tcp.Close()
			udp, err := net.ListenPacket("udp", addr)
			if err != nil {
				return err
			}
			udp.Close()
		}
	}
	return nil
}

func (a *demoAgent) address(port int) string { return fmt.Sprintf("127.0.0.1:%d", a.port+port) }

func (d *demo) server(dc string, n int) *demoAgent { return d.find(fmt.Sprintf("%s-server-%d", dc, n)) }
func (d *demo) client(dc string) *demoAgent        { return d.find(dc + "-client") }

func (d *demo) find(name string) *demoAgent {
	for _, a := range d.agents {
		if a.name == name {
			return a
		}
	}
	return nil
}

// byRPC returns the server with that RPC address, or nil.
func (d *demo) byRPC(address string) *demoAgent {
	for _, a := range d.agents {
		if a.server && a.address(portRPC) == address {
			return a
		}
	}
	return nil
}

// start runs the agent's process.
func (a *demoAgent) start(d *demo) error {
	args := []string{
		"agent", "-datacenter=" + a.dc, "-node=" + a.name, "-bind=127.0.0.1", "-client=127.0.0.1", "-ui",
		"-data-dir=" + filepath.Join(d.dir, a.name),
		fmt.Sprintf("-http-port=%d", a.port+portHTTP),
		fmt.Sprintf("-dns-port=%d", a.port+portDNS),
		fmt.Sprintf("-server-port=%d", a.port+portRPC),
		fmt.Sprintf("-serf-lan-port=%d", a.port+portLAN),
	}
	if a.server {
		args = append(args, "-server", fmt.Sprintf("-bootstrap-expect=%d", demoServers), fmt.Sprintf("-serf-wan-port=%d", a.port+portWAN))
	}
	for n := range demoServers {
		args = append(args, "-retry-join="+d.server(a.dc, n+1).address(portLAN))
	}
	var err error
	a.process, err = d.run(a.name, args...)
	return err
}

// demoProcess is one process that the demo started.
type demoProcess struct {
	name, log string
	cmd       *exec.Cmd
	done      chan struct{} // closed when it has ended
}

// run starts this program with other arguments, and its output in a file.
func (d *demo) run(name string, args ...string) (*demoProcess, error) {
	p := &demoProcess{name: name, log: filepath.Join(d.dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(d.binary, args...)
	p.cmd.Dir, p.cmd.Env = d.dir, withoutSettings(os.Environ())
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = ownProcess()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.cmd.Wait() // what came of it is in cmd.ProcessState
		close(p.done)
		d.ended <- p
	}()
	return p, nil
}

// withoutSettings leaves out variables that would lead our commands to other agents.
func withoutSettings(env []string) []string {
	var kept []string
	for _, entry := range env {
		if !strings.HasPrefix(entry, "CONSUL_") && !strings.HasPrefix(entry, "HANSE_") {
			kept = append(kept, entry)
		}
	}
	return kept
}

// failure explains a process that ended too early by the last lines of its log.
func (p *demoProcess) failure() error {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return fmt.Errorf("%s ended (%s); its last lines were:\n%s", p.name, p.cmd.ProcessState, bytes.Join(lines[max(0, len(lines)-5):], []byte("\n")))
}

// close ends every process, and removes all files.
func (d *demo) close() error {
	var agents []*demoProcess
	for _, a := range d.agents {
		if a.process != nil {
			agents = append(agents, a.process)
		}
	}
	endAll(agents...)
	return errors.Join(d.claim.Close(), os.RemoveAll(d.dir))
}

// endAll asks the processes to end, and kills what does not in time. Signals fail only
// if a process has ended already.
func endAll(processes ...*demoProcess) {
	for _, p := range processes {
		p.cmd.Process.Signal(syscall.SIGTERM)
	}
	late := time.After(demoStop)
	for _, p := range processes {
		select {
		case <-p.done:
			continue
		case <-late:
		}
		for _, p := range processes {
			p.cmd.Process.Kill()
		}
		<-p.done
	}
}
