//go:build linux

package fault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/test/lab"
)

const (
	// never is the end of an operation of unknown outcome.
	never = math.MaxInt64
	// answerWithin is how long a client of the workload waits for an answer.
	answerWithin = 3 * time.Second
	// pace is the pause of a client between two requests.
	pace = 4 * time.Millisecond
	// perKey is how many operations a key gets before the next one comes: short
	// histories are quickly judged.
	perKey = 120
)

// workload is clients that write, read and compare-and-set keys, each at an agent of its
// own while that runs, and remember what they were told.
type workload struct {
	nodes  []*lab.Node
	dc     string // to write in, "" for that of the nodes
	prefix string // of the keys, which no other workload uses
	start  time.Time
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu      sync.Mutex
	count   int
	history []porcupine.Operation
	acked   []time.Duration   // when writes were acknowledged, by the workload's clock
	keys    map[string]bool   // that were used
	indexes map[string]uint64 // ModifyIndex by value
	wrong   []error
	errors  map[string]int // by reason or text
}

// workloads counts those that were begun.
var workloads atomic.Int64

// begin lets clients work until [workload.check].
func begin(t *testing.T, clients int, nodes ...*lab.Node) *workload {
	return beginIn(t, "", clients, nodes...)
}

// beginIn is begin for the keys of another datacenter than that of the nodes.
func beginIn(t *testing.T, dc string, clients int, nodes ...*lab.Node) *workload {
	ctx, cancel := context.WithCancel(context.Background())
	w := &workload{nodes: nodes, dc: dc, prefix: fmt.Sprintf("fault-%d", workloads.Add(1)), start: time.Now(), cancel: cancel, keys: map[string]bool{}, indexes: map[string]uint64{}, errors: map[string]int{}}
	t.Cleanup(w.end)
	for c := range clients {
		w.done.Go(func() { w.client(ctx, c) })
	}
	return w
}

func (w *workload) end() {
	w.cancel()
	w.done.Wait()
}

func (w *workload) client(ctx context.Context, id int) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		node := w.nodes[id%len(w.nodes)]
		if !node.Running() {
			node = w.nodes[rand.IntN(len(w.nodes))]
		}
		key, value := w.nextKey(), fmt.Sprintf("%d-%d", id, n)
		switch dice := rand.IntN(10); {
		case dice < 4:
			w.get(node, key, dice%2 == 0)
		case dice < 7:
			w.write(node, input{kind: put, key: key, value: value}, 0)
		case dice < 9:
			if old, index, ok := w.get(node, key, false); ok {
				w.write(node, input{kind: cas, key: key, value: value, old: old}, index)
			}
		default:
			w.write(node, input{kind: del, key: key}, 0)
		}
	}
}

// nextKey is one of three keys, which are others after some time.
func (w *workload) nextKey() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count++
	key := fmt.Sprintf("%s/%d-%d", w.prefix, w.count/(3*perKey), rand.IntN(3))
	w.keys[key] = true
	return key
}

func (w *workload) now() int64 { return int64(time.Since(w.start)) }

func (w *workload) note(from, to int64, in input, out output) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = append(w.history, porcupine.Operation{Input: in, Output: out, Call: from, Return: to})
	if in.kind != get && !out.unknown {
		w.acked = append(w.acked, time.Duration(to))
	}
}

// path is that of a key. Reads are default ones or consistent ones, which promise the same.
func (w *workload) path(key, query string) string {
	path := "/v1/kv/" + key + "?" + query
	if w.dc != "" {
		path += "&dc=" + w.dc
	}
	return path
}

