package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

func lifeSection() section {
	return section{name: "beginnings and ends", rows: []row{
		{"join", measureJoin},
		{"kill", measureKill},
		{"dev", measureDev},
		{"idle", measureIdle},
		{"clients", measureClients},
	}}
}

// measureJoin federates two datacenters, new ones each time.
func measureJoin(b *bench, _ *setup) error {
	var took []time.Duration
	once := func() error {
		s := &setup{}
		defer s.close()
		one, err := b.datacenter(s, "shanghai", 3, nil)
		if err != nil {
			return err
		}
		two, err := b.datacenter(s, "beijing", 3, nil)
		if err != nil {
			return err
		}
		start := time.Now()
		if _, err := two[0].call(b.ctx, "PUT", "/v1/agent/join/"+one[0].wan+"?wan=1", nil); err != nil {
			return err
		}
		err = b.usable(s.agents, map[string]string{"shanghai": "beijing", "beijing": "shanghai"})
		took = append(took, time.Since(start))
		return err
	}
	for range b.repeat {
		if err := once(); err != nil {
			return err
		}
	}
	slices.Sort(took)
	b.out.print(line{
		what: "join -wan to usable from all servers", got: fmt.Sprintf("%.2f s", took[len(took)/2].Seconds()),
		target: "under 3 s, always", consul: "1.5 s, or 70 s",
		note: fmt.Sprintf("%d times, 3 servers each, slowest %.2f s", len(took), took[len(took)-1].Seconds()),
	})
	return nil
}

// measureKill kills leaders while clients write through the other servers.
func measureKill(b *bench, _ *setup) error {
	s := &setup{}
	defer s.close()
	servers, err := b.datacenter(s, "bench", 3, nil)
	if err != nil {
		return err
	}
	var gaps []time.Duration
	acked, lost := 0, 0
	for range b.repeat {
		gap, a, l, err := b.killLeader(servers)
		if err != nil {
			return err
		}
		gaps = append(gaps, gap)
		acked, lost = acked+a, lost+l
	}
	slices.Sort(gaps)
	b.out.print(line{
		what: "kill -9 of the leader: gap in writes; lost", got: fmt.Sprintf("%.2f s; %d", gaps[len(gaps)-1].Seconds(), lost),
		target: "under 2 s; 0", consul: "12 to 19 s",
		note: fmt.Sprintf("the longest of %d, median %.2f s; %d acknowledged writes checked", len(gaps), gaps[len(gaps)/2].Seconds(), acked),
	})
	return nil
}

// writer counts up in one key, and knows what was acknowledged.
type writer struct {
	key   string
	acked int         // the highest value acknowledged
	at    []time.Time // when each was
}

// killLeader returns the longest time without an acknowledged write around the death of
// the leader, how many were acknowledged, and how many keys hold less than that.
func (b *bench) killLeader(servers []*agent) (gap time.Duration, acked, lost int, err error) {
	victim, others, err := leader(b.ctx, servers)
	if err != nil {
		return 0, 0, 0, err
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	writers := make([]*writer, 8)
	for i := range writers {
		w := &writer{key: fmt.Sprintf("bench/kill/%d/%d", time.Now().UnixNano(), i)}
		writers[i] = w
		wg.Go(func() { w.run(b, others[i%len(others)], stop) })
	}
	time.Sleep(time.Second)
	victim.end(syscall.SIGKILL)
	time.Sleep(4 * time.Second)
	close(stop)
	wg.Wait()
	var times []time.Time
	for _, w := range writers {
		times = append(times, w.at...)
	}
	slices.SortFunc(times, time.Time.Compare)
	for i := 1; i < len(times); i++ {
		gap = max(gap, times[i].Sub(times[i-1]))
	}
	for _, w := range writers {
		body, err := others[0].call(b.ctx, "GET", "/v1/kv/"+w.key+"?raw&consistent", nil)
		if err != nil {
			return 0, 0, 0, err
		}
		if stored, err := strconv.Atoi(string(body)); err != nil || stored < w.acked {
			lost++
		}
	}
	if err := victim.start(); err != nil {
		return 0, 0, 0, err
	}
	return gap, len(times), lost, b.ready(servers)
}

func (w *writer) run(b *bench, a *agent, stop <-chan struct{}) {
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		// What failed may have happened all the same: its number is not used again.
		if _, err := a.call(b.ctx, "PUT", "/v1/kv/"+w.key, []byte(strconv.Itoa(n))); err == nil {
			w.acked = n
			w.at = append(w.at, time.Now())
		}
	}
}

