package dnsserver

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/test/golden"
)

// send writes bytes to a port and reads what comes back, nil if nothing does within a time.
func send(t testing.TB, network, addr string, packet []byte, within time.Duration) []byte {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if network == "tcp" {
		packet = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
	}
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	if network == "tcp" { // the end of the questions is not the end of the answers
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Fatal(err)
		}
		if len(answer) < 2 {
			return nil
		}
		return answer[2:]
	}
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, dns.MaxMsgSize)
	n, err := conn.Read(buf)
	if err != nil {
		return nil
	}
	return buf[:n]
}

func TestWhatIsNoQuestionIsRefusedOrIgnored(t *testing.T) {
	f := serve(t, newWorld(t, "dc1")["dc1"], nil)
	header := func(flags, questions uint16, rest ...byte) []byte {
		p := binary.BigEndian.AppendUint16(nil, 0x1234)
		p = binary.BigEndian.AppendUint16(p, flags)
		p = binary.BigEndian.AppendUint16(p, questions)
		return append(append(p, 0, 0, 0, 0, 0, 0), rest...)
	}
	name := []byte("\x06consul\x00")
	const none = -1
	for what, c := range map[string]struct {
		packet []byte
		rcode  int
	}{
		"nothing":                        {nil, none},
		"half a header":                  {[]byte("12345"), none},
		"an answer":                      {header(0x8000, 1, append(name, 0, 1, 0, 1)...), none},
		"no question":                    {header(0x0100, 0), dns.RcodeFormatError},
		"a question that is not there":   {header(0x0100, 1), dns.RcodeFormatError},
		"two questions":                  {header(0x0100, 2, append(append(name, 0, 1, 0, 1), append(name, 0, 1, 0, 1)...)...), dns.RcodeFormatError},
		"half a question":                {header(0x0100, 1, name...), dns.RcodeFormatError},
		"a name that points at itself":   {header(0x0100, 1, 0xc0, 12, 0, 1, 0, 1), dns.RcodeFormatError},
		"a label that is too long":       {header(0x0100, 1, append([]byte{0x7f}, make([]byte, 130)...)...), dns.RcodeFormatError},
		"an update":                      {header(5<<11, 1, append(name, 0, 6, 0, 1)...), dns.RcodeNotImplemented},
		"a transfer of the zone":         {header(0x0100, 1, append(name, 0, 252, 0, 1)...), dns.RcodeNotImplemented},
		"a type that nobody knows":       {header(0x0100, 1, append(name, 0xff, 0x55, 0, 1)...), dns.RcodeNameError},
		"a server that asks for its SOA": {header(0, 1, append(name, 0, 6, 0, 1)...), dns.RcodeSuccess},
	} {
		for network, addr := range map[string]string{"udp": f.udp, "tcp": f.tcp} {
			within := patience
			if c.rcode == none {
				within = time.Second // silence over UDP takes a while to hear
			}
			answer := send(t, network, addr, c.packet, within)
			if c.rcode == none {
				if answer != nil {
					t.Errorf("%s over %s is answered with %x", what, network, answer)
				}
				continue
			}
			var m dns.Msg
			if err := m.Unpack(answer); err != nil {
				t.Errorf("%s over %s is answered with %x: %v", what, network, answer, err)
			} else if m.Rcode != c.rcode || m.Id != 0x1234 || !m.Response {
				t.Errorf("%s over %s is answered with\n%v", what, network, &m)
			}
		}
	}
}

func TestConnectionsEndWithTheServer(t *testing.T) {
	f := serve(t, newWorld(t, "dc1")["dc1"], nil)
	conn, err := net.Dial("tcp", f.tcp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	client := &dns.Conn{Conn: conn}
	if err := client.WriteMsg(question("consul.", dns.TypeSOA)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.ReadMsg(); err != nil {
		t.Fatal(err)
	}
	// The end of the test ends the server, which does not wait for a client to go.
}

// Bytes from the network are answered with bytes that hold an answer, or not at all.
func FuzzPackets(f *testing.F) {
	exchanges, err := golden.DNSExchanges()
	if err != nil {
		f.Fatal(err)
	}
	for _, x := range exchanges {
		f.Add([]byte(x.Query), x.Proto == "udp")
	}
	s := serve(f, recordedWorld(f)["dc1"], func(c *Config) { c.AltDomain = "alt.example" })
	f.Fuzz(func(t *testing.T, packet []byte, udp bool) {
		var from net.Addr = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}
		if udp {
			from = &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1)}
		}
		raw := s.respond(packet, from)
		if raw == nil {
			return
		}
		var asked, reply dns.Msg
		if err := reply.Unpack(raw); err != nil {
			t.Fatalf("the answer cannot be read: %v", err)
		}
		limit := dns.MaxMsgSize
		if asked.Unpack(packet) == nil && udp {
			limit = dns.MinMsgSize
			if opt := asked.IsEdns0(); opt != nil {
				limit = max(limit, int(opt.UDPSize()))
			}
		}
		if len(raw) > limit {
			t.Errorf("an answer of %d bytes to a client that takes %d", len(raw), limit)
		}
	})
}
