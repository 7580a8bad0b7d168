package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// mirrorSection measures a copy between datacenters that are 80 ms apart.
func mirrorSection(name string, m mirror) section {
	rows := []row{
		{"first pass", m.measureFirstPass},
		{"change", m.measureChange},
		{"rate", m.measureRate},
		{"tree", m.measureTree},
		{"cut", m.measureCut},
		{"kill", m.measureKill},
	}
	if !m.daemon {
		rows = append(rows, row{"idle", m.measureIdle}, row{"drift", m.measureDrift})
	}
	return section{name: name, open: openWAN, rows: rows}
}

func (m mirror) measureFirstPass(b *bench, s *setup) error {
	if s.mirrored {
		return nil
	}
	took, carried, err := m.firstPass(b, s)
	if err != nil {
		return err
	}
	l := line{
		what: m.what + ": first pass; WAN", got: fmt.Sprintf("%.2f s; %.1f MB", took.Seconds(), float64(carried)/1e6),
		target: "1 s; 3.2 MB", consul: "16.4 s; 3.6 MB", note: fmt.Sprintf("%d keys of %d B", m.keys, mirrorValue),
	}
	if m.keys > 10_000 {
		l.target, l.consul = "60 s", ""
	}
	b.out.print(l)
	return nil
}

// measureChange makes one change after the other, at any time of the copy's own rhythm.
func (m mirror) measureChange(b *bench, s *setup) error {
	if err := m.ready(b, s); err != nil {
		return err
	}
	idle, start := s.carried(), time.Now()
	time.Sleep(b.span)
	background := float64(s.carried()-idle) / time.Since(start).Seconds()
	r := result{}
	carried, start := s.carried(), time.Now()
	for n := range max(10, int(b.span.Seconds()*5)) {
		a := m.change(b, s, "change "+strconv.Itoa(n))
		if a.err != nil {
			return fmt.Errorf("change %d: %w", n, a.err)
		}
		r.latencies = append(r.latencies, a.took)
		time.Sleep(100*time.Millisecond + rand.N(100*time.Millisecond)) // the next question is on its way
	}
	each := (float64(s.carried()-carried) - background*time.Since(start).Seconds()) / float64(len(r.latencies))
	slices.Sort(r.latencies)
	b.out.print(line{
		what:   m.what + ": lag of one change p50; p99; WAN",
		got:    fmt.Sprintf("%s; %s; %.1f kB", millis(r.at(0.5)), millis(r.at(0.99)), each/1000),
		target: "50 ms; 80 ms; 2 kB", consul: "1.49 s; 2.18 s; 3.6 MB",
		note: fmt.Sprintf("%d changes, one after the other; beside them the WAN carries %.2f kB/s", len(r.latencies), background/1000),
	})
	return nil
}

const (
	// mirrorRate is how many changes a second [mirror.measureRate] makes.
	mirrorRate = 100
	// mirrorPace is the time between two of them.
	mirrorPace = time.Second / mirrorRate
)

