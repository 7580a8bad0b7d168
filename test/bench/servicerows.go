package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// serviceSection measures what service discovery is made of, in a datacenter of three
// servers and one client agent.
func serviceSection() section {
	var client *agent
	health := func(instances int, target, consul string) row {
		path := fmt.Sprintf("/v1/health/service/web-%d?passing", instances)
		return row{"health " + strconv.Itoa(instances), loadRow{
			what: fmt.Sprintf("health/service?passing, %d instances, c=16", instances), target: target, consul: consul, workers: 16,
			request: func(buf []byte, _, _ int) []byte { return appendGet(buf, path) },
		}.run}
	}
	return section{name: "services", rows: []row{
		{"catalog register", loadRow{what: "catalog register, c=16", target: "4,000/s; 400 µs", consul: "968/s; 1,700 µs", workers: 16, request: registerRequest}.run},
		{"agent register", func(b *bench, s *setup) error { return measureAgentRegister(b, s, client) }},
		health(10, "25k/s", "7.4k/s"), health(100, "12k/s", "1.3k/s"), health(1000, "4k/s", "144/s"),
	}, open: func(b *bench, s *setup) error {
		servers, err := b.datacenter(s, "bench", 3, nil)
		if err != nil {
			return err
		}
		if client, err = b.client(s, "client", servers[0]); err != nil {
			return err
		}
		for _, n := range []int{10, 100, 1000} {
			if err := b.registerInstances(servers[0], n); err != nil {
				return err
			}
		}
		return nil
	}}
}

// client starts a client agent and waits until it knows of a leader.
func (b *bench) client(s *setup, name string, of *agent) (*agent, error) {
	a, err := b.newAgent(fmt.Sprintf("%s-%d", name, freePorts.take()), of.datacenter, map[string]any{"retry_join": []string{of.lan}})
	if err != nil {
		return nil, err
	}
	s.agents = append(s.agents, a)
	if err := a.start(); err != nil {
		return nil, err
	}
	return a, until(b.ctx, func() error { _, err := a.call(b.ctx, "GET", "/v1/catalog/nodes", nil); return err })
}

// registerRequest registers one of twenty instances per worker, each time at another port.
func registerRequest(buf []byte, worker, n int) []byte {
	body := fmt.Appendf(nil, `{"Node":"bench-%d","Address":"10.1.0.%d","Service":{"ID":"s%d","Service":"bench-register","Port":%d},`+
		`"Check":{"CheckID":"c%d","ServiceID":"s%d","Name":"c","Status":"passing"}}`, worker, worker+1, n%20, 1+n%60000, n%20, n%20)
	return appendPut(buf, "/v1/catalog/register", body)
}

// measureAgentRegister registers at a client agent, and looks how long it takes until the
// leader shows an instance.
func measureAgentRegister(b *bench, s *setup, client *agent) error {
	register := func(id string, port int) []byte {
		return appendPut(nil, "/v1/agent/service/register", fmt.Appendf(nil, `{"ID":%q,"Name":"bench-agent","Port":%d}`, id, port))
	}
	r, err := load{
		addr: client.http, workers: 4, span: b.span, servers: s.agents,
		request: func(buf []byte, worker, n int) []byte {
			return append(buf, register(fmt.Sprintf("w%d-%d", worker, n%20), 1+n%60000)...)
		},
	}.run(b.ctx)
	if err != nil {
		return err
	}
	first, _, err := leader(b.ctx, s.agents[:3])
	if err != nil {
		return err
	}
	var seen []time.Duration
	for range 20 * b.repeat {
		took, err := b.untilVisible(client, first, register)
		if err != nil {
			return err
		}
		seen = append(seen, took)
	}
	slices.Sort(seen)
	b.out.print(line{
		what: "agent register, c=4; to visible at the leader", target: "1,000/s; 3 ms", consul: "237/s; 3.9 ms",
		got: perSecond(r.rate()) + "; " + millis(seen[len(seen)/2]), note: r.note() + "; CPU enough for " + perSecond(r.undisturbed()),
	})
	return nil
}