// get reads a key and tells its ModifyIndex, 0 if it does not exist.
func (w *workload) get(node *lab.Node, key string, consistent bool) (value string, index uint64, ok bool) {
	query := ""
	if consistent {
		query = "consistent"
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	from := w.now()
	a, err := node.Do(ctx, http.MethodGet, w.path(key, query), "")
	if err == nil {
		err = a.Err()
	}
	if err != nil {
		w.failed(a, err)
		return "", 0, false
	}
	if a.Status == http.StatusOK {
		var pairs api.KVPairs
		if err := json.Unmarshal(a.Body, &pairs); err != nil || len(pairs) != 1 {
			w.complain(fmt.Errorf("answer to a read of %s at %s: %q (%v)", key, node.Name, a.Body, err))
			return "", 0, false
		}
		value, index = string(pairs[0].Value), pairs[0].ModifyIndex
	}
	w.note(from, w.now(), input{kind: get, key: key}, output{value: value})
	w.sameIndex(node, key, value, index, a.Index())
	return value, index, true
}

// sameIndex checks that a value was always read with the one index it was written at.
func (w *workload) sameIndex(node *lab.Node, key, value string, index, header uint64) {
	if header == 0 {
		w.complain(fmt.Errorf("a read of %s at %s has index 0", key, node.Name))
	}
	if index == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if before, seen := w.indexes[key+"="+value]; seen && before != index {
		w.wrong = append(w.wrong, fmt.Errorf("%s=%s was read with ModifyIndex %d and %d", key, value, before, index))
	}
	w.indexes[key+"="+value] = index
}

func (w *workload) write(node *lab.Node, in input, index uint64) {
	method, query := http.MethodPut, ""
	switch in.kind {
	case cas:
		query = "cas=" + strconv.FormatUint(index, 10)
	case del:
		method = http.MethodDelete
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	from := w.now()
	a, err := node.Do(ctx, method, w.path(in.key, query), in.value)
	switch {
	case err != nil && errors.Is(err, syscall.ECONNREFUSED):
		w.failed(nil, err)
	case err != nil:
		w.failed(nil, err)
		w.note(from, never, in, output{unknown: true})
	case a.Err() != nil:
		w.failed(a, a.Err())
		if mayHaveHappened(a) {
			w.note(from, never, in, output{unknown: true})
		}
	default:
		w.note(from, w.now(), in, output{done: string(a.Body) == "true"})
	}
}

// mayHaveHappened tells whether an error leaves it open what became of the write.
func mayHaveHappened(a *lab.Answer) bool {
	switch rpc.Reason(a.Reason()) {
	case rpc.ReasonNoLeader, rpc.ReasonNoRemoteLeader, rpc.ReasonNotReady, rpc.ReasonNoServers, rpc.ReasonNoLiveServer,
		rpc.ReasonUnknownDC, rpc.ReasonBreakerOpen, rpc.ReasonOverloaded:
		return false
	}
	return true
}

func (w *workload) failed(a *lab.Answer, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what := "no answer"
	if errors.Is(err, syscall.ECONNREFUSED) {
		what = "connection refused"
	}
	if a != nil {
		if what = a.Reason(); what == "" {
			w.wrong = append(w.wrong, fmt.Errorf("an error without a reason: %w", err))
		}
	}
	w.errors[what]++
}

func (w *workload) complain(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, err)
}

// waitAcked returns once so many more writes have been acknowledged.
func (w *workload) waitAcked(t *testing.T, more int) {
	t.Helper()
	acked := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.acked)
	}
	want := acked() + more
	lab.Until(t, fmt.Sprintf("%d more writes are acknowledged", more), func() error {
		if n := acked(); n < want {
			return fmt.Errorf("%d are missing", want-n)
		}
		return nil
	})
}

// waitErrors returns once so many more operations have failed.
func (w *workload) waitErrors(t *testing.T, more int) {
	t.Helper()
	failed := func() (n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, count := range w.errors {
			n += count
		}
		return n
	}
	want := failed() + more
	lab.Until(t, fmt.Sprintf("%d more operations fail", more), func() error {
		if n := failed(); n < want {
			return fmt.Errorf("%d are missing", want-n)
		}
		return nil
	})
}

// check ends the work and judges it. Everything must run and be healed.
func (w *workload) check(t *testing.T) {
	t.Helper()
	w.end()
	for key := range w.keys {
		for _, n := range w.nodes {
			lab.Until(t, "a last read of "+key+" at "+n.Name, func() error {
				if _, _, ok := w.get(n, key, false); !ok {
					return errors.New("there was no answer")
				}
				return nil
			})
		}
	}
	judge(t, w.history)
	for i, err := range w.wrong {
		if i == 5 {
			t.Errorf("and %d more", len(w.wrong)-i)
			break
		}
		t.Error(err)
	}
	t.Logf("%d operations, %d writes acknowledged, longest gap between two %v, errors %v",
		len(w.history), len(w.acked), w.longestGap().Round(time.Millisecond), w.errors)
}

func (w *workload) longestGap() time.Duration {
	slices.Sort(w.acked)
	var longest time.Duration
	for i := range w.acked[1:] {
		longest = max(longest, w.acked[i+1]-w.acked[i])
	}
	return longest
}
