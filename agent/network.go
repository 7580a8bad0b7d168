package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/hashicorp/memberlist"
)

// Network is what an agent reaches others through. Its zero value is the network of
// the machine.
type Network struct {
	// Listen opens a TCP port; nil is net.Listen.
	Listen func(network, addr string) (net.Listener, error)
	// ListenPacket opens a UDP port; nil is net.ListenPacket.
	ListenPacket func(network, addr string) (net.PacketConn, error)
	// Dial connects to the server port at addr; nil is TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// LAN and WAN carry gossip; nil opens sockets.
	LAN, WAN memberlist.Transport
}

// listen opens a port, and says what to do if that fails. key is the setting at fault.
func (n Network) listen(network, addr, key string) (net.Listener, error) {
	open := n.Listen
	if open == nil {
		open = net.Listen
	}
	ln, err := open(network, addr)
	if err != nil {
		return nil, explainListen(addr, key, err)
	}
	return ln, nil
}

// listenPacket is listen for a UDP port.
func (n Network) listenPacket(addr, key string) (net.PacketConn, error) {
	open := n.ListenPacket
	if open == nil {
		open = net.ListenPacket
	}
	conn, err := open("udp", addr)
	if err != nil {
		return nil, explainListen(addr, key, err)
	}
	return conn, nil
}

func explainListen(addr, key string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listen on %s (%s): the port is taken; stop what uses it, or choose another: %w", addr, key, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listen on %s (%s): this machine does not have that address; use one that it has: %w", addr, key, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen on %s (%s): this user may not open the port; choose one above 1023, or give the program CAP_NET_BIND_SERVICE: %w", addr, key, err)
	}
	return fmt.Errorf("listen on %s (%s): %w", addr, key, err)
}
