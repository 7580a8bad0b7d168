//go:build linux

package lab

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// Ports of every agent: those of the defaults and 10000, which nobody uses.
const (
	ServerPort = 18300
	LANPort    = 18301
	WANPort    = 18302
	HTTPPort   = 18500
	DNSPort    = 18600
)

// Federation is datacenters whose agents run in one place.
type Federation struct {
	place place
	dir   string
	dcs   []*DC
	// flags are given to every agent.
	flags []string
	// apart leaves the datacenters unjoined, until somebody joins them.
	apart bool
}

// place is where agents run.
type place interface {
	// address is the IP address of the nth agent, from 1.
	address(n int) string
	// launch starts an agent. It has not joined anything yet when launch returns.
	launch(n *Node, args []string) (running, error)
	// network is what connects the agents, nil if nothing can be done to it.
	network() *links
}

// running is an agent that was launched.
type running interface {
	// stop tells the agent to end and waits for it.
	stop() error
	// kill ends the agent without a word to anybody.
	kill()
	// end ends the agent when the test is over, as fast as that goes.
	end() error
	// freeze makes the agent stand still, or go on.
	freeze(bool) error
	// done is closed once the agent has ended.
	done() <-chan struct{}
}

// Option says what a federation is made of.
type Option func(t testing.TB, f *Federation)

// Servers adds n servers to a datacenter, named dc-s1 and so on.
func Servers(dc string, n int) Option {
	return func(_ testing.TB, f *Federation) { f.add(dc, n, true) }
}

// Clients adds n client agents to a datacenter, named dc-c1 and so on.
func Clients(dc string, n int) Option {
	return func(_ testing.TB, f *Federation) { f.add(dc, n, false) }
}

// Flags gives every agent further flags.
func Flags(flags ...string) Option {
	return func(_ testing.TB, f *Federation) { f.flags = append(f.flags, flags...) }
}

// QuickGossip finds failed members within a second or two, in both pools.
func QuickGossip() Option {
	const quick = `{ probe_interval = "150ms" probe_timeout = "100ms" suspicion_mult = 3 gossip_interval = "50ms" }`
	return Flags("-hcl", "gossip_lan "+quick, "-hcl", "gossip_wan "+quick)
}

// Apart leaves it to the test to join the datacenters.
func Apart() Option { return func(_ testing.TB, f *Federation) { f.apart = true } }

// Steady has servers wait five times as long until they elect another leader: a pause of a
// loaded machine is then no reason to. It is for tests that make requests once which a
// change of leaders would fail, and for many servers in the process of a test, which have
// little of a busy machine each and would elect again and again.
func Steady() Option { return Flags("-hcl", "performance { raft_multiplier = 5 }") }

// New lays out a federation, of which nothing runs yet.
func New(t testing.TB, options ...Option) *Federation {
	t.Helper()
	f := &Federation{dir: t.TempDir()}
	for _, o := range options {
		o(t, f)
	}
	if f.place == nil {
		f.place = newInProcess(t)
	}
	next := 1
	for _, n := range f.Nodes() {
		n.IP = f.place.address(next)
		n.client = newHTTPClient(t, n)
		next++
	}
	t.Cleanup(func() { f.end(t) })
	return f
}

// Start runs a federation, and returns when it is whole: see [Federation.WaitWhole].
func Start(t testing.TB, options ...Option) *Federation {
	t.Helper()
	f := New(t, options...)
	f.Launch(t)
	f.WaitWhole(t)
	return f
}

func (f *Federation) add(name string, n int, server bool) {
	i := slices.IndexFunc(f.dcs, func(d *DC) bool { return d.Name == name })
	if i < 0 {
		i = len(f.dcs)
		f.dcs = append(f.dcs, &DC{Name: name, fed: f})
	}
	dc, letter := f.dcs[i], "c"
	if server {
		letter = "s"
	}
	for k := range n {
		dc.Nodes = append(dc.Nodes, &Node{Name: fmt.Sprintf("%s-%s%d", name, letter, k+1), DC: dc, Server: server})
	}
}

// DC finds a datacenter by its name.
func (f *Federation) DC(name string) *DC {
	for _, dc := range f.dcs {
		if dc.Name == name {
			return dc
		}
	}
	panic("lab: there is no datacenter " + name)
}

// Nodes are all agents.
func (f *Federation) Nodes() []*Node {
	var all []*Node
	for _, dc := range f.dcs {
		all = append(all, dc.Nodes...)
	}
	return all
}

// Node finds an agent by its name.
func (f *Federation) Node(name string) *Node {
	for _, n := range f.Nodes() {
		if n.Name == name {
			return n
		}
	}
	panic("lab: there is no node " + name)
}

// Launch starts all agents that do not run.
func (f *Federation) Launch(t testing.TB) {
	t.Helper()
	for _, n := range f.Nodes() {
		if !n.Running() {
			n.Start(t)
		}
	}
}

// WaitWhole returns once every datacenter has a leader, every agent sees all members of
// its own, and every agent gets answers from all datacenters that are to be joined.
func (f *Federation) WaitWhole(t testing.TB) {
	t.Helper()
	for _, dc := range f.dcs {
		dc.WaitWhole(t)
	}
	if f.apart {
		return
	}
	for _, n := range f.Nodes() {
		for _, dc := range f.dcs {
			n.WaitReaches(t, dc.Name)
		}
	}
}

// end stops what still runs, and looks for what must not be found in a log.
func (f *Federation) end(t testing.TB) {
	if l := f.place.network(); l != nil {
		l.healAll()
	}
	nodes := f.Nodes()
	errs := make([]error, len(nodes))
	var ending sync.WaitGroup
	for i, n := range nodes {
		ending.Go(func() {
			if agent := n.take(); agent != nil {
				errs[i] = agent.end()
			}
			n.client.CloseIdleConnections()
			errs[i] = errors.Join(errs[i], n.checkLog())
		})
	}
	ending.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		for _, n := range f.Nodes() {
			t.Logf("last words of %s (%s):\n%s", n.Name, n.IP, n.tail())
		}
	}
}

// Cut drops everything between two places: datacenters or nodes, by their names.
func (f *Federation) Cut(t testing.TB, a, b string) {
	t.Helper()
	f.CutOneWay(t, a, b)
	f.CutOneWay(t, b, a)
}

// CutOneWay drops what one place sends to the other.
func (f *Federation) CutOneWay(t testing.TB, from, to string) {
	t.Helper()
	f.edit(t, from, to, func(r *rule) { r.cut = true })
}

// Heal undoes Cut, Delay and Lose between two places.
func (f *Federation) Heal(t testing.TB, a, b string) {
	t.Helper()
	f.edit(t, a, b, func(r *rule) { *r = rule{} })
	f.edit(t, b, a, func(r *rule) { *r = rule{} })
}

// edit changes the rule of every way from one place to the other.
func (f *Federation) edit(t testing.TB, from, to string, change func(*rule)) {
	t.Helper()
	l := f.place.network()
	if l == nil {
		t.Fatal("lab: nothing can be done to the network of agents that run as plain processes")
	}
	for _, a := range f.at(from) {
		for _, b := range f.at(to) {
			if a != b {
				l.edit(a.IP, b.IP, change)
			}
		}
	}
}

// at are the agents of a datacenter, or the one agent with that name.
func (f *Federation) at(place string) []*Node {
	for _, dc := range f.dcs {
		if dc.Name == place {
			return dc.Nodes
		}
	}
	return []*Node{f.Node(place)}
}
