package forwarder

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hanse-project/hanse/rpc"
)

// The methods that test servers answer.
var (
	echo = rpc.Method[textRequest, textReply]{Info: rpc.Info{Name: "Test.Echo"}}
	set  = rpc.Method[textWrite, textReply]{Info: rpc.Info{Name: "Test.Set", Write: true}}
	list = rpc.Method[textRequest, listReply]{Info: rpc.Info{Name: "Test.List", Class: rpc.List}}
	wait = rpc.Method[textRequest, textReply]{Info: rpc.Info{Name: "Test.Wait", Blocking: true}}
)

type textRequest struct {
	rpc.Read
	Text string
}

type textWrite struct {
	rpc.Write
	Text string
}

type textReply struct {
	rpc.Meta
	Text string
}

type listReply struct {
	rpc.Meta
	Items [][]byte
}

// backend is a test server: a listener with a dispatcher that counts what it does.
type backend struct {
	name string
	addr string
	stop func()

	writes, waiting, calls atomic.Int64
	// fail, if set, is what every call but pings is answered with.
	fail atomic.Pointer[rpc.Error]
	// abandoned receives a value when a waiting call's context has ended.
	abandoned chan struct{}
	// release, once closed, has held writes answered.
	release chan struct{}
}

// Serve implements Dispatcher.
func (b *backend) Serve(ctx context.Context, method string, decode func(rpc.Request) error) (any, error) {
	if err := b.fail.Load(); err != nil && method != pingInfo.Name {
		return nil, err
	}
	b.calls.Add(1)
	switch method {
	case echo.Name:
		var req textRequest
		if err := decode(&req); err != nil {
			return nil, err
		}
		if text, ok := strings.CutPrefix(req.Text, "error: "); ok {
			return nil, errors.New(text)
		}
		return &textReply{Meta: rpc.Meta{Index: 1}, Text: req.Text + "@" + b.name}, nil
	case set.Name:
		var req textWrite
		if err := decode(&req); err != nil {
			return nil, err
		}
		b.writes.Add(1)
		if req.Text == "wait" {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if req.Text == "held" {
			select {
			case <-b.release:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return &textReply{Text: req.Text + "@" + b.name}, nil
	case list.Name:
		return &listReply{Items: slices.Repeat([][]byte{make([]byte, 64<<10)}, 256)}, nil
	case wait.Name:
		if err := decode(new(textRequest)); err != nil {
			return nil, err
		}
		b.waiting.Add(1)
		<-ctx.Done()
		b.abandoned <- struct{}{}
		return nil, ctx.Err()
	case pingInfo.Name:
		return nil, decode(new(rpc.Empty))
	}
	return nil, rpc.FromWire("rpc: can't find method "+method, rpc.ReasonUnknownMethod)
}

// startBackend serves on a free port of loopback until the test ends, at an address where
// nobody else takes the port of one that was stopped.
func startBackend(t testing.TB, name string) *backend {
	return startBackendAt(t, name, "127.21.7.1:0")
}

func startBackendAt(t testing.TB, name, addr string) *backend {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{name: name, addr: ln.Addr().String(), abandoned: make(chan struct{}, 1024), release: make(chan struct{})}
	b.stop = startListener(t, ListenerConfig{Dispatcher: b, MaxConnsPerClient: -1}, ln)
	return b
}

// startListener serves ln. The function it returns ends that and waits for it.
func startListener(t testing.TB, c ListenerConfig, ln net.Listener) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := NewListener(c).Run(ctx, ln); err != nil {
			t.Errorf("listener: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// proxy stands before a server and can freeze or cut the way to it.
type proxy struct {
	addr   string
	target string

	mu    sync.Mutex
	thaw  chan struct{} // not nil while frozen, closed to thaw
	conns map[net.Conn]struct{}
	down  bool
}

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: ln.Addr().String(), target: target, conns: make(map[net.Conn]struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.carry(conn) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.Thaw()
		p.Cut()
		wg.Wait()
	})
	return p
}

// carry copies both ways. Like a stopped process it still accepts while frozen.
func (p *proxy) carry(in net.Conn) {
	defer in.Close()
	if !p.keep(in) {
		return
	}
	defer p.drop(in)
	p.pass()
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer out.Close()
	if !p.keep(out) {
		return
	}
	defer p.drop(out)
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		wg.Go(func() {
			buf := make([]byte, 32<<10)
			for {
				n, err := way[0].Read(buf)
				p.pass()
				if n > 0 {
					if _, err := way[1].Write(buf[:n]); err != nil {
						break
					}
				}
				if err != nil {
					break
				}
			}
			way[0].Close()
			way[1].Close()
		})
	}
	wg.Wait()
}

func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// pass blocks while the proxy is frozen.
func (p *proxy) pass() {
	p.mu.Lock()
	thaw := p.thaw
	p.mu.Unlock()
	if thaw != nil {
		<-thaw
	}
}

// Freeze keeps connections open and carries nothing.
func (p *proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thaw == nil {
		p.thaw = make(chan struct{})
	}
}

// Thaw ends Freeze.
func (p *proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.thaw != nil {
		close(p.thaw)
		p.thaw = nil
	}
}

// Cut closes every connection, and each new one at once.
func (p *proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		c.Close()
	}
}

// Mend ends Cut.
func (p *proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// fixedPicker is a list of servers of each datacenter that never changes its order.
type fixedPicker map[string][]Server

func (p fixedPicker) Servers(dc string) ([]Server, bool) {
	servers, ok := p[dc]
	return servers, ok
}
func (fixedPicker) Failed(string, string, error)           {}
func (fixedPicker) Answered(string, string, time.Duration) {}

// servers lists addresses as servers.
func servers(addrs ...string) (list []Server) {
	for _, addr := range addrs {
		list = append(list, Server{Name: addr, Addr: addr})
	}
	return list
}

// startRouter runs a router of datacenter "here" until the test ends.
func startRouter(t testing.TB, c Config) *Router {
	t.Helper()
	if c.Datacenter == "" {
		c.Datacenter = "here"
	}
	r := New(c)
	runUntilEnd(t, r.Run)
	return r
}

func runUntilEnd(t testing.TB, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// toDC is the rpc.Caller that sends everything to one datacenter.
type toDC struct {
	*Router
	dc string
}

// Call implements rpc.Caller.
func (c toDC) Call(ctx context.Context, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	return c.ToDatacenter(ctx, c.dc, m, req, newReply)
}

// toServer is the rpc.Caller that sends everything to one server of this datacenter.
type toServer struct {
	*Router
	addr string
}

// Call implements rpc.Caller.
func (c toServer) Call(ctx context.Context, m *rpc.Info, req rpc.Request, newReply func() any) (any, error) {
	return c.ToServer(ctx, c.addr, m, req, newReply)
}

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after 30 s still not: %s", what)
		}
	}
}

func text(s string) *textRequest { return &textRequest{Text: s} }

func wantReason(t *testing.T, err error, reason rpc.Reason, begins string) {
	t.Helper()
	if err == nil || rpc.ReasonOf(err) != reason || !strings.HasPrefix(err.Error(), begins) {
		t.Fatalf("got %v (reason %q), want a text that begins with %q and the reason %q", err, rpc.ReasonOf(err), begins, reason)
	}
}
