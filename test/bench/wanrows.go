package main

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// farIP is where servers of one datacenter find those of the other: behind a link.
const farIP = "127.0.0.2"

// wanDelay is the delay of a link in one direction.
const wanDelay = 40 * time.Millisecond

func wanSection() section {
	return section{name: "two datacenters, 80 ms apart", open: openWAN, rows: []row{
		{"get", remoteRow{what: "?dc= get, added to the RTT: p50; p99", target: "0.7; 1.5 ms", consul: "1.0; 2.1 ms", request: func(buf []byte, _, n int) []byte {
			return appendGet(buf, "/v1/kv/"+listPrefix+strconv.Itoa(n%listSize)+"?dc=beijing")
		}}.run},
		{"put", remoteRow{what: "?dc= put, added to the RTT: p50; p99", target: "2 ms", consul: "2.6 ms", request: func(buf []byte, _, n int) []byte {
			return appendPut(buf, "/v1/kv/bench/far/"+strconv.Itoa(n%1000)+"?dc=beijing", value)
		}}.run},
		{"cut", measureCut},
	}}
}

// openWAN starts two datacenters of three servers. The server ports of each are reached
// by the other through links; gossip is not, so that it finds no cut.
func openWAN(b *bench, s *setup) error {
	conf := map[string]any{"advertise_addr_wan": farIP, "serf_wan": farIP, "enable_debug": true}
	shanghai, err := b.datacenter(s, "shanghai", 3, conf)
	if err != nil {
		return err
	}
	beijing, err := b.datacenter(s, "beijing", 3, conf)
	if err != nil {
		return err
	}
	for _, a := range s.agents {
		port := strconv.Itoa(a.server)
		l, err := newLink(net.JoinHostPort(farIP, port), net.JoinHostPort("127.0.0.1", port), wanDelay)
		if err != nil {
			return err
		}
		s.links = append(s.links, l)
	}
	if err := b.fill(beijing[0], listPrefix, listSize); err != nil {
		return err
	}
	// Each joins by itself: what a server knows of its neighbours is not where their WAN
	// gossip listens here.
	for _, a := range s.agents[1:] {
		if _, err := a.call(b.ctx, "PUT", "/v1/agent/join/"+shanghai[0].wan+"?wan=1", nil); err != nil {
			return err
		}
	}
	return b.usable(s.agents, map[string]string{"shanghai": "beijing", "beijing": "shanghai"})
}

// usable waits until every server gets an answer from the other datacenter.
func (b *bench) usable(servers []*agent, other map[string]string) error {
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, a := range servers {
		wg.Go(func() {
			errs[i] = until(b.ctx, func() error {
				_, err := a.call(b.ctx, "PUT", "/v1/kv/bench/reached?dc="+other[a.datacenter], nil)
				return err
			})
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("from %s: %w", servers[i].name, err)
		}
	}
	return nil
}

// remoteRow measures calls to the other datacenter, one after the other.
type remoteRow struct {
	what, target, consul string
	request              func(buf []byte, worker, n int) []byte
}

func (r remoteRow) run(b *bench, s *setup) error {
	floor, err := floorRTT()
	if err != nil {
		return err
	}
	from, _, err := leader(b.ctx, s.agents[:3])
	if err != nil {
		return err
	}
	got, err := load{addr: from.http, workers: wanWorkers, span: b.span, servers: s.agents, request: r.request}.run(b.ctx)
	if err != nil {
		return err
	}
	b.out.print(line{
		what: r.what, got: fmt.Sprintf("%.2f; %.2f ms", (got.at(0.5)-floor).Seconds()*1000, (got.at(0.99)-floor).Seconds()*1000),
		target: r.target, consul: r.consul,
		note: fmt.Sprintf("c=%d; a byte through such a link and back: p50 %s", wanWorkers, millis(floor)),
	})
	return nil
}

// wanWorkers is how many calls are under way at once: enough for a p99, too few to wait
// for each other.
const wanWorkers = 4

// floorRTT is what a link itself takes.
func floorRTT() (time.Duration, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	go serveBytes(ln)
	l, err := newLink("127.0.0.1:0", ln.Addr().String(), wanDelay)
	if err != nil {
		return 0, err
	}
	defer l.close()
	return l.rtt()
}

// measureCut lets nothing through any more, without closing anything, and asks.
func measureCut(b *bench, s *setup) error {
	from, _, err := leader(b.ctx, s.agents[:3])
	if err != nil {
		return err
	}
	ask := func() (time.Duration, string) {
		start := time.Now()
		req, err := http.NewRequestWithContext(b.ctx, "GET", "http://"+from.http+"/v1/kv/bench/get/1?dc=beijing", nil)
		if err != nil {
			return 0, err.Error()
		}
		res, err := client.Do(req)
		if err != nil {
			return time.Since(start), err.Error()
		}
		defer res.Body.Close()
		return time.Since(start), strconv.Itoa(res.StatusCode) + " " + res.Header.Get("X-Hanse-Reason")
	}
	for _, l := range s.links {
		l.cut.Store(true)
	}
	first, why := ask()
	var next []time.Duration
	var then string
	for range 10 {
		var took time.Duration
		took, then = ask()
		next = append(next, took)
	}
	for _, l := range s.links {
		l.cut.Store(false)
	}
	healed := time.Now()
	if err := b.usable(s.agents[:3], map[string]string{"shanghai": "beijing"}); err != nil {
		return fmt.Errorf("after the cut: %w", err)
	}
	b.out.print(line{
		what: "?dc= with the WAN cut: first answer; next", got: fmt.Sprintf("%.2f s; %s", first.Seconds(), millis(slices.Max(next))),
		target: "2 s; 50 ms", consul: "29 s; 10 s",
		note: fmt.Sprintf("first %s, then %s; usable %s after the cut has ended", why, then, millis(time.Since(healed))),
	})
	return nil
}
