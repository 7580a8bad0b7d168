//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// DC is one datacenter.
type DC struct {
	Name string
	// Nodes are its servers, and then its client agents.
	Nodes []*Node
	fed   *Federation
}

// Servers are its servers, running or not.
func (d *DC) Servers() []*Node {
	return slices.DeleteFunc(slices.Clone(d.Nodes), func(n *Node) bool { return !n.Server })
}

// Running are its agents that run.
func (d *DC) Running() []*Node {
	return slices.DeleteFunc(slices.Clone(d.Nodes), func(n *Node) bool { return !n.Running() })
}

// Leader waits until a server is known to lead, and proves it by a consistent read.
func (d *DC) Leader(t testing.TB) *Node {
	t.Helper()
	return d.LeaderAmong(t, d.Nodes...)
}

// LeaderAmong is [DC.Leader] when only some of the servers count: those that run, are not
// frozen, and are on the right side of a cut.
func (d *DC) LeaderAmong(t testing.TB, among ...*Node) *Node {
	t.Helper()
	var leader *Node
	Until(t, d.Name+" has a leader", func() error {
		err := errors.New("no server runs")
		for _, n := range among {
			if !n.Server || !n.Running() {
				continue
			}
			if err = n.leads(); err == nil {
				leader = n
				return nil
			}
		}
		return err
	})
	return leader
}

func (n *Node) leads() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	a, err := n.Do(ctx, http.MethodGet, "/v1/status/leader", "")
	if err != nil {
		return err
	}
	if want := strconv.Quote(n.Addr(ServerPort)); string(a.Body) != want {
		return fmt.Errorf("for %s the leader is %s", n.Name, a.Body)
	}
	if a, err = n.Do(ctx, http.MethodGet, "/v1/kv/lab?consistent", ""); err != nil {
		return err
	}
	return a.Err()
}

// Followers are the running servers that do not lead.
func (d *DC) Followers(t testing.TB) []*Node {
	t.Helper()
	leader := d.Leader(t)
	return slices.DeleteFunc(d.Running(), func(n *Node) bool { return n == leader || !n.Server })
}

// KillLeader kills the leader and returns it.
func (d *DC) KillLeader(t testing.TB) *Node {
	t.Helper()
	leader := d.Leader(t)
	leader.Kill(t)
	return leader
}

// do asks the running agents one after the other, until one answers without an error.
func (d *DC) do(method, path, body string) (a *Answer, err error) {
	err = errors.New("no agent of " + d.Name + " runs")
	for _, n := range d.Running() {
		if a, err = n.try(method, path, body); err == nil {
			return a, nil
		}
	}
	return nil, err
}

// Put writes a key at any agent that takes it, until one acknowledges it.
func (d *DC) Put(t testing.TB, key, value string) {
	t.Helper()
	Until(t, "put "+key+" in "+d.Name, func() error {
		_, err := d.do(http.MethodPut, kvPath(key, ""), value)
		return err
	})
}

// WaitFor returns once every running agent reads want at key.
func (d *DC) WaitFor(t testing.TB, key, want string) {
	t.Helper()
	for _, n := range d.Running() {
		n.WaitFor(t, key, want)
	}
}

// WaitFor returns once this agent reads want at key. It wakes on changes.
func (n *Node) WaitFor(t testing.TB, key, want string) {
	t.Helper()
	index := uint64(0)
	Until(t, fmt.Sprintf("%s is %q at %s", key, want, n.Name), func() error {
		a, err := n.try(http.MethodGet, fmt.Sprintf("/v1/kv/%s?raw&wait=10s&index=%d", key, index), "")
		if err != nil {
			return err
		}
		index = a.Index()
		if got := string(a.Body); got != want {
			return fmt.Errorf("it is %q at index %d", got, index)
		}
		return nil
	})
}

