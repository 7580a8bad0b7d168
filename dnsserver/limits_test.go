package dnsserver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/hanse-project/hanse/catalog"
)

// crowd is a datacenter with a service of n instances.
func crowd(t testing.TB, n int) world {
	t.Helper()
	w := newWorld(t, "dc1")
	for i := range n {
		w["dc1"].register(t, instance(fmt.Sprintf("node-%03d", i), fmt.Sprintf("10.0.%d.%d", i/200, i%200), "web", 80))
	}
	return w
}

func TestAnswersFitIntoWhatTheClientTakes(t *testing.T) {
	w := crowd(t, 300)
	for _, compress := range []bool{true, false} {
		f := serve(t, w["dc1"], func(c *Config) {
			c.Settings.UDPAnswerLimit, c.Settings.EnableTruncate, c.Settings.DisableCompression = 0, true, !compress
		})
		for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV} {
			last := 0
			for _, size := range []uint16{0, 512, 513, 1232, 4096, 65535} {
				m := question("web.service.consul.", qtype)
				limit := 512
				if size > 0 {
					m.SetEdns0(size, false)
					limit = int(size)
				}
				reply := f.exchange(t, "udp", m)
				n := len(reply.Answer)
				length := packed(t, reply, compress)
				if length > limit || n == 0 || n+1 < last { // EDNS itself takes room
					t.Errorf("%s, %d bytes, compression %v: %d records in %d bytes", dns.TypeToString[qtype], size, compress, n, length)
				}
				if qtype == dns.TypeSRV && n != len(reply.Extra)-len(opts(reply)) {
					t.Errorf("%d targets have %d addresses", n, len(reply.Extra))
				}
				// One more would not fit.
				if perRecord := (length - 12 - 25) / n; n < 300 && length+perRecord+1 < limit-11 {
					t.Errorf("%s, %d bytes, compression %v: only %d records in %d bytes", dns.TypeToString[qtype], size, compress, n, length)
				}
				if reply.Truncated != (n < 300) {
					t.Errorf("%d records of 300, truncated %v", n, reply.Truncated)
				}
				last = n
			}
			if all := f.exchange(t, "tcp", question("web.service.consul.", qtype)); len(all.Answer) != 300 || all.Truncated {
				t.Errorf("%s over TCP: %d records, truncated %v", dns.TypeToString[qtype], len(all.Answer), all.Truncated)
			}
		}
	}
}

func packed(t testing.TB, m *dns.Msg, compress bool) int {
	t.Helper()
	m.Compress = compress
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return len(raw)
}

func opts(m *dns.Msg) (found []dns.RR) {
	for _, rr := range m.Extra {
		if rr.Header().Rrtype == dns.TypeOPT {
			found = append(found, rr)
		}
	}
	return found
}

func TestMoreThanFitsOverTCPIsShortened(t *testing.T) {
	w := crowd(t, 1500)
	f := serve(t, w["dc1"], func(c *Config) { c.Settings.DisableCompression = true })
	reply := f.exchange(t, "tcp", question("web.service.consul.", dns.TypeSRV))
	if n := len(reply.Answer); n < 500 || n >= 1500 || len(reply.Extra) != n {
		t.Errorf("%d records and %d addresses", n, len(reply.Extra))
	}
}

func TestRecordsAreCountedAsTheSettingsSay(t *testing.T) {
	w := crowd(t, 20)
	f := serve(t, w["dc1"], func(c *Config) { c.Settings.ARecordLimit, c.Settings.UDPAnswerLimit = 5, 7 })
	for _, c := range []struct {
		proto string
		edns  bool
		qtype uint16
		want  int
	}{
		{"udp", false, dns.TypeA, 5}, {"tcp", false, dns.TypeA, 5}, {"udp", true, dns.TypeANY, 5},
		{"udp", false, dns.TypeSRV, 7}, {"udp", true, dns.TypeSRV, 20}, {"tcp", false, dns.TypeSRV, 20},
	} {
		m := question("web.service.consul.", c.qtype)
		if c.edns {
			m.SetEdns0(4096, false)
		}
		if reply := f.exchange(t, c.proto, m); len(reply.Answer) != c.want || reply.Truncated {
			t.Errorf("%+v: %d records, truncated %v", c, len(reply.Answer), reply.Truncated)
		}
	}
}

// Instances are worth more than what their nodes say of themselves.
func TestTextsGiveWayToInstances(t *testing.T) {
	w := newWorld(t, "dc1")
	for i := range 3 {
		w["dc1"].register(t, &catalog.RegisterRequest{Node: fmt.Sprint("n", i), Address: fmt.Sprint("10.0.0.", i),
			NodeMeta: map[string]string{"a": strings.Repeat("x", 200), "b": "short"},
			Service:  &catalog.NodeService{ID: "web", Service: "web", Port: 80}})
	}
	f := serve(t, w["dc1"], nil)
	reply := f.exchange(t, "udp", question("web.service.consul.", dns.TypeSRV))
	addresses, texts := 0, 0
	for _, rr := range reply.Extra {
		switch rr.(type) {
		case *dns.A:
			addresses++
		case *dns.TXT:
			texts++
		}
	}
	if len(reply.Answer) != 3 || addresses != 3 || texts == 0 || texts == 6 {
		t.Errorf("%d instances, %d addresses, %d texts", len(reply.Answer), addresses, texts)
	}
	if all := f.exchange(t, "tcp", question("web.service.consul.", dns.TypeSRV)); len(all.Extra) != 9 {
		t.Errorf("over TCP come %d additional records, want 9", len(all.Extra))
	}
}

func TestAnUnknownVersionOfEDNSIsRefused(t *testing.T) {
	f := serve(t, newWorld(t, "dc1")["dc1"], nil)
	m := question("web.service.consul.", dns.TypeA).SetEdns0(1232, false)
	m.IsEdns0().SetVersion(1)
	reply := f.exchange(t, "udp", m)
	if opt := reply.IsEdns0(); opt == nil || opt.Version() != 0 || reply.Rcode != dns.RcodeBadVers {
		t.Errorf("%v", reply)
	}
}
