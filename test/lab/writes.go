//go:build linux

package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// folders are below a prefix that [Prefix.Write] writes to. One of them is little enough
	// to be deleted as a whole without being held for a mishap.
	folders = 20
	// writers write at the same time.
	writers = 8
	// perTxn is how many operations a transaction may have, and bytesPerTxn how many bytes its
	// values together.
	perTxn, bytesPerTxn = 64, 300_000
	// writeWithin is how long a client waits for an answer to a write before it turns to
	// another agent.
	writeWithin = 3 * time.Second
)

// keyOf names the nth key below a prefix. Some names are none that one would choose.
func keyOf(n int) string {
	key := fmt.Sprintf("%02d/%d", n%folders, n)
	if n%10 == 0 {
		key += " é%+&?"
	}
	return key
}

// Fill writes n keys with values of size bytes below the prefix, in transactions.
func (p Prefix) Fill(t testing.TB, n, size int) {
	t.Helper()
	step := max(1, min(perTxn, bytesPerTxn/max(1, size)))
	for from := 0; from < n; from += step {
		var ops api.TxnOps
		for k := from; k < min(n, from+step); k++ {
			ops = append(ops, p.set(k, size))
		}
		body, err := json.Marshal(ops)
		if err != nil {
			t.Fatal(err)
		}
		Until(t, fmt.Sprintf("fill %q in %s", p.Path, p.DC.Name), func() error {
			_, err := p.DC.do(http.MethodPut, "/v1/txn", string(body))
			return err
		})
	}
}

// set is an operation that gives the nth key a value of so many random bytes.
func (p Prefix) set(n, size int) *api.TxnOp {
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	return &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVSet, Key: p.Path + keyOf(n), Value: value, Flags: rand.Uint64()}}
}

// Writes is clients that go on changing keys.
type Writes struct {
	in     Prefix
	keys   int
	cancel context.CancelFunc
	done   sync.WaitGroup
	acked  atomic.Int64
	failed atomic.Int64
}

// Write begins to change n keys below the prefix, so many times a second at most, until
// [Writes.Stop]: with sets for the most part, deletes, transactions of both, and now and
// then a delete of a whole folder. Clients turn to any agent of the datacenter that runs.
func (p Prefix) Write(t testing.TB, n, perSecond int) *Writes {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Writes{in: p, keys: n, cancel: cancel}
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	for range writers {
		w.done.Go(func() {
			for {
				select {
				case <-tick.C:
					w.write()
				case <-ctx.Done():
					return
				}
			}
		})
	}
	t.Cleanup(func() {
		w.end()
		tick.Stop()
	})
	return w
}

func (w *Writes) end() {
	w.cancel()
	w.done.Wait()
}

// Stop ends the writing, and tells how many writes were acknowledged.
func (w *Writes) Stop(t testing.TB) int {
	t.Helper()
	w.end()
	acked := w.acked.Load()
	t.Logf("%d writes to %q in %s were acknowledged, %d were not", acked, w.in.Path, w.in.DC.Name, w.failed.Load())
	return int(acked)
}

// Failed is how many writes were not acknowledged until now.
func (w *Writes) Failed() int { return int(w.failed.Load()) }

// WaitAcked returns once so many more writes have been acknowledged.
func (w *Writes) WaitAcked(t testing.TB, more int) {
	t.Helper()
	want := w.acked.Load() + int64(more)
	Until(t, fmt.Sprintf("%d more writes to %q in %s", more, w.in.Path, w.in.DC.Name), func() error {
		if acked := w.acked.Load(); acked < want {
			return fmt.Errorf("%d are missing", want-acked)
		}
		return nil
	})
}

// write makes one change. It is not broken off at the end: what was sent would change
// something later.
func (w *Writes) write() {
	method, path, body := w.change()
	agents := w.in.DC.Running()
	err := errors.New("no agent runs")
	if len(agents) > 0 {
		within := writeWithin
		if len(agents) == 1 {
			within = patience // a disk may well be busy for so long
		}
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		var a *Answer
		if a, err = agents[rand.IntN(len(agents))].Do(ctx, method, path, body); err == nil {
			err = a.Err()
		}
	}
	if err != nil {
		w.failed.Add(1)
		return
	}
	w.acked.Add(1)
}

// change is a request that changes something.
func (w *Writes) change() (method, path, body string) {
	n := rand.IntN(w.keys)
	switch dice := rand.IntN(200); {
	case dice == 0:
		return http.MethodDelete, w.in.path(fmt.Sprintf("%02d/", n%folders)) + "?recurse", ""
	case dice < 20:
		return http.MethodDelete, w.in.path(keyOf(n)), ""
	case dice < 40:
		var ops api.TxnOps
		for range 2 + rand.IntN(20) {
			op := w.in.set(rand.IntN(w.keys), rand.IntN(100))
			if rand.IntN(5) == 0 {
				op.KV = &api.KVTxnOp{Verb: api.KVDelete, Key: op.KV.Key}
			}
			ops = append(ops, op)
		}
		text, err := json.Marshal(ops)
		if err != nil {
			panic(err) // they are ours
		}
		return http.MethodPut, "/v1/txn", string(text)
	}
	set := w.in.set(n, rand.IntN(300)).KV
	return http.MethodPut, w.in.put(keyOf(n), Pair{Flags: set.Flags}), string(set.Value)
}