// untilVisible registers a new service at the client, and waits for it at the server with
// a blocking query.
func (b *bench) untilVisible(client, server *agent, register func(id string, port int) []byte) (time.Duration, error) {
	to, err := dial(client.http)
	if err != nil {
		return 0, err
	}
	defer to.Close()
	at, err := dial(server.http)
	if err != nil {
		return 0, err
	}
	defer at.Close()
	_, index, err := at.do(appendGet(nil, "/v1/catalog/service/bench-agent"))
	if err != nil {
		return 0, err
	}
	if _, err := at.Write(appendGet(nil, fmt.Sprintf("/v1/catalog/service/bench-agent?index=%d&wait=30s", index))); err != nil {
		return 0, err
	}
	time.Sleep(5 * time.Millisecond) // the query waits by then
	start := time.Now()
	if _, _, err := to.do(register("visible-"+strconv.Itoa(freePorts.take()), 1)); err != nil {
		return 0, err
	}
	_, _, err = at.answer()
	return time.Since(start), err
}

// machines is how many client agents [measureClients] starts.
const machines = 20

// measureClients starts client agents at once, lets them rest, and ends one by force and
// one in peace.
func measureClients(b *bench, _ *setup) error {
	s := &setup{}
	defer s.close()
	servers, err := b.datacenter(s, "bench", 3, nil)
	if err != nil {
		return err
	}
	start := time.Now()
	clients := make([]*agent, machines)
	for i := range clients {
		clients[i], err = b.newAgent(fmt.Sprintf("machine-%d-%d", i, freePorts.take()), "bench", map[string]any{"retry_join": []string{servers[0].lan}})
		if err != nil {
			return err
		}
		s.agents = append(s.agents, clients[i])
		if err := clients[i].start(); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, machines)
	for i, c := range clients {
		wg.Go(func() {
			errs[i] = until(b.ctx, func() error { return b.lists(c, "/v1/agent/members", len(s.agents)) })
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := until(b.ctx, func() error { return b.lists(servers[0], "/v1/catalog/nodes", len(s.agents)) }); err != nil {
		return err
	}
	converged := time.Since(start)
	time.Sleep(2 * b.span)
	before, rest := cpuOf(clients), 4*b.span
	time.Sleep(rest)
	idle := (cpuOf(clients) - before).Seconds() / rest.Seconds() / machines
	var resident int64
	for _, c := range clients {
		resident += residentOf(c.pid()) / machines
	}
	b.out.print(line{
		what: "20 client agents: converged; RSS; idle CPU", target: "2 s; 30 MB; 0.2%", consul: "1.9 s; 98 MB; 0.36%",
		got: fmt.Sprintf("%.1f s; %s; %.2f%%", converged.Seconds(), megabytes(resident), 100*idle), note: "RSS and CPU of each",
	})
	return b.endClients(servers[0], clients[0], clients[1])
}

// endClients kills one client agent and has another leave.
func (b *bench) endClients(server, killed, left *agent) error {
	start := time.Now()
	killed.end(syscall.SIGKILL)
	if err := until(b.ctx, func() error {
		return b.lists(server, "/v1/health/node/"+killed.name+"?filter=Status+%3D%3D+critical", 1)
	}); err != nil {
		return err
	}
	failed := time.Since(start)
	start = time.Now()
	told := make(chan error, 1)
	go func() { // the answer comes when the agent has left, long after it is gone
		_, err := left.call(b.ctx, "PUT", "/v1/agent/leave", nil)
		told <- err
	}()
	if err := until(b.ctx, func() error { return b.lists(server, "/v1/catalog/nodes?filter=Node+%3D%3D+%22"+left.name+"%22", 0) }); err != nil {
		return err
	}
	gone := time.Since(start)
	if err := <-told; err != nil {
		return err
	}
	b.out.print(line{
		what: "a client: kill -9 to critical; leave to gone", target: "7.5 s; 1 s", consul: "7.5 s; 4 s",
		got: fmt.Sprintf("%.1f s; %.2f s", failed.Seconds(), gone.Seconds()),
	})
	return nil
}

// lists is nil once the agent answers path with a list of so many rows.
func (b *bench) lists(a *agent, path string, want int) error {
	body, err := a.call(b.ctx, "GET", path, nil)
	if err != nil {
		return err
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(body, &rows); err != nil {
		return err
	}
	if len(rows) != want {
		return fmt.Errorf("%s at %s has %d rows, not %d", path, a.name, len(rows), want)
	}
	return nil
}
