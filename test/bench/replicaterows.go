package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const (
	// mirrorPrefix and mirrorSize are the keys that the daemon copies.
	mirrorPrefix = "bench/mirror/"
	mirrorSize   = 10_000

	// mirrorChanges is how many changes are made, one after the other, per second of a
	// row's span.
	mirrorChanges = 10
)

// measureReplicate copies a prefix of the far datacenter with hanse replicate, and then
// changes one key after the other.
func measureReplicate(b *bench, s *setup) error {
	near, far := s.agents[0], s.agents[3]
	if err := b.fill(far, mirrorPrefix, mirrorSize); err != nil {
		return err
	}
	d := &agent{name: "replicate", dir: filepath.Join(b.dir, "replicate"), bin: b.bin,
		args: []string{"replicate", "-http-addr", near.http, "-prefix", mirrorPrefix + "@" + far.datacenter}}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	carried, start := s.carried(), time.Now()
	if err := d.start(); err != nil {
		return err
	}
	defer d.end(syscall.SIGKILL)
	last := mirrorPrefix + strconv.Itoa(mirrorSize-1) // in the order in which keys are copied, too
	if err := until(b.ctx, func() error { _, err := near.call(b.ctx, "GET", "/v1/kv/"+last, nil); return err }); err != nil {
		return fmt.Errorf("the first pass: %w", err)
	}
	b.out.print(line{
		what:   "replicate: first pass of 10,000 keys; WAN",
		got:    fmt.Sprintf("%.2f s; %.1f MB", time.Since(start).Seconds(), float64(s.carried()-carried)/1e6),
		target: "1 s; 3.2 MB", consul: "16.4 s; 3.6 MB", note: "consul-replicate there; from the start of the process",
	})
	return measureLag(b, s, near, far)
}

// measureLag changes keys in the far datacenter, and waits for each to arrive.
func measureLag(b *bench, s *setup, near, far *agent) error {
	key := "/v1/kv/" + mirrorPrefix + "7"
	change := func(n int) (time.Duration, error) {
		value := "change " + strconv.Itoa(n)
		if _, err := far.call(b.ctx, "PUT", key, []byte(value)); err != nil {
			return 0, err
		}
		written := time.Now()
		err := until(b.ctx, func() error {
			got, err := near.call(b.ctx, "GET", key+"?raw&stale", nil)
			if err == nil && string(got) != value {
				err = fmt.Errorf("it is %q", got)
			}
			return err
		})
		return time.Since(written), err
	}
	if _, err := change(-1); err != nil { // the daemon follows once this is there
		return err
	}
	idle, start := s.carried(), time.Now()
	time.Sleep(b.span)
	background := float64(s.carried()-idle) / time.Since(start).Seconds()
	var took []time.Duration
	carried, start := s.carried(), time.Now()
	for n := range int(b.span.Seconds() * mirrorChanges) {
		lag, err := change(n)
		if err != nil {
			return fmt.Errorf("change %d: %w", n, err)
		}
		took = append(took, lag)
		time.Sleep(20 * time.Millisecond) // the next question is on its way
	}
	each := (float64(s.carried()-carried) - background*time.Since(start).Seconds()) / float64(len(took))
	slices.Sort(took)
	r := result{latencies: took}
	b.out.print(line{
		what:   "replicate: lag of one change p50; p99; WAN",
		got:    fmt.Sprintf("%s; %s; %.1f kB", millis(r.at(0.5)), millis(r.at(0.99)), each/1000),
		target: "50 ms; 80 ms; 2 kB", consul: "1.49 s; 2.18 s; 3.6 MB",
		note: fmt.Sprintf("%d changes, one after the other; beside them the WAN carries %.1f kB/s", len(took), background/1000),
	})
	return nil
}
