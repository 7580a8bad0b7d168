package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// TestReplicateKilledBetweenAnyTwoSteps: two daemons run on one link while the source is written,
// and one of them is killed every moment and begun again: without locks, where both write at
// once, and with them. Then both sides are compared key by key.
func TestReplicateKilledBetweenAnyTwoSteps(t *testing.T) {
	source, sink := twoDCsOfShortSessions(t)
	source.fill(t, "config/", 4000)
	sink.put(t, "config/extra", "goes", 0)
	dice := rand.New(rand.NewPCG(1, 2))
	rounds := []struct {
		kills, longest int // milliseconds
		args           []string
	}{
		{30, 300, []string{"-lock=false", "-consul-retry-backoff", "10ms", "-consul-retry-max-backoff", "100ms"}},
		{6, 2500, []string{"-lock-ttl", "1s"}},
	}
	for _, round := range rounds {
		stop := source.scribble(t)
		begin := func() *process {
			return start(t, append([]string{"replicate", "-http-addr", sink.addr, "-prefix", feedLink, "-max-delete-fraction", "1", "-verify-interval", "500ms"}, round.args...)...)
		}
		both := [2]*process{begin(), begin()}
		for range round.kills {
			time.Sleep(time.Duration(dice.IntN(round.longest)) * time.Millisecond) // any moment is as good
			victim := &both[dice.IntN(2)]
			(*victim).signal(t, syscall.SIGKILL)
			(*victim).exit(t)
			*victim = begin()
		}
		both[0].signal(t, syscall.SIGKILL)
		both[0].exit(t)
		stop()
		await(t, "source and destination are equal", func() bool {
			return maps.Equal(source.contents(t, "config/"), sink.contents(t, "config/"))
		})
		both[1].signal(t, syscall.SIGTERM)
		if exit := both[1].exit(t); exit != 0 {
			t.Errorf("exit %d", exit)
		}
	}
	if exit, out := sink.replicateOnce(t, "-prefix", feedLink, "-dry-run"); exit != 0 || out != "" {
		t.Errorf("a last look finds differences: exit %d\n%s", exit, out)
	}
}

// scribble sets, deletes and makes keys until it is told to stop.
func (d *dc) scribble(t *testing.T) (stop func()) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		kv := d.client.KV()
		for i := 0; ; i++ {
			var ops api.KVTxnOps
			for j := range 5 {
				key := fmt.Sprintf("config/%05d", (i*37+j*811)%4500)
				ops = append(ops, &api.KVTxnOp{Verb: api.KVSet, Key: key, Value: fmt.Append(nil, i, j), Flags: uint64(i)})
			}
			ops = append(ops, &api.KVTxnOp{Verb: api.KVDelete, Key: fmt.Sprintf("config/%05d", i*53%4500)})
			if ok, answer, _, err := kv.Txn(ops, nil); err != nil || !ok {
				t.Error(err, answer)
				return
			}
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	stop = sync.OnceFunc(func() { close(done); <-ended })
	t.Cleanup(stop)
	return stop
}