// measureRate makes changes at a steady rate. What that costs the servers without a copy
// is measured before, with keys that are not copied.
func (m mirror) measureRate(b *bench, s *setup) error {
	if err := m.ready(b, s); err != nil {
		return err
	}
	source, _, err := leader(b.ctx, s.far())
	if err != nil {
		return err
	}
	sink, followers, err := leader(b.ctx, s.near())
	if err != nil {
		return err
	}
	watch, err := m.watch(b, followers[0])
	if err != nil {
		return err
	}
	span := max(b.span, 2*time.Second)
	spent := func(paths func(n int) string) (costs [4]float64, written []time.Time, err error) {
		servers := [][]*agent{{source}, {sink}, s.agents[6:]}
		var before [3]time.Duration
		for i, group := range servers {
			before[i] = cpuOf(group)
		}
		carried, start := s.carried(), time.Now()
		written, err = m.writeSteadily(b, source, span, paths)
		took := time.Since(start).Seconds()
		for i, group := range servers {
			costs[i] = (cpuOf(group) - before[i]).Seconds() / took * 100
		}
		costs[3] = float64(s.carried()-carried) / 1000 / took
		return costs, written, err
	}
	without, _, err := spent(func(n int) string { return "/v1/kv/bench/alone/" + strconv.Itoa(n%1000) })
	if err != nil {
		return err
	}
	with, written, err := spent(func(n int) string { return m.key(n * 7919 % m.keys) })
	if err != nil {
		return err
	}
	r := result{}
	arrived, err := watch.all(len(written))
	if err != nil {
		return err
	}
	for n, at := range written {
		r.latencies = append(r.latencies, arrived[n].Sub(at))
	}
	slices.Sort(r.latencies)
	note := fmt.Sprintf("%d changes, p50 %s; CPU above that of the same changes elsewhere: source's leader %.1f%%, destination's %.1f%%",
		len(written), millis(r.at(0.5)), with[0]-without[0], with[1]-without[1])
	if m.daemon {
		note += fmt.Sprintf(", the daemon %.1f%%", with[2])
	}
	b.out.print(line{
		what:   m.what + ": 100 changes/s: lag p99; WAN; CPU",
		got:    fmt.Sprintf("%s; %.1f kB/s; %.1f%%", millis(r.at(0.99)), with[3]-without[3], with[0]-without[0]+with[1]-without[1]),
		target: "150 ms; 60 kB/s; 5%", consul: "4.0 s; 2.0 MB/s; 44%", note: note,
	})
	return nil
}

// rateMark begins the values that [mirror.measureRate] writes, and their number follows.
const rateMark = "rate "

// writeSteadily writes with a fixed pace and tells when each write was acknowledged.
func (m mirror) writeSteadily(b *bench, at *agent, span time.Duration, path func(n int) string) ([]time.Time, error) {
	tick := time.NewTicker(mirrorPace)
	defer tick.Stop()
	var written []time.Time
	for n := range int(span / mirrorPace) {
		<-tick.C
		if _, err := at.call(b.ctx, "PUT", path(n), []byte(rateMark+strconv.Itoa(n))); err != nil {
			return nil, err
		}
		written = append(written, time.Now())
	}
	return written, nil
}

// watcher sees changes arrive at one server, by that server's feed.
type watcher struct {
	b  *bench
	mu sync.Mutex
	at map[int]time.Time // by number
	// err is why it has stopped watching.
	err error
}

