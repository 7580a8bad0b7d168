package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	replicate "github.com/hanse-project/hanse/replicate/link"
)

// verify has the link compare both sides, and returns what came of it.
func (s *setup) verify(b *bench, order string) (replicate.Status, error) {
	before, err := s.status(b)
	if err != nil {
		return before, err
	}
	if _, err := s.near()[0].call(b.ctx, "PUT", linkPath+"/"+order, nil); err != nil {
		return before, err
	}
	var now replicate.Status
	err = until(b.ctx, func() (err error) {
		if now, err = s.status(b); err == nil && (now.Verifying || !now.LastVerify.After(before.LastVerify)) {
			err = errors.New("it is still comparing")
		}
		return err
	})
	return now, err
}

// measureIdle compares two sides that are equal.
func (m mirror) measureIdle(b *bench, s *setup) error {
	if err := m.ready(b, s); err != nil {
		return err
	}
	if _, err := s.verify(b, "verify"); err != nil { // the first one sums all keys up
		return err
	}
	idle, start := s.carried(), time.Now()
	time.Sleep(b.span)
	background := float64(s.carried()-idle) / time.Since(start).Seconds()
	carried, start := s.carried(), time.Now()
	status, err := s.verify(b, "verify")
	if err != nil {
		return err
	}
	took := time.Since(start)
	b.out.print(line{
		what: m.what + ": idle verification; WAN", got: fmt.Sprintf("%s; %.0f B", millis(took), float64(s.carried()-carried)-background*took.Seconds()),
		target: "some hundred B", note: fmt.Sprintf("%d keys differ", status.DivergentKeys),
	})
	return nil
}

// measureDrift changes keys in the near datacenter, as a person would by mistake, and has
// the link find and repair that.
func (m mirror) measureDrift(b *bench, s *setup) error {
	if err := m.ready(b, s); err != nil {
		return err
	}
	const planted = 100
	if _, err := s.verify(b, "verify"); err != nil {
		return err
	}
	step := m.keys / planted
	for n := range planted {
		method := [...]string{"PUT", "DELETE"}[n%2]
		if _, err := s.near()[0].call(b.ctx, method, m.key(n*step), []byte("planted")); err != nil {
			return err
		}
	}
	carried, start := s.carried(), time.Now()
	status, err := s.verify(b, "verify?repair")
	if err != nil {
		return err
	}
	took, cost := time.Since(start), s.carried()-carried
	for n := range planted {
		if _, err := m.same(b, s, n*step); err != nil {
			return err
		}
	}
	b.out.print(line{
		what: m.what + ": 100 differences repaired; WAN", got: fmt.Sprintf("%.2f s; %.0f kB", took.Seconds(), float64(cost)/1000),
		target: "one interval; 1 MB", consul: "never", note: fmt.Sprintf("of %d keys; %d repaired", m.keys, status.Repaired),
	})
	return nil
}

// same fails if a key has not the same value on both sides.
func (m mirror) same(b *bench, s *setup, n int) (value []byte, err error) {
	want, err := s.far()[0].call(b.ctx, "GET", m.key(n)+"?raw", nil)
	if err != nil {
		return nil, err
	}
	got, err := s.near()[0].call(b.ctx, "GET", m.key(n)+"?raw", nil)
	if err == nil && string(got) != string(want) {
		err = fmt.Errorf("%s differs: %.40q instead of %.40q", m.key(n), got, want)
	}
	return got, err
}

// millionSection is a link with many keys. It takes minutes, and 8 GB of memory.
func millionSection() section {
	m := ofMillion
	return section{name: "a link of a million keys, 80 ms", open: openWAN, rows: []row{
		{"first pass", m.measureFirstPass},
		{"change", m.measureChange},
		{"rate", m.measureRate},
		{"idle", m.measureIdle},
		{"drift", m.measureDrift},
		{"memory", m.measureMemory},
	}}
}

// lookPause is the time between two looks at the memory of a large server.
const lookPause = 4 * time.Second

// measureMemory has everything compared again, with nothing to write, so that what both
// leaders need beside the keys is the link's own.
func (m mirror) measureMemory(b *bench, s *setup) error {
	if err := m.ready(b, s); err != nil {
		return err
	}
	source, _, err := leader(b.ctx, s.far())
	if err != nil {
		return err
	}
	sink, _, err := leader(b.ctx, s.near())
	if err != nil {
		return err
	}
	both := []*agent{source, sink}
	var before, most [2]int64
	look := func(into *[2]int64) error {
		for i, a := range both {
			heap, err := a.heap(b)
			if err != nil {
				return err
			}
			into[i] = max(into[i], heap)
		}
		return nil
	}
	if err := look(&before); err != nil {
		return err
	}
	start := time.Now()
	if _, err := s.near()[0].call(b.ctx, "PUT", linkPath+"/resync", nil); err != nil {
		return err
	}
	begun, looked := false, time.Time{}
	err = untilWithin(b.ctx, passPatience, func() error {
		status, err := s.status(b)
		if err != nil {
			return err
		}
		if status.Total > 0 {
			begun = true
			if time.Since(looked) > lookPause { // it costs them a second of their time
				if err := look(&most); err != nil {
					return err
				}
				looked = time.Now()
			}
		}
		if !begun || status.Total > 0 {
			return fmt.Errorf("%d of %d keys were compared", status.Done, status.Total)
		}
		return nil
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	b.out.print(line{
		what: m.what + ": memory of a comparison",
		got:  fmt.Sprintf("%s; %s", megabytes(max(0, most[0]-before[0])), megabytes(max(0, most[1]-before[1]))), target: "64 MB",
		note: fmt.Sprintf("live heap of the leaders of source and destination above the %s and %s before; %.1f s with the measuring; RSS %s and %s",
			megabytes(before[0]), megabytes(before[1]), took.Seconds(), megabytes(residentOf(source.pid())), megabytes(residentOf(sink.pid()))),
	})
	return nil
}

// heap is how much of the agent's memory is in use, after what is not has been collected.
func (a *agent) heap(b *bench) (int64, error) {
	if _, err := a.call(b.ctx, "GET", "/debug/pprof/heap?gc=1&debug=0", nil); err != nil {
		return 0, err
	}
	body, err := a.call(b.ctx, "GET", "/v1/agent/metrics", nil)
	if err != nil {
		return 0, err
	}
	var all struct {
		Gauges []struct {
			Name  string
			Value float64
		}
	}
	if err := json.Unmarshal(body, &all); err != nil {
		return 0, err
	}
	for _, g := range all.Gauges {
		if g.Name == "consul.runtime.alloc_bytes" {
			return int64(g.Value), nil
		}
	}
	return 0, fmt.Errorf("%s does not tell its memory", a.name)
}
