// Package gossiptest is a network in memory for tests of gossip. It runs in the
// virtual time of testing/synctest, and breaks on command.
package gossiptest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

// packetBuffer is how many packets wait for a slow reader; more are lost, as in UDP.
const packetBuffer = 1024

// Bubble runs a test in virtual time on a network of its own. After the pools are
// down it gives their last goroutines the time to see it.
func Bubble(t *testing.T, test func(t *testing.T, network *Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) })
		test(t, new(Network))
	})
}

// Network connects its transports. The zero value is ready.
type Network struct {
	mu    sync.Mutex
	at    map[netip.AddrPort]*Transport
	cut   map[netip.AddrPort]bool
	delay func(from, to netip.AddrPort) time.Duration
}

// Delay sets how long a packet or a dial takes one way.
func (n *Network) Delay(delay func(from, to netip.AddrPort) time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = delay
}

// Cut takes an address off the network: packets from and to it are lost, dials time
// out, and streams that are open stay silent until they end by themselves.
func (n *Network) Cut(addr string) { n.set(addr, true) }

// Heal undoes Cut.
func (n *Network) Heal(addr string) { n.set(addr, false) }

func (n *Network) set(addr string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut == nil {
		n.cut = make(map[netip.AddrPort]bool)
	}
	n.cut[netip.MustParseAddrPort(addr)] = cut
}

// Listen returns a transport at an address such as 127.0.0.1:8301. An address is
// free again after its transport was shut down.
func (n *Network) Listen(addr string) *Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.at == nil {
		n.at = make(map[netip.AddrPort]*Transport)
	}
	t := &Transport{
		net:     n,
		addr:    netip.MustParseAddrPort(addr),
		packets: make(chan *memberlist.Packet, packetBuffer),
		streams: make(chan net.Conn),
		done:    make(chan struct{}),
	}
	if n.at[t.addr] != nil {
		panic("gossiptest: " + addr + " is taken")
	}
	n.at[t.addr] = t
	return t
}

var errRefused = errors.New("connection refused")

// path answers the transport at addr and the way to it. lost is true if one of the
// two ends is cut.
func (n *Network) path(from netip.AddrPort, addr string) (to *Transport, delay time.Duration, lost bool, err error) {
	dest, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, 0, false, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.delay != nil {
		delay = n.delay(from, dest)
	}
	return n.at[dest], delay, n.cut[from] || n.cut[dest], nil
}

// Transport is a memberlist.NodeAwareTransport on a [Network].
type Transport struct {
	net     *Network
	addr    netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
	once    sync.Once
	done    chan struct{}
}

// Addr returns the address as ip:port.
func (t *Transport) Addr() string { return t.addr.String() }

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *Transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.addr.Addr().AsSlice(), int(t.addr.Port()), nil
}

// WriteTo implements memberlist.Transport.
func (t *Transport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, delay, lost, err := t.net.path(t.addr, addr)
	if err != nil {
		return time.Time{}, err
	}
	now := time.Now()
	if to == nil || lost {
		return now, nil
	}
	buf := append([]byte(nil), b...)
	arrive := func() {
		select {
		case to.packets <- &memberlist.Packet{Buf: buf, From: net.UDPAddrFromAddrPort(t.addr), Timestamp: time.Now()}:
		default:
		}
	}
	if delay > 0 {
		time.AfterFunc(delay, arrive)
	} else {
		arrive() // with the race detector, timers of a bubble that end at once crash Go 1.26
	}
	return now, nil
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (t *Transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

// PacketCh implements memberlist.Transport.
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// DialTimeout implements memberlist.Transport.
func (t *Transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to, delay, lost, err := t.net.path(t.addr, addr)
	switch {
	case err != nil:
		return nil, err
	case lost:
		select {
		case <-time.After(timeout):
		case <-t.done:
		}
		return nil, fmt.Errorf("dial %s: i/o timeout", addr)
	case to == nil:
		return nil, fmt.Errorf("dial %s: %w", addr, errRefused)
	}
	time.Sleep(2 * delay)
	near, far := net.Pipe()
	select {
	case to.streams <- far:
		return near, nil
	case <-to.done:
	case <-time.After(timeout):
	}
	return nil, fmt.Errorf("dial %s: %w", addr, errRefused)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *Transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

// StreamCh implements memberlist.Transport.
func (t *Transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown implements memberlist.Transport and frees the address.
func (t *Transport) Shutdown() error {
	t.once.Do(func() {
		close(t.done)
		t.net.mu.Lock()
		defer t.net.mu.Unlock()
		delete(t.net.at, t.addr)
	})
	return nil
}