// watch begins to watch for the values of [mirror.measureRate].
func (m mirror) watch(b *bench, at *agent) (*watcher, error) {
	w := &watcher{b: b, at: map[int]time.Time{}}
	index, err := w.page(m, at, "")
	if err != nil {
		return nil, err
	}
	go func() {
		for err == nil {
			index, err = w.page(m, at, "&wait=10s&index="+index)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = err
	}()
	return w, nil
}

// page asks for what has changed, and returns the index to go on from.
func (w *watcher) page(m mirror, at *agent, query string) (index string, err error) {
	req, err := http.NewRequestWithContext(w.b.ctx, "GET", "http://"+at.http+"/v1/kv/"+m.prefix+"?changes&stale"+query, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var rows []struct{ Value []byte }
	if err := json.NewDecoder(res.Body).Decode(&rows); err != nil {
		return "", fmt.Errorf("watch %s: status %d: %w", at.name, res.StatusCode, err)
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range rows {
		if rest, ours := cutMark(r.Value); ours {
			w.at[rest] = now
		}
	}
	return res.Header.Get("X-Consul-Index"), nil
}

// cutMark is the number in a value that [mirror.measureRate] wrote.
func cutMark(value []byte) (n int, ours bool) {
	if len(value) <= len(rateMark) || string(value[:len(rateMark)]) != rateMark {
		return 0, false
	}
	n, err := strconv.Atoi(string(value[len(rateMark):]))
	return n, err == nil
}

// all waits until the first n values have arrived, and tells when they did.
func (w *watcher) all(n int) (map[int]time.Time, error) {
	err := until(w.b.ctx, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.at) < n {
			return fmt.Errorf("%d of %d changes have arrived (%v)", len(w.at), n, w.err)
		}
		return nil
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at, err
}

// measureTree deletes a tree of 200 keys.
func (m mirror) measureTree(b *bench, s *setup) error {
	if err := m.ready(b, s); err != nil {
		return err
	}
	const size = 200
	tree := m.prefix + "tree/"
	r := result{}
	for range b.repeat {
		if err := b.fill(s.far()[0], tree, size); err != nil {
			return err
		}
		keys := func() (n int, err error) {
			var names []string
			body, err := s.near()[0].call(b.ctx, "GET", "/v1/kv/"+tree+"?keys&stale", nil)
			if err == nil {
				err = json.Unmarshal(body, &names)
			}
			return len(names), err
		}
		if err := until(b.ctx, func() error {
			if n, err := keys(); err != nil || n < size {
				return fmt.Errorf("%d of %d keys: %w", n, size, err)
			}
			return nil
		}); err != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond) // the next question is on its way
		if _, err := s.far()[0].call(b.ctx, "DELETE", "/v1/kv/"+tree+"?recurse", nil); err != nil {
			return err
		}
		start := time.Now()
		if err := until(b.ctx, func() error {
			if n, err := keys(); err == nil {
				return fmt.Errorf("%d keys are left", n)
			}
			return nil
		}); err != nil {
			return err
		}
		r.latencies = append(r.latencies, time.Since(start))
	}
	slices.Sort(r.latencies)
	b.out.print(line{
		what: m.what + ": delete a tree of 200", got: millis(r.at(0.5)), target: "100 ms", consul: "2.1 s",
		note: fmt.Sprintf("%d times, at most %s", b.repeat, millis(r.at(1))),
	})
	return nil
}

// measureCut cuts the WAN for a while, during which there are changes.
func (m mirror) measureCut(b *bench, s *setup) error {
	if err := m.ready(b, s); err != nil {
		return err
	}
	cut := b.outage(15 * time.Second)
	for _, l := range s.links {
		l.cut.Store(true)
	}
	time.Sleep(cut)
	value := "during the cut"
	if _, err := s.far()[0].call(b.ctx, "PUT", m.key(7), []byte(value)); err != nil {
		return err
	}
	for _, l := range s.links {
		l.cut.Store(false)
	}
	start := time.Now()
	if err := m.arrived(b, s.near()[0], value); err != nil {
		return err
	}
	b.out.print(line{
		what: m.what + ": WAN cut, in step after the return", got: fmt.Sprintf("%.2f s", time.Since(start).Seconds()),
		target: "2 s", consul: "10 s, or never", note: fmt.Sprintf("cut for %v", cut),
	})
	return nil
}

// outage is how long a fault lasts.
func (b *bench) outage(whole time.Duration) time.Duration {
	if b.short {
		return whole / 3
	}
	return whole
}

// measureKill kills the server that copies, or that the daemon talks to, and starts it
// again after a while.
func (m mirror) measureKill(b *bench, s *setup) error {
	if err := m.ready(b, s); err != nil {
		return err
	}
	victim, others, err := leader(b.ctx, s.near())
	if err != nil {
		return err
	}
	if m.daemon {
		victim, others = s.near()[0], s.near()[1:]
	}
	down := b.outage(10 * time.Second)
	victim.end(syscall.SIGKILL)
	killed, note := time.Now(), ""
	value := "after the kill"
	if _, err := s.far()[0].call(b.ctx, "PUT", m.key(7), []byte(value)); err != nil {
		return err
	}
	if !m.daemon {
		if err := m.arrived(b, others[0], value); err != nil {
			return err
		}
		note = fmt.Sprintf("; a change that was made then is at the others after %.2f s", time.Since(killed).Seconds())
	}
	time.Sleep(time.Until(killed.Add(down)))
	if err := victim.start(); err != nil {
		return err
	}
	start := time.Now()
	if err := m.arrived(b, victim, value); err != nil {
		return err
	}
	took := time.Since(start)
	b.out.print(line{
		what: m.what + ": destination killed, in step after return", got: fmt.Sprintf("%.2f s", took.Seconds()),
		target: "2 s", consul: "it exits, or hangs", note: fmt.Sprintf("kill -9 of %s for %v%s", victim.name, down, note),
	})
	return b.ready(s.near())
}
