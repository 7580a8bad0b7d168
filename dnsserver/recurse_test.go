package dnsserver

import (
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/config"
)

// resolver is another DNS server.
type resolver struct {
	addr  string
	asked atomic.Int64
}

// startResolver starts one that answers as said, over UDP and TCP.
func startResolver(t testing.TB, answer func(w dns.ResponseWriter, m *dns.Msg)) *resolver {
	t.Helper()
	ln, conn := bothPorts(t)
	r := &resolver{addr: ln.Addr().String()}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		r.asked.Add(1)
		answer(w, m)
	})
	for _, srv := range []*dns.Server{{Listener: ln, Handler: handler}, {PacketConn: conn, Handler: handler}} {
		started, ended := make(chan struct{}), make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			_ = srv.ActivateAndServe() // it ends when the test does
		}()
		<-started
		t.Cleanup(func() {
			_ = srv.Shutdown()
			<-ended
		})
	}
	return r
}

// awaitAsked waits until the resolver was asked so many times, and never more. Whoever asks
// may have given up before the resolver knows of it.
func (r *resolver) awaitAsked(t testing.TB, times int64) {
	t.Helper()
	for late := time.Now().Add(patience); r.asked.Load() < times && time.Now().Before(late); {
		time.Sleep(time.Millisecond)
	}
	if n := r.asked.Load(); n != times {
		t.Errorf("%s was asked %d times, want %d", r.addr, n, times)
	}
}

// bothPorts opens a port for TCP, and that of the same number for UDP.
func bothPorts(t testing.TB) (net.Listener, net.PacketConn) {
	t.Helper()
	for range 100 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.ListenPacket("udp", ln.Addr().String())
		if err == nil {
			return ln, conn
		}
		ln.Close()
	}
	t.Fatal("no port is free for both TCP and UDP")
	return nil, nil
}

// says answers every question for addresses with one address.
func says(address string) func(dns.ResponseWriter, *dns.Msg) {
	return func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		reply.RecursionAvailable = true
		reply.Answer = []dns.RR{&dns.A{Hdr: header(m.Question[0].Name, dns.TypeA, 77), A: net.ParseIP(address)}}
		_ = w.WriteMsg(reply)
	}
}

// replies answers every question with an rcode.
func replies(rcode int) func(dns.ResponseWriter, *dns.Msg) {
	return func(w dns.ResponseWriter, m *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(m, rcode)) }
}

func silent(dns.ResponseWriter, *dns.Msg) {}

// asking gives a server recursors, each of which may take its time.
func asking(recursors ...*resolver) func(*Config) {
	return func(c *Config) {
		c.Settings.RecursorTimeout = patience / 2
		for _, r := range recursors {
			c.Settings.Recursors = append(c.Settings.Recursors, r.addr)
		}
	}
}

func TestOtherDomainsAreAskedOfRecursors(t *testing.T) {
	w := newWorld(t, "dc1")
	const longest = 5 * time.Second // three of them are within the patience of who asks
	bad, mute := startResolver(t, replies(dns.RcodeServerFailure)), startResolver(t, silent)
	within := func(timeout time.Duration, recursors ...*resolver) *face {
		return serve(t, w["dc1"], func(c *Config) {
			asking(recursors...)(c)
			c.Settings.RecursorTimeout = timeout
		})
	}
	for _, proto := range []string{"udp", "tcp"} {
		// One that is not mute may be slow on a busy machine, and then has more time.
		for timeout := 300 * time.Millisecond; ; timeout *= 4 {
			bad, mute, good := startResolver(t, replies(dns.RcodeServerFailure)), startResolver(t, silent), startResolver(t, says("192.0.2.1"))
			reply := within(timeout, bad, mute, good).exchange(t, proto, question("www.example.com.", dns.TypeA))
			if reply.Rcode == dns.RcodeServerFailure && 4*timeout < longest {
				continue
			}
			expect(t, reply, dns.RcodeSuccess, "www.example.com. 77 IN A 192.0.2.1")
			if !reply.RecursionAvailable || reply.Authoritative {
				t.Errorf("flags %+v", reply.MsgHdr)
			}
			for _, r := range []*resolver{bad, mute, good} {
				r.awaitAsked(t, 1)
			}
			break
		}
	}
	f := within(300*time.Millisecond, bad, mute)
	reply := f.exchange(t, "udp", question("www.example.com.", dns.TypeA))
	expect(t, reply, dns.RcodeServerFailure)
	if !reply.RecursionAvailable {
		t.Error("an agent with recursors says it has none")
	}
	if reply := f.look(t, "nosuch.service.consul.", dns.TypeA); reply.Rcode != dns.RcodeNameError || !reply.RecursionAvailable {
		t.Errorf("in our own domain: %v", reply)
	}
}

func TestAnUnknownNameEndsTheSearch(t *testing.T) {
	first, second := startResolver(t, replies(dns.RcodeNameError)), startResolver(t, says("192.0.2.1"))
	f := serve(t, newWorld(t, "dc1")["dc1"], asking(first, second))
	expect(t, f.look(t, "nosuch.example.com.", dns.TypeA), dns.RcodeNameError)
	if second.asked.Load() != 0 {
		t.Error("the second recursor was asked for what the first says is not there")
	}
}

