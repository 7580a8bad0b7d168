//go:build linux

package lab

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"time"
)

// router carries packets between the TUN devices of namespaces, and obeys the rules of
// the ways they take.
type router struct {
	links *links
	done  chan struct{}
	runs  sync.WaitGroup

	mu     sync.Mutex
	ports  map[string]*os.File // by address
	queues map[[2]string]chan packet
}

// packet is one that is on its way until due.
type packet struct {
	data []byte
	due  time.Time
}

const (
	// largestPacket is the most that a TUN device hands over; its MTU is 1500.
	largestPacket = 2048
	// queueLength is how many packets one way holds. More are lost, as on any line.
	queueLength = 4096
)

func newRouter() *router {
	return &router{links: newLinks(), done: make(chan struct{}), ports: map[string]*os.File{}, queues: map[[2]string]chan packet{}}
}

// attach connects the device with the given address.
func (r *router) attach(address string, tun *os.File) {
	r.mu.Lock()
	r.ports[address] = tun
	r.mu.Unlock()
	r.runs.Go(func() { r.read(tun) })
}

// read routes what is sent to others from one device, until it is closed.
func (r *router) read(tun *os.File) {
	for {
		buf := make([]byte, largestPacket)
		n, err := tun.Read(buf)
		if err != nil {
			return
		}
		r.route(buf[:n])
	}
}

// route sends one IPv4 packet on its way:
//
//	byte   0        12..15   16..19
//	       version  source   destination
func (r *router) route(data []byte) {
	if len(data) < 20 || data[0]>>4 != 4 {
		return
	}
	from := netip.AddrFrom4([4]byte(data[12:16])).String()
	to := netip.AddrFrom4([4]byte(data[16:20])).String()
	rule, _ := r.links.on(from, to)
	if rule.cut || rand.Float64() < rule.loss {
		return
	}
	r.mu.Lock()
	port, queue := r.ports[to], r.queues[[2]string{from, to}]
	if port != nil && queue == nil && rule.delay > 0 {
		queue = make(chan packet, queueLength)
		r.queues[[2]string{from, to}] = queue
		r.runs.Go(func() { r.deliver(port, queue) })
	}
	r.mu.Unlock()
	switch {
	case port == nil:
	case queue == nil: // there never was a delay on this way
		_, _ = port.Write(data) // a packet that a device does not take is lost
	default:
		select {
		case queue <- packet{data, time.Now().Add(rule.delay)}:
		default:
		}
	}
}

// deliver hands over the packets of one way, in the order they were sent.
func (r *router) deliver(port *os.File, queue <-chan packet) {
	for {
		select {
		case p := <-queue:
			if wait := time.Until(p.due); wait > 0 {
				select {
				case <-time.After(wait):
				case <-r.done:
					return
				}
			}
			_, _ = port.Write(p.data) // a packet that a device does not take is lost
		case <-r.done:
			return
		}
	}
}

// close stops the router. It closes the devices, since that is what ends their readers.
func (r *router) close() {
	close(r.done)
	r.mu.Lock()
	for _, tun := range r.ports {
		tun.Close()
	}
	r.mu.Unlock()
	r.runs.Wait()
}