// measureDev starts `agent -dev` and writes as soon as it takes a write.
func measureDev(b *bench, _ *setup) error {
	var took []time.Duration
	for i := range 2 * b.repeat {
		a, err := b.newAgent("dev-"+strconv.Itoa(i), "bench", nil)
		if err != nil {
			return err
		}
		_, httpPort, _ := strings.Cut(a.http, ":")
		args := []string{"agent", "-dev", "-bind", "127.0.0.1", "-http-port", httpPort, "-dns-port", "-1", "-log-level", "warn"}
		for _, flag := range []string{"-serf-lan-port", "-serf-wan-port", "-server-port"} {
			args = append(args, flag, strconv.Itoa(freePorts.take()))
		}
		a.args = args
		put := appendPut(nil, "/v1/kv/bench/first", value)
		start := time.Now()
		if err := a.start(); err != nil {
			return err
		}
		err = until(b.ctx, func() error {
			c, err := dial(a.http)
			if err != nil {
				return err
			}
			defer c.Close()
			status, _, err := c.do(put)
			if err == nil && status != 200 {
				err = fmt.Errorf("status %d", status)
			}
			return err
		})
		took = append(took, time.Since(start))
		a.end(syscall.SIGKILL)
		if err != nil {
			return err
		}
	}
	slices.Sort(took)
	b.out.print(line{
		what: "agent -dev: exec to first write", got: millis(took[len(took)/2]), target: "100 ms", consul: "114 ms",
		note: fmt.Sprintf("%d times, %s to %s", len(took), millis(took[0]), millis(took[len(took)-1])),
	})
	return nil
}

// measureIdle looks at three servers that have nothing to do, at the binary, and at
// the shortest command.
func measureIdle(b *bench, _ *setup) error {
	s := &setup{}
	defer s.close()
	servers, err := b.datacenter(s, "bench", 3, nil)
	if err != nil {
		return err
	}
	time.Sleep(2 * b.span) // what a start costs is over
	first, others, err := leader(b.ctx, servers)
	if err != nil {
		return err
	}
	used := func(a *agent) time.Duration { return cpuOfPID(a.pid()) }
	leaderBefore, followerBefore, start := used(first), used(others[0]), time.Now()
	time.Sleep(4 * b.span)
	share := func(cpu time.Duration) float64 { return 100 * float64(cpu) / float64(time.Since(start)) }
	leaderCPU, followerCPU := share(used(first)-leaderBefore), share(used(others[0])-followerBefore)
	info, err := os.Stat(b.bin)
	if err != nil {
		return err
	}
	key := "/v1/kv/bench/idle"
	if _, err := first.call(b.ctx, "PUT", key, value); err != nil {
		return err
	}
	var took []time.Duration
	for range 4 * b.repeat {
		cmd := exec.CommandContext(b.ctx, b.bin, "kv", "get", "-http-addr="+first.http, "bench/idle")
		before := time.Now()
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s kv get: %w", filepath.Base(b.bin), err)
		}
		took = append(took, time.Since(before))
	}
	slices.Sort(took)
	b.out.print(line{
		what:   "idle: RSS; CPU; binary; kv get",
		got:    fmt.Sprintf("%s; %.1f%%; %s; %.0f ms", megabytes(residentOf(first.pid())), leaderCPU, megabytes(info.Size()), took[len(took)/2].Seconds()*1000),
		target: "40 MB; 0.5%; 45 MB; 15 ms", consul: "98 MB; 1.1%; 184 MB; 47 ms",
		note: fmt.Sprintf("the leader of three; a follower: %s, %.1f%%", megabytes(residentOf(others[0].pid())), followerCPU),
	})
	return nil
}