func TestTheOrderOfRecursorsIsAsTheSettingsSay(t *testing.T) {
	first, second := startResolver(t, says("192.0.2.1")), startResolver(t, says("192.0.2.2"))
	w := newWorld(t, "dc1")
	f := serve(t, w["dc1"], asking(first, second))
	for range 20 {
		f.look(t, "www.example.com.", dns.TypeA)
	}
	if first.asked.Load() != 20 || second.asked.Load() != 0 {
		t.Errorf("in sequence asked were %d and %d times", first.asked.Load(), second.asked.Load())
	}
	random := serve(t, w["dc1"], func(c *Config) {
		asking(first, second)(c)
		c.Settings.RecursorStrategy = config.RandomRecursors
	})
	for n := 0; second.asked.Load() == 0; n++ {
		if n == 1000 {
			t.Fatal("by chance the second was never asked")
		}
		random.look(t, "www.example.com.", dns.TypeA)
	}
	if !slices.Equal(random.settings.Load().Recursors, []string{first.addr, second.addr}) {
		t.Error("the list of recursors was changed")
	}
}

func TestReverseNamesThatAreNotOursAreAskedOfRecursors(t *testing.T) {
	w := newWorld(t, "dc1")
	w["dc1"].register(t, instance("n", "10.0.0.1", "web", 80))
	other := startResolver(t, func(w dns.ResponseWriter, m *dns.Msg) {
		reply := new(dns.Msg).SetReply(m)
		reply.Answer = []dns.RR{&dns.PTR{Hdr: header(m.Question[0].Name, dns.TypePTR, 1), Ptr: "host.example.com."}}
		_ = w.WriteMsg(reply)
	})
	f := serve(t, w["dc1"], asking(other))
	expect(t, f.look(t, "1.0.0.10.in-addr.arpa.", dns.TypePTR), dns.RcodeSuccess, "1.0.0.10.in-addr.arpa. 0 IN PTR n.node.dc1.consul.")
	if other.asked.Load() != 0 {
		t.Error("a recursor was asked for an address of ours")
	}
	expect(t, f.look(t, "2.0.0.10.in-addr.arpa.", dns.TypePTR), dns.RcodeSuccess, "2.0.0.10.in-addr.arpa. 1 IN PTR host.example.com.")
}

func TestAliasesAreFollowed(t *testing.T) {
	w := newWorld(t, "dc1", "dc2")
	w["dc1"].register(t,
		instance("out", "host.example.com", "outside", 80), instance("in", "target.node.dc2.consul", "inside", 80),
		instance("loop", "loop.node.consul", "loop", 80), instance("plain", "10.0.0.1", "both", 80), instance("out", "host.example.com", "both", 80))
	w["dc2"].register(t, instance("target", "10.2.0.1", "web", 80))
	f := serve(t, w["dc1"], asking(startResolver(t, says("192.0.2.1"))))
	expect(t, f.look(t, "outside.service.consul.", dns.TypeA), dns.RcodeSuccess,
		"outside.service.consul. 0 IN CNAME host.example.com.", "host.example.com. 77 IN A 192.0.2.1")
	expect(t, f.look(t, "inside.service.consul.", dns.TypeA), dns.RcodeSuccess,
		"inside.service.consul. 0 IN CNAME target.node.dc2.consul.", "target.node.dc2.consul. 0 IN A 10.2.0.1")
	expect(t, f.look(t, "out.node.consul.", dns.TypeA), dns.RcodeSuccess,
		"out.node.consul. 0 IN CNAME host.example.com.", "host.example.com. 77 IN A 192.0.2.1")
	expect(t, f.look(t, "both.service.consul.", dns.TypeA), dns.RcodeSuccess, "both.service.consul. 0 IN A 10.0.0.1",
		"both.service.consul. 0 IN CNAME host.example.com.", "host.example.com. 77 IN A 192.0.2.1")
	// One that leads to itself ends.
	if n := len(f.look(t, "loop.node.consul.", dns.TypeA).Answer); n != maxDepth+1 {
		t.Errorf("a circle gave %d records", n)
	}
	// An alias comes before where it leads, however the answer is shuffled.
	for range 20 {
		answer := f.look(t, "both.service.consul.", dns.TypeA).Answer
		at := slices.IndexFunc(answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeCNAME })
		if at < 0 || at+1 >= len(answer) || answer[at+1].Header().Name != "host.example.com." {
			t.Fatalf("%v", answer)
		}
	}
}

func TestAShortenedAnswerOfARecursorIsAskedForOverTCP(t *testing.T) {
	w := newWorld(t, "dc1")
	w["dc1"].register(t, instance("out", "host.example.com", "outside", 80))
	short := startResolver(t, func(w dns.ResponseWriter, m *dns.Msg) {
		if w.RemoteAddr().Network() == "tcp" {
			says("192.0.2.1")(w, m)
			return
		}
		reply := new(dns.Msg).SetReply(m)
		reply.Truncated = true
		_ = w.WriteMsg(reply)
	})
	f := serve(t, w["dc1"], asking(short))
	expect(t, f.look(t, "outside.service.consul.", dns.TypeA), dns.RcodeSuccess,
		"outside.service.consul. 0 IN CNAME host.example.com.", "host.example.com. 77 IN A 192.0.2.1")
	// Who asks for another domain is told, and comes again.
	if reply := f.look(t, "www.example.com.", dns.TypeA); !reply.Truncated {
		t.Errorf("%v", reply)
	}
	expect(t, f.exchange(t, "tcp", question("www.example.com.", dns.TypeA)), dns.RcodeSuccess, "www.example.com. 77 IN A 192.0.2.1")
}
