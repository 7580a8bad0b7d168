//go:build linux

package lab

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"

	"github.com/hanse-project/hanse/agent"
)

// fabric is the network between agents of this process. Every connection passes two
// pumps, one for each way, that obey the rules; gossip packets are dropped or held back
// where they are sent. Connections to an agent's HTTP port do not come by here.
type fabric struct {
	links *links
	// middle makes connections between an agent and its pumps.
	middle net.Listener
	pairMu sync.Mutex
	ctx    context.Context
	pumps  sync.WaitGroup
}

func newFabric(t testing.TB) *fabric {
	middle, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &fabric{links: newLinks(), middle: middle, ctx: ctx}
	t.Cleanup(func() {
		cancel()
		middle.Close()
		f.pumps.Wait()
	})
	return f
}

// of is the network as one agent sees it, with what closes its gossip sockets.
func (f *fabric) of(n *Node, log hclog.Logger) (agent.Network, func(), error) {
	network := agent.Network{Dial: func(ctx context.Context, addr string) (net.Conn, error) { return f.dial(ctx, n.IP, addr) }}
	var open []*gossipSockets
	closeAll := func() {
		for _, s := range open {
			_ = s.Shutdown() // it may have been shut down by its pool
		}
	}
	sockets := func(port int) (*gossipSockets, error) {
		s, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{n.IP}, BindPort: port, Logger: log.StandardLogger(&hclog.StandardLoggerOptions{InferLevels: true}),
		})
		if err != nil {
			return nil, err
		}
		open = append(open, &gossipSockets{s, f, n.IP})
		return open[len(open)-1], nil
	}
	lan, err := sockets(LANPort)
	if err != nil {
		return network, nil, err
	}
	network.LAN = lan
	if n.Server {
		wan, err := sockets(WANPort)
		if err != nil {
			closeAll()
			return network, nil, err
		}
		network.WAN = wan
	}
	return network, closeAll, nil
}

// gossipSockets are the sockets of one pool of one agent.
type gossipSockets struct {
	*memberlist.NetTransport
	fabric *fabric
	from   string
}

var _ memberlist.NodeAwareTransport = (*gossipSockets)(nil)

func (s *gossipSockets) WriteTo(b []byte, addr string) (time.Time, error) {
	return s.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (s *gossipSockets) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	now := time.Now()
	r, _ := s.fabric.links.on(s.from, host(to.Addr))
	switch {
	case r.cut || rand.Float64() < r.loss:
		return now, nil
	case r.delay > 0:
		time.AfterFunc(r.delay, func() { s.NetTransport.WriteToAddress(b, to) })
		return now, nil
	}
	return s.NetTransport.WriteToAddress(b, to)
}

func (s *gossipSockets) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.fabric.ctx, timeout)
	defer cancel()
	return s.fabric.dial(ctx, s.from, addr)
}

func (s *gossipSockets) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return s.DialTimeout(to.Addr, timeout)
}

func host(addr string) string {
	ip, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return ip
}

// dial connects by way of the pumps. While a way is cut it waits, as TCP does.
func (f *fabric) dial(ctx context.Context, from, addr string) (net.Conn, error) {
	to := host(addr)
	for _, way := range [][2]string{{from, to}, {to, from}} {
		if err := f.pass(ctx, way[0], way[1], time.Now()); err != nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}
	}
	far, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	near, ours, err := f.pair()
	if err != nil {
		far.Close()
		return nil, err
	}
	var both sync.WaitGroup
	both.Go(func() { f.pump(far.(*net.TCPConn), ours, from, to) })
	both.Go(func() { f.pump(ours, far.(*net.TCPConn), to, from) })
	f.pumps.Go(func() {
		done := context.AfterFunc(f.ctx, func() { far.Close(); ours.Close() })
		both.Wait()
		done()
		far.Close()
		ours.Close()
	})
	return near, nil
}

// pair is two ends of a new connection.
func (f *fabric) pair() (near net.Conn, ours *net.TCPConn, err error) {
	f.pairMu.Lock()
	defer f.pairMu.Unlock()
	if near, err = net.Dial("tcp", f.middle.Addr().String()); err != nil {
		return nil, nil, err
	}
	for {
		accepted, err := f.middle.Accept()
		if err != nil {
			near.Close()
			return nil, nil, err
		}
		if accepted.RemoteAddr().String() == near.LocalAddr().String() {
			return near, accepted.(*net.TCPConn), nil
		}
		accepted.Close() // somebody on this machine looked for who had the port before
	}
}

// pass returns when what was sent at the given time arrives.
func (f *fabric) pass(ctx context.Context, from, to string, sent time.Time) error {
	for {
		r, changed := f.links.on(from, to)
		var arrival <-chan time.Time
		if !r.cut {
			wait := time.Until(sent.Add(r.delay))
			if wait <= 0 {
				return ctx.Err()
			}
			arrival = time.After(wait)
		}
		select {
		case <-arrival:
			return ctx.Err()
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-f.ctx.Done():
			return net.ErrClosed
		}
	}
}

// underWay is how many pieces may be on one way of a connection; their size is at most
// that of a pump's buffer. More has to wait at the sender.
const underWay = 64

type piece struct {
	data []byte
	sent time.Time
	// last marks the end of what is sent.
	last bool
}

// pump carries what from sends to to, on one connection.
func (f *fabric) pump(dst, src *net.TCPConn, from, to string) {
	way := make(chan piece, underWay)
	arrived := make(chan struct{})
	go func() {
		defer close(arrived)
		for p := range way {
			if f.pass(f.ctx, from, to, p.sent) != nil {
				return
			}
			if p.last {
				_ = dst.CloseWrite() // it may be closed already
				return
			}
			if _, err := dst.Write(p.data); err != nil {
				src.Close()
				return
			}
		}
	}()
	defer func() { <-arrived }()
	defer close(way)
	for {
		buf := make([]byte, 32<<10)
		n, err := src.Read(buf)
		next := piece{data: buf[:n], sent: time.Now()}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				dst.Close()
			}
			next.last = true
		}
		select {
		case way <- next:
		case <-arrived:
			return
		}
		if next.last {
			return
		}
	}
}