// WaitWhole returns once the datacenter has a leader, all its servers have a vote, and
// every running agent sees every running agent alive, in gossip and in the catalog, whose
// rows of them nobody is about to change.
func (d *DC) WaitWhole(t testing.TB) {
	t.Helper()
	d.Leader(t)
	var names []string
	for _, n := range d.Running() {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	for _, n := range d.Running() {
		n.WaitMembers(t, names...)
		n.WaitCatalog(t, names...)
	}
	d.Running()[0].waitRegistered(t, names)
	Until(t, "all servers of "+d.Name+" have a vote", func() error {
		var c api.RaftConfiguration
		if err := d.Running()[0].ask("/v1/operator/raft/configuration", &c); err != nil {
			return err
		}
		votes := 0
		for _, s := range c.Servers {
			if s.Voter {
				votes++
			}
		}
		if want := len(slices.DeleteFunc(d.Running(), func(n *Node) bool { return !n.Server })); votes != want {
			return fmt.Errorf("%d votes, want %d", votes, want)
		}
		return nil
	})
}

// alive is the status of a live member in /v1/agent/members.
const alive = 1

// WaitMembers returns once exactly the named agents are alive in this agent's LAN pool.
func (n *Node) WaitMembers(t testing.TB, names ...string) {
	t.Helper()
	n.waitNames(t, "LAN members", "/v1/agent/members", names)
}

// WaitMember returns once this agent sees the named one alive in its LAN pool.
func (n *Node) WaitMember(t testing.TB, name string) {
	t.Helper()
	Until(t, fmt.Sprintf("%s is alive for %s", name, n.Name), func() error {
		var members []api.AgentMember
		if err := n.ask("/v1/agent/members", &members); err != nil {
			return err
		}
		if !slices.ContainsFunc(members, func(m api.AgentMember) bool { return m.Name == name && m.Status == alive }) {
			return fmt.Errorf("it is not among %d members", len(members))
		}
		return nil
	})
}

// WaitWANMembers is [Node.WaitMembers] for the WAN pool, with names as node.dc.
func (n *Node) WaitWANMembers(t testing.TB, names ...string) {
	t.Helper()
	n.waitNames(t, "WAN members", "/v1/agent/members?wan=1", names)
}

func (n *Node) waitNames(t testing.TB, what, path string, want []string) {
	t.Helper()
	slices.Sort(want)
	Until(t, fmt.Sprintf("%s of %s are %v", what, n.Name, want), func() error {
		var members []api.AgentMember
		if err := n.ask(path, &members); err != nil {
			return err
		}
		var got []string
		for _, m := range members {
			if m.Status == alive {
				got = append(got, m.Name)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("they are %v", got)
		}
		return nil
	})
}

// WaitCatalog returns once exactly the named nodes are in the catalog, read at this agent.
func (n *Node) WaitCatalog(t testing.TB, names ...string) {
	t.Helper()
	slices.Sort(names)
	Until(t, fmt.Sprintf("the catalog at %s has %v", n.Name, names), func() error {
		var nodes []api.Node
		if err := n.ask("/v1/catalog/nodes", &nodes); err != nil {
			return err
		}
		var got []string
		for _, m := range nodes {
			got = append(got, m.Node)
		}
		slices.Sort(got)
		if !slices.Equal(got, names) {
			return fmt.Errorf("it has %v", got)
		}
		return nil
	})
}

// waitRegistered returns once the named nodes were registered by both who do so, read at
// this agent: by the leader, with a check, and by themselves, with all their addresses.
func (n *Node) waitRegistered(t testing.TB, names []string) {
	t.Helper()
	Until(t, fmt.Sprintf("%v are registered whole", names), func() error {
		var nodes []api.Node
		if err := n.ask("/v1/catalog/nodes", &nodes); err != nil {
			return err
		}
		var checks []api.HealthCheck
		if err := n.ask("/v1/health/state/any", &checks); err != nil {
			return err
		}
		byThemselves, byLeader := map[string]bool{}, map[string]bool{}
		for _, row := range nodes {
			byThemselves[row.Node] = len(row.TaggedAddresses) > 0
		}
		for _, c := range checks {
			byLeader[c.Node] = byLeader[c.Node] || c.CheckID == "serfHealth"
		}
		for _, name := range names {
			if !byThemselves[name] || !byLeader[name] {
				return fmt.Errorf("%s: by itself %v, by the leader %v", name, byThemselves[name], byLeader[name])
			}
		}
		return nil
	})
}

// WaitHealth returns once the node's serfHealth has the given status, asked at this agent.
func (n *Node) WaitHealth(t testing.TB, node, status string) {
	t.Helper()
	Until(t, fmt.Sprintf("serfHealth of %s is %s", node, status), func() error {
		var checks []api.HealthCheck
		if err := n.ask("/v1/health/node/"+node, &checks); err != nil {
			return err
		}
		for _, c := range checks {
			if c.CheckID == "serfHealth" && c.Status == status {
				return nil
			}
		}
		return fmt.Errorf("its checks are %+v", checks)
	})
}

// WaitReaches returns once this agent gets default answers from the datacenter.
func (n *Node) WaitReaches(t testing.TB, dc string) {
	t.Helper()
	Until(t, n.Name+" reaches "+dc, func() error {
		_, err := n.try(http.MethodGet, kvPath("lab", dc), "")
		return err
	})
}

// Dial opens a connection to one of the agent's ports, from where it runs.
func (n *Node) Dial(t testing.TB, port int) net.Conn {
	t.Helper()
	var conn net.Conn
	var err error
	if d, ok := n.DC.fed.place.(dialer); ok {
		conn, err = d.dial(t.Context(), n, n.Addr(port))
	} else {
		conn, err = new(net.Dialer).DialContext(t.Context(), "tcp", n.Addr(port))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
