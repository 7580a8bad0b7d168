package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"
)

// dnsSection asks one of three servers for services of three and of a hundred instances.
func dnsSection() section {
	rows := []row{}
	add := func(qtype uint16, instances int, target, consul string, ednsSize uint16) {
		what := fmt.Sprintf("DNS %s, %d instances, c=32", dns.TypeToString[qtype], instances)
		if ednsSize > 0 {
			what += fmt.Sprintf(", EDNS %d", ednsSize)
		}
		rows = append(rows, row{what, dnsRow{what, qtype, instances, ednsSize, target, consul}.run})
	}
	add(dns.TypeA, 3, "40k/s", "20.9k/s", 0)
	add(dns.TypeA, 100, "25k/s", "2,960/s", 0)
	add(dns.TypeSRV, 3, "40k/s", "19.3k/s", 0)
	add(dns.TypeSRV, 100, "15k/s", "1,630/s", 0)
	add(dns.TypeA, 100, "", "", 4096)
	add(dns.TypeSRV, 100, "", "", 4096)
	return section{name: "dns", rows: rows, open: func(b *bench, s *setup) error {
		servers, err := b.datacenter(s, "bench", 3, nil)
		if err != nil {
			return err
		}
		for _, n := range []int{3, 100} {
			if err := b.registerInstances(servers[0], n); err != nil {
				return err
			}
		}
		return nil
	}}
}

// registerInstances registers a service with a check on each of n nodes.
func (b *bench) registerInstances(a *agent, n int) error {
	service := fmt.Sprintf("web-%d", n)
	for i := range n {
		body, err := json.Marshal(map[string]any{
			"Node": fmt.Sprintf("%s-node-%d", service, i), "Address": fmt.Sprintf("10.%d.%d.%d", n%250, i/250, i%250+1),
			"Service": map[string]any{"ID": service, "Service": service, "Port": 8000 + i},
			"Check":   map[string]any{"CheckID": "c", "Name": "c", "ServiceID": service, "Status": "passing"},
		})
		if err != nil {
			return err
		}
		if _, err := a.call(b.ctx, "PUT", "/v1/catalog/register", body); err != nil {
			return err
		}
	}
	return nil
}

// dnsRow is a row that counts questions per second.
type dnsRow struct {
	what           string
	qtype          uint16
	instances      int
	ednsSize       uint16
	target, consul string
}

func (d dnsRow) run(b *bench, s *setup) error {
	at, _, err := leader(b.ctx, s.agents)
	if err != nil {
		return err
	}
	m := new(dns.Msg).SetQuestion(fmt.Sprintf("web-%d.service.consul.", d.instances), d.qtype)
	if d.ednsSize > 0 {
		m.SetEdns0(d.ednsSize, false)
	}
	question, err := m.Pack()
	if err != nil {
		return err
	}
	r, err := load{
		addr: at.dns, dial: dialDNS, workers: 32, span: b.span, servers: s.agents,
		request: func(buf []byte, worker, n int) []byte {
			buf = append(buf, question...)
			binary.BigEndian.PutUint16(buf, uint16(worker*1000+n))
			return buf
		},
	}.run(b.ctx)
	if err != nil {
		return err
	}
	b.out.print(line{what: d.what, got: perSecond(r.rate()) + "; " + micros(r.perOp(r.serverCPU)), target: d.target, consul: d.consul,
		note: r.note() + "; CPU enough for " + perSecond(r.undisturbed())})
	return nil
}

// dnsConn asks one question at a time from a socket of its own.
type dnsConn struct {
	net.Conn
	buf [dns.MaxMsgSize]byte
}

func dialDNS(addr string) (exchanger, error) {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return nil, err
	}
	return &dnsConn{Conn: c}, nil
}

// do sends a question and waits for its answer, of which no more is read than the header.
// The status is 200 if there are records, 404 if there are none.
func (c *dnsConn) do(question []byte) (status int, index uint64, err error) {
	if _, err := c.Write(question); err != nil {
		return 0, 0, err
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, 0, err
	}
	for {
		n, err := c.Read(c.buf[:])
		if err != nil {
			return 0, 0, err
		}
		const header = 12
		if n < header || c.buf[0] != question[0] || c.buf[1] != question[1] {
			continue
		}
		rcode, answers := c.buf[3]&0xf, binary.BigEndian.Uint16(c.buf[6:])
		switch {
		case rcode != dns.RcodeSuccess:
			return 500 + int(rcode), 0, nil
		case answers == 0:
			return 404, 0, nil
		}
		return 200, 0, nil
	}
}
