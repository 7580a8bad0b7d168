package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// patience is how long anything may take that must happen at all.
const patience = 30 * time.Second

// agent is one process.
type agent struct {
	name       string
	datacenter string
	dir        string
	args       []string
	http       string // its address
	dns        string // its address for DNS
	lan        string // its LAN gossip address
	wan        string // the address at which others reach its WAN gossip
	server     int    // its server port
	bin        string
	cmd        *exec.Cmd
	exited     chan struct{}
}

// ports hands out ports that nobody listens on, below those that the system gives to
// outgoing connections.
type ports struct {
	mu   sync.Mutex
	next int
}

var freePorts = ports{next: 12000 + rand.N(1000)*10}

func (p *ports) take() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		p.next++
		if p.free() {
			return p.next
		}
	}
}

func (p *ports) free() bool {
	for _, ip := range []string{"127.0.0.1", farIP} {
		at := net.JoinHostPort(ip, strconv.Itoa(p.next))
		ln, err := net.Listen("tcp", at)
		if err != nil {
			return false
		}
		ln.Close()
		udp, err := net.ListenPacket("udp", at)
		if err != nil {
			return false
		}
		udp.Close()
	}
	return true
}

// newAgent writes the configuration of an agent. more is laid over what every one has.
func (b *bench) newAgent(name, dc string, more map[string]any) (*agent, error) {
	a := &agent{name: name, datacenter: dc, bin: b.bin, dir: filepath.Join(b.dir, name), server: freePorts.take()}
	http, lan, wan, dns := freePorts.take(), freePorts.take(), freePorts.take(), freePorts.take()
	a.http = "127.0.0.1:" + strconv.Itoa(http)
	a.dns = "127.0.0.1:" + strconv.Itoa(dns)
	a.lan = "127.0.0.1:" + strconv.Itoa(lan)
	conf := map[string]any{
		"node_name": name, "datacenter": dc, "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
		"data_dir": filepath.Join(a.dir, "data"), "log_level": "warn", "disable_host_node_id": true,
		"ports":  map[string]int{"http": http, "server": a.server, "serf_lan": lan, "serf_wan": wan, "dns": dns},
		"limits": map[string]int{"http_max_conns_per_client": 5000},
	}
	for key, value := range more {
		conf[key] = value
	}
	a.wan = "127.0.0.1:" + strconv.Itoa(wan)
	if ip, far := more["serf_wan"].(string); far {
		a.wan = net.JoinHostPort(ip, strconv.Itoa(wan))
	}
	text, err := json.MarshalIndent(conf, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(a.dir, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(a.dir, "agent.json")
	a.args = []string{"agent", "-config-file", file}
	return a, os.WriteFile(file, text, 0o644)
}

// start runs the process. Its output is kept in a file beside its data.
func (a *agent) start() error {
	out, err := os.OpenFile(filepath.Join(a.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	a.cmd = exec.Command(a.bin, a.args...)
	a.cmd.Stdout, a.cmd.Stderr = out, out
	if err := a.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", a.name, err)
	}
	a.exited = make(chan struct{})
	go func() {
		defer close(a.exited)
		_ = a.cmd.Wait() // how it ends is of no interest
	}()
	return nil
}

// end sends a signal and waits for the process to be gone.
func (a *agent) end(sig syscall.Signal) {
	if a.exited == nil {
		return
	}
	_ = a.cmd.Process.Signal(sig)
	select {
	case <-a.exited:
	case <-time.After(patience):
		_ = a.cmd.Process.Kill()
		<-a.exited
	}
}

// pid is the ID of the process, 0 before it was started.
func (a *agent) pid() int {
	if a.cmd == nil || a.cmd.Process == nil {
		return 0
	}
	return a.cmd.Process.Pid
}

// client is for everything that is not measured.
var client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// call makes one request and returns its body. A status of 400 and more is an error.
func (a *agent) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+a.http+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 400 {
		err = fmt.Errorf("%s %s at %s: status %d: %s", method, path, a.name, res.StatusCode, bytes.TrimSpace(answer))
	}
	return answer, err
}

// until repeats try, every few milliseconds, until it succeeds.
func until(ctx context.Context, try func() error) error {
	return untilWithin(ctx, patience, try)
}

func untilWithin(ctx context.Context, patience time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("it did not happen in time; at last: %w", err)
		}
	}
}

// setup is what the rows of a section share.
type setup struct {
	agents []*agent
	links  []*link
	// mirrored says that the copy of a [mirror] is there.
	mirrored bool
}

// carried is how many bytes the links let through.
func (s *setup) carried() (sum int64) {
	for _, l := range s.links {
		sum += l.sent.Load()
	}
	return sum
}

// close ends all processes.
func (s *setup) close() {
	for _, a := range s.agents {
		a.end(syscall.SIGKILL)
	}
	for _, l := range s.links {
		l.close()
	}
}

// datacenter starts servers that form one, and waits until each answers.
func (b *bench) datacenter(s *setup, dc string, size int, more map[string]any) ([]*agent, error) {
	var servers []*agent
	for i := range size {
		conf := map[string]any{"server": true, "bootstrap_expect": size}
		if i > 0 {
			conf["retry_join"] = []string{servers[0].lan}
		}
		for key, value := range more {
			conf[key] = value
		}
		a, err := b.newAgent(fmt.Sprintf("%s-%d-%d", dc, i+1, freePorts.take()), dc, conf)
		if err != nil {
			return nil, err
		}
		servers = append(servers, a)
		s.agents = append(s.agents, a)
		if err := a.start(); err != nil {
			return nil, err
		}
	}
	return servers, b.ready(servers)
}

// ready waits until every server knows of a leader and holds as many peers as there
// are servers.
func (b *bench) ready(servers []*agent) error {
	for _, a := range servers {
		if err := until(b.ctx, func() error {
			if _, err := a.call(b.ctx, "PUT", "/v1/kv/bench/ready", nil); err != nil {
				return err
			}
			var peers []string
			body, err := a.call(b.ctx, "GET", "/v1/status/peers", nil)
			if err != nil {
				return err
			}
			if err := json.Unmarshal(body, &peers); err != nil {
				return err
			}
			if len(peers) != len(servers) {
				return fmt.Errorf("%d peers of %d", len(peers), len(servers))
			}
			return nil
		}); err != nil {
			return fmt.Errorf("%s is not ready: %w", a.name, err)
		}
	}
	return nil
}

var errNoLeader = errors.New("none of the servers is the leader")

// leader returns the server that leads, and the others.
func leader(ctx context.Context, servers []*agent) (first *agent, others []*agent, err error) {
	body, err := servers[0].call(ctx, "GET", "/v1/status/leader", nil)
	if err != nil {
		return nil, nil, err
	}
	var addr string
	if err := json.Unmarshal(body, &addr); err != nil {
		return nil, nil, err
	}
	for _, a := range servers {
		if addr == "127.0.0.1:"+strconv.Itoa(a.server) {
			first = a
		} else {
			others = append(others, a)
		}
	}
	if first == nil {
		return nil, nil, fmt.Errorf("%w: it is said to be %q", errNoLeader, addr)
	}
	return first, others, nil
}
