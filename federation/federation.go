package federation

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-project/hanse/forwarder"
)

// Server is a server of some datacenter.
type Server struct {
	// Name is the node's name, without its datacenter.
	Name string
	// ID is the node's ID, "" if it has none.
	ID         string
	Datacenter string
	// Addr is host:port of its server port.
	Addr string
	// Build is the version it advertises.
	Build string
	// Feature says which calls of our own it answers; 0 is a Consul server.
	Feature int
}

// Config is what a [Federation] is made of.
type Config struct {
	// Datacenter is our own.
	Datacenter string
	// Distance estimates the round trip to a server that has not been measured yet,
	// from network coordinates. It may be nil.
	Distance func(Server) (rtt time.Duration, ok bool)
	// Registerer takes the metrics; it may be nil.
	Registerer prometheus.Registerer
}

// Federation is the map of all datacenters. It implements [forwarder.Picker].
type Federation struct {
	config  Config
	metrics *metrics

	// orders are by datacenter. The map and what it holds are replaced, not changed.
	orders atomic.Pointer[map[string]*order]

	mu  sync.Mutex
	dcs map[string]map[string]*member // by datacenter and name
}

// member is what is known of a server.
type member struct {
	Server
	// gone says that gossip holds the server for failed.
	gone bool
	// rtt is the smoothed round trip, 0 before the first measurement.
	rtt time.Duration
	// failedAt is when a connection to it last failed, zero if it has answered since.
	failedAt time.Time
	lastErr  error
}

// retryAfter is how long a server stays at the back after a failure.
const retryAfter = 5 * time.Second

// New makes a Federation without members.
func New(c Config) *Federation {
	f := &Federation{config: c, metrics: newMetrics(c.Registerer), dcs: make(map[string]map[string]*member)}
	f.orders.Store(new(map[string]*order{}))
	return f
}

// Joined notes that gossip holds s for alive, or that something about it has changed.
func (f *Federation) Joined(s Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	members := f.dcs[s.Datacenter]
	if members == nil {
		members = make(map[string]*member)
		f.dcs[s.Datacenter] = members
	}
	m := members[s.Name]
	if m == nil || m.Addr != s.Addr || m.gone {
		m = new(member{}) // what was measured before does not count any more
		members[s.Name] = m
	}
	m.Server = s
	f.arrangeLocked(s.Datacenter)
}

// MemberFailed notes that gossip does not reach a server.
func (f *Federation) MemberFailed(dc, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.dcs[dc][name]; m != nil {
		m.gone = true
		f.arrangeLocked(dc)
	}
}

// Left notes that a server has left or was given up.
func (f *Federation) Left(dc, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	members := f.dcs[dc]
	if members[name] == nil {
		return
	}
	if delete(members, name); len(members) == 0 {
		delete(f.dcs, dc)
	}
	f.arrangeLocked(dc)
}

// Failed implements [forwarder.Picker].
func (f *Federation) Failed(dc, addr string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.findLocked(dc, addr); m != nil {
		m.failedAt, m.lastErr = time.Now(), err
		f.arrangeLocked(dc)
	}
}

// Answered implements [forwarder.Picker].
func (f *Federation) Answered(dc, addr string, rtt time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.findLocked(dc, addr)
	if m == nil {
		return
	}
	m.failedAt = time.Time{}
	if rtt > 0 {
		m.rtt = smooth(m.rtt, rtt)
	}
	f.arrangeLocked(dc)
}

// smooth lets a measurement count for a fifth, except that the first is taken whole.
func smooth(old, rtt time.Duration) time.Duration {
	if old == 0 {
		return rtt
	}
	return (4*old + rtt) / 5
}

func (f *Federation) findLocked(dc, addr string) *member {
	for _, m := range f.dcs[dc] {
		if m.Addr == addr {
			return m
		}
	}
	return nil
}

// distance is the round trip to m as far as it is known.
func (f *Federation) distance(m *member) (time.Duration, bool) {
	if m.rtt > 0 {
		return m.rtt, true
	}
	if f.config.Distance == nil {
		return 0, false
	}
	return f.config.Distance(m.Server)
}

// Datacenters are those that exist: our own first, then the nearest. Those whose
// distance is not known come last.
func (f *Federation) Datacenters() []string {
	orders := *f.orders.Load()
	names := slices.Collect(maps.Keys(orders))
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(
			compareBool(b == f.config.Datacenter, a == f.config.Datacenter),
			compareBool(orders[a].rtt == 0, orders[b].rtt == 0),
			cmp.Compare(orders[a].rtt, orders[b].rtt),
			cmp.Compare(a, b),
		)
	})
	return names
}

// compareBool sorts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Server finds a server by its datacenter and name.
func (f *Federation) Server(dc, name string) (Server, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.dcs[dc][name]
	if m == nil {
		return Server{}, false
	}
	return m.Server, true
}

var _ forwarder.Picker = (*Federation)(nil)
