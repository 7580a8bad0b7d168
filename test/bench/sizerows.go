package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"syscall"
	"time"
)

func sizeSection() section {
	return section{name: "a full datacenter", rows: []row{{"size", measureSize}}}
}

// The full datacenter.
const (
	manyKeys      = 100_000
	manyNodes     = 100
	perNode       = 50
	fillers       = 8 // connections that fill it
	keysPerFiller = manyKeys / fillers
)

// measureSize fills three servers, looks at the leader's memory, and starts all three
// again.
func measureSize(b *bench, _ *setup) error {
	s := &setup{}
	defer s.close()
	servers, err := b.datacenter(s, "bench", 3, nil)
	if err != nil {
		return err
	}
	first, others, err := leader(b.ctx, servers)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := b.fillAll(first); err != nil {
		return err
	}
	filled := time.Since(start)
	full := residentOf(first.pid())
	time.Sleep(b.span)
	rested := residentOf(first.pid())
	follower := residentOf(others[0].pid())
	for _, a := range servers {
		a.end(syscall.SIGKILL)
	}
	start = time.Now()
	for _, a := range servers {
		if err := a.start(); err != nil {
			return err
		}
	}
	key := fmt.Sprintf("/v1/kv/bench/full/0/%d?consistent", keysPerFiller-1)
	for _, a := range servers {
		if err := until(b.ctx, func() error { _, err := a.call(b.ctx, "GET", key, nil); return err }); err != nil {
			return fmt.Errorf("after the restart: %w", err)
		}
	}
	b.out.print(line{
		what: "100k keys, 5k instances: RSS; restart", got: fmt.Sprintf("%s; %.2f s", megabytes(rested), time.Since(start).Seconds()),
		target: "160 MB; 2 s", consul: "326 to 528 MB; 4.7 s",
		note: fmt.Sprintf("filled in %.0f s, then %s; a follower %s; the leader after the restart %s",
			filled.Seconds(), megabytes(full), megabytes(follower), megabytes(residentOf(first.pid()))),
	})
	return nil
}

func (b *bench) fillAll(a *agent) error {
	errs := make([]error, fillers)
	var wg sync.WaitGroup
	for i := range fillers {
		wg.Go(func() {
			if errs[i] = b.fill(a, fmt.Sprintf("bench/full/%d/", i), keysPerFiller); errs[i] != nil {
				return
			}
			for node := i; node < manyNodes && errs[i] == nil; node += fillers {
				errs[i] = b.registerNode(a, node)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// registerNode puts a node with its instances and a check for each into the catalog.
func (b *bench) registerNode(a *agent, node int) error {
	name := fmt.Sprintf("machine-%03d", node)
	for n := range perNode {
		id := fmt.Sprintf("service-%02d-%03d", n, node)
		body, err := json.Marshal(map[string]any{
			"Node": name, "Address": fmt.Sprintf("10.0.%d.%d", node/250, node%250+1),
			"Service": map[string]any{
				"ID": id, "Service": fmt.Sprintf("service-%02d", n), "Port": 8000 + n,
				"Tags": []string{"v1", "primary"}, "Meta": map[string]string{"version": "1.2.3"},
			},
			"Check": map[string]any{"CheckID": "service:" + id, "Name": "http", "ServiceID": id, "Status": "passing"},
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
