package dnsserver

import (
	"net"
	"net/netip"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/rpc"
)

// request is one question that is being answered.
type request struct {
	msg *dns.Msg
	dns.Question
	settings *Settings
	// udp tells that the answer has to fit into a packet.
	udp bool
	// client is who asked: the subnet that a resolver told of, or the sender.
	client netip.Addr
	// depth is how many names led here.
	depth int
	// trace is what happened on the way to the answer.
	trace *trace
}

// trace tells whether an answer can be shared.
type trace struct {
	// watch holds what closes when the answer changes.
	watch rpc.WatchSet
	// unsure tells that it may change without that, or is not for everybody.
	unsure bool
	// elsewhere tells that another process was asked, or the cache, which nothing watches.
	elsewhere bool
	// calls is how many there were, and reply that of the last if the cache gave it: it
	// gives the same until there is another.
	calls int
	reply any
}

func newRequest(msg *dns.Msg, from net.Addr, settings *Settings) *request {
	r := &request{msg: msg, Question: msg.Question[0], settings: settings, trace: &trace{watch: rpc.WatchSet{}}}
	switch from := from.(type) {
	case *net.UDPAddr:
		r.udp = true
		r.client = from.AddrPort().Addr().Unmap()
	case *net.TCPAddr:
		r.client = from.AddrPort().Addr().Unmap()
	}
	if subnet := r.subnet(); subnet != nil {
		if addr, ok := netip.AddrFromSlice(subnet.Address); ok && !addr.IsUnspecified() {
			r.client = addr.Unmap()
		}
	}
	return r
}

// subnet is the client subnet that a resolver told of, nil if none did.
func (r *request) subnet() *dns.EDNS0_SUBNET {
	opt := r.msg.IsEdns0()
	if opt == nil {
		return nil
	}
	for _, o := range opt.Option {
		if subnet, ok := o.(*dns.EDNS0_SUBNET); ok {
			return subnet
		}
	}
	return nil
}

// maxPacket is the most that one packet of UDP holds, in bytes.
const maxPacket = 65507

// network is how the question came.
func (r *request) network() string {
	if r.udp {
		return "udp"
	}
	return "tcp"
}

// size is how many bytes an answer may have. plain tells that the client knows of no
// packets above the 512 bytes of old.
func (r *request) size() (bytes int, plain bool) {
	if !r.udp {
		return dns.MaxMsgSize, false
	}
	if opt := r.msg.IsEdns0(); opt != nil && opt.UDPSize() > dns.MinMsgSize {
		return min(int(opt.UDPSize()), maxPacket), false
	}
	return dns.MinMsgSize, true
}

// asks tells whether records of the type are wanted.
func (r *request) asks(rrtype uint16) bool { return r.Qtype == rrtype || r.Qtype == dns.TypeANY }
