package federation

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hanse-project/hanse/forwarder"
)

// order is how the servers of a datacenter are tried.
type order struct {
	// turns hold all servers, each with another one of the nearest in front.
	turns [][]forwarder.Server
	next  atomic.Uint32
	// until is when the order must be looked at again, zero if no time is set.
	until time.Time
	// rtt is the median round trip, 0 if it is not known.
	rtt time.Duration
}

// Servers implements [forwarder.Picker].
func (f *Federation) Servers(dc string) ([]forwarder.Server, bool) {
	o := (*f.orders.Load())[dc]
	if o != nil && !o.until.IsZero() && time.Now().After(o.until) {
		f.mu.Lock()
		f.arrangeLocked(dc)
		f.mu.Unlock()
		o = (*f.orders.Load())[dc]
	}
	if o == nil {
		return nil, false
	}
	return o.turns[int(o.next.Add(1))%len(o.turns)], true
}

// candidate is a member with its place in the order.
type candidate struct {
	*member
	// back is 0 for a server that is well, 1 for one whose connections failed a moment
	// ago, 2 for one that gossip does not reach either.
	back int
	rtt  time.Duration
}

// arrangeLocked puts the servers of dc in order. f.mu is held.
func (f *Federation) arrangeLocked(dc string) {
	orders := maps.Clone(*f.orders.Load())
	defer f.orders.Store(&orders)
	members := f.dcs[dc]
	if len(members) == 0 {
		delete(orders, dc)
		f.metrics.drop(dc)
		return
	}
	o := new(order)
	if old := orders[dc]; old != nil {
		o.next.Store(old.next.Load())
	}
	now := time.Now()
	candidates := make([]candidate, 0, len(members))
	var distances []time.Duration
	alive := 0
	for _, m := range members {
		c := candidate{member: m}
		if rtt, ok := f.distance(m); ok {
			c.rtt = rtt
			distances = append(distances, rtt)
		}
		if again := m.failedAt.Add(retryAfter); !m.failedAt.IsZero() && now.Before(again) {
			c.back = 1
			if o.until.IsZero() || again.Before(o.until) {
				o.until = again
			}
		}
		if m.gone {
			c.back++
		} else {
			alive++
		}
		candidates = append(candidates, c)
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.back, b.back), cmp.Compare(a.rtt, b.rtt), cmp.Compare(a.Name, b.Name))
	})
	o.rtt = median(distances)
	o.turns = turns(candidates)
	orders[dc] = o
	f.metrics.set(dc, alive, len(members)-alive, o.rtt)
}

// near is the number of candidates at the front that are about equally near: within
// twice the least distance, and 2 ms in any case. Candidates whose distance is not
// known count as near, and so come to be measured.
func near(candidates []candidate) int {
	first := candidates[0]
	for _, c := range candidates {
		if c.rtt > 0 {
			first.rtt = c.rtt
			break
		}
	}
	limit := 2*first.rtt + 2*time.Millisecond
	n := slices.IndexFunc(candidates, func(c candidate) bool { return c.back != first.back || c.rtt > limit })
	if n < 0 {
		return len(candidates)
	}
	return n
}

// turns are the orders in which the candidates are tried, one after the other.
func turns(candidates []candidate) [][]forwarder.Server {
	all := make([]forwarder.Server, len(candidates))
	for i, c := range candidates {
		all[i] = forwarder.Server{Name: c.Name, Addr: c.Addr}
	}
	n := near(candidates)
	result := make([][]forwarder.Server, n)
	for i := range result {
		result[i] = slices.Concat(all[i:n], all[:i], all[n:])
	}
	return result
}

func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[len(d)/2]
}
