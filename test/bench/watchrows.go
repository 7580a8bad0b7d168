package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// watchers is how many blocking queries wait at once.
const watchers = 1000

// crowd is a thousand connections that each wait for a key to change.
type crowd struct {
	conns []*conn
}

func newCrowd(addr string) (*crowd, error) {
	c := &crowd{}
	for range watchers {
		conn, err := dial(addr)
		if err != nil {
			c.close()
			return nil, err
		}
		c.conns = append(c.conns, conn)
	}
	return c, nil
}

func (c *crowd) close() {
	for _, conn := range c.conns {
		conn.Close()
	}
}

// settled is how long servers get to take up a thousand questions.
const settled = 500 * time.Millisecond

// watchRow has all of them wait for one key, and measures from before the write to the
// last answer.
type watchRow struct{ what, target, consul, path string }

func (r watchRow) run(b *bench, s *setup) error {
	at, _, err := leader(b.ctx, s.agents)
	if err != nil {
		return err
	}
	return r.measure(b, at, s.agents)
}

func (r watchRow) measure(b *bench, at *agent, servers []*agent) error {
	c, err := newCrowd(at.http)
	if err != nil {
		return err
	}
	defer c.close()
	writer, err := dial(at.http)
	if err != nil {
		return err
	}
	defer writer.Close()
	put := appendPut(nil, r.path, value)
	if _, _, err := writer.do(put); err != nil {
		return err
	}
	_, index, err := writer.do(appendGet(nil, r.path))
	if err != nil {
		return err
	}
	cpu := cpuOf(servers)
	var took []time.Duration
	for range max(4*b.repeat, 5) {
		errs := make([]error, watchers)
		indexes := make([]uint64, watchers)
		var done sync.WaitGroup
		get := appendGet(nil, r.path+"?wait=60s&index="+strconv.FormatUint(index, 10))
		for i, conn := range c.conns {
			done.Go(func() { _, indexes[i], errs[i] = conn.do(get) })
		}
		time.Sleep(settled)
		start := time.Now()
		if _, _, err := writer.do(put); err != nil {
			return err
		}
		done.Wait()
		took = append(took, time.Since(start))
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if slices.Min(indexes) != slices.Max(indexes) {
			return fmt.Errorf("watchers of one write saw indexes %d to %d", slices.Min(indexes), slices.Max(indexes))
		}
		index = indexes[0]
	}
	rounds := time.Duration(len(took))
	slices.Sort(took)
	b.out.print(line{
		what: r.what, got: millis(took[len(took)/2]), target: r.target, consul: r.consul,
		note: fmt.Sprintf("%d rounds, slowest %s; servers %s per watcher", rounds, millis(took[len(took)-1]), micros((cpuOf(servers)-cpu)/rounds/watchers)),
	})
	return nil
}

// watchManyKeys has each wait for a key of its own, writes to some keys, and counts
// the answers nobody waited for.
func watchManyKeys(b *bench, s *setup) error {
	at, _, err := leader(b.ctx, s.agents)
	if err != nil {
		return err
	}
	if err := b.fill(at, "bench/watch/many/", watchers); err != nil {
		return err
	}
	c, err := newCrowd(at.http)
	if err != nil {
		return err
	}
	defer c.close()
	path := func(i int) string { return "/v1/kv/bench/watch/many/" + strconv.Itoa(i) }
	written := watchers / 4
	answered := make([]atomic.Int64, watchers)
	var waiting, woken sync.WaitGroup
	woken.Add(written)
	for i, conn := range c.conns {
		_, index, err := conn.do(appendGet(nil, path(i)))
		if err != nil {
			return err
		}
		get := appendGet(nil, path(i)+"?wait=60s&index="+strconv.FormatUint(index, 10))
		waiting.Go(func() {
			for { // until the connection is closed under it
				_, next, err := conn.do(get)
				if err != nil {
					return
				}
				if answered[i].Add(1) == 1 && i < written {
					woken.Done()
				}
				get = appendGet(nil, path(i)+"?wait=60s&index="+strconv.FormatUint(next, 10))
			}
		})
	}
	time.Sleep(settled)
	for i := range written {
		if _, err := at.call(b.ctx, "PUT", path(i), value); err != nil {
			return err
		}
	}
	woken.Wait()
	time.Sleep(settled)
	c.close()
	waiting.Wait()
	spurious := int64(0)
	for i := range answered {
		expected := int64(0)
		if i < written {
			expected = 1
		}
		spurious += answered[i].Load() - expected
	}
	b.out.print(line{
		what: "1,000 watchers, 1,000 keys: spurious wakes", got: strconv.FormatInt(spurious, 10), target: "0", consul: "0",
		note: fmt.Sprintf("%d keys were written", written),
	})
	return nil
}
