//go:build linux

package fault

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/test/lab"
)

// waitPeers returns once the log of n's datacenter has exactly these servers.
func waitPeers(t *testing.T, n *lab.Node, servers ...*lab.Node) {
	t.Helper()
	var want []string
	for _, s := range servers {
		want = append(want, s.Addr(lab.ServerPort))
	}
	slices.Sort(want)
	lab.Until(t, fmt.Sprintf("the peers are %v", want), func() error {
		peers, err := n.API(t).Status().Peers()
		if err != nil {
			return err
		}
		if slices.Sort(peers); !slices.Equal(peers, want) {
			return fmt.Errorf("they are %v", peers)
		}
		return nil
	})
}

// status is that of a member as one agent sees it, "" if it is not known.
func status(t *testing.T, at *lab.Node, member string) string {
	t.Helper()
	members, err := at.API(t).Agent().Members(false)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if m.Name == member {
			return [...]string{"none", "alive", "leaving", "left", "failed"}[m.Status]
		}
	}
	return ""
}

func waitStatus(t *testing.T, at *lab.Node, member, want string) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("%s is %q for %s", member, want, at.Name), func() error {
		if got := status(t, at, member); got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

// quickVote gives a server that comes back its vote soon.
var quickVote = lab.Flags("-hcl", `autopilot { server_stabilization_time = "500ms" }`)

func TestServerThatLeavesIsGoneEverywhere(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), quickVote, lab.Servers("shanghai", 3), lab.Clients("shanghai", 1))
	dc := fed.DC("shanghai")
	w := begin(t, 4, dc.Nodes...)
	w.waitAcked(t, 50)
	leaver := dc.Leader(t)
	rest := slices.DeleteFunc(dc.Running(), func(n *lab.Node) bool { return n == leaver })
	servers := slices.DeleteFunc(dc.Servers(), func(n *lab.Node) bool { return n == leaver })
	if err := leaver.API(t).Agent().Leave(); err != nil {
		t.Fatal(err)
	}
	leaver.WaitEnd(t)
	var names []string
	for _, n := range rest {
		names = append(names, n.Name)
	}
	for _, n := range rest {
		waitPeers(t, n, servers...)
		waitStatus(t, n, leaver.Name, "left")
		n.WaitCatalog(t, names...)
	}
	w.waitAcked(t, 50)
	leaver.Start(t)
	waitPeers(t, leaver, dc.Servers()...)
	leaver.WaitCatalog(t, append(names, leaver.Name)...)
	w.check(t)
}

func TestFailedNodeIsCriticalUntilItIsForcedOut(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), lab.QuickGossip(), lab.Servers("shanghai", 3), lab.Clients("shanghai", 3))
	dc, at := fed.DC("shanghai"), fed.Node("shanghai-s1")
	back, forced, pruned := fed.Node("shanghai-c1"), fed.Node("shanghai-c2"), fed.Node("shanghai-c3")
	victims := []*lab.Node{back, forced, pruned}
	for _, n := range victims {
		at.WaitHealth(t, n.Name, api.HealthPassing)
		n.Kill(t)
	}
	for _, n := range victims {
		at.WaitHealth(t, n.Name, api.HealthCritical)
	}
	back.Start(t)
	at.WaitHealth(t, back.Name, api.HealthPassing)
	for _, n := range dc.Servers() {
		force(t, at, n, forced.Name, "left", (*api.Agent).ForceLeave)
		force(t, at, n, pruned.Name, "", (*api.Agent).ForceLeavePrune)
		n.WaitCatalog(t, back.Name, "shanghai-s1", "shanghai-s2", "shanghai-s3")
	}
	if err := at.API(t).Agent().ForceLeave("nobody"); err == nil {
		t.Error("a node that does not exist was forced out")
	}
	forced.Start(t)
	pruned.Start(t)
	dc.WaitWhole(t)
}

// force forces a member out at one server until another one has heard of it: one that
// heard the member's last words after the first did does not believe it at once.
func force(t *testing.T, at, other *lab.Node, member, want string, leave func(*api.Agent, string) error) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("%s is %q for %s", member, want, other.Name), func() error {
		if got := status(t, other, member); got == want {
			return nil
		}
		if err := leave(at.API(t).Agent(), member); err != nil && status(t, at, member) != "" {
			return err
		}
		return fmt.Errorf("it is %q", status(t, other, member))
	})
}

func TestDeadServerIsTakenOutOfTheQuorumAndLetInAgain(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), lab.QuickGossip(), quickVote, lab.Servers("shanghai", 3))
	dc := fed.DC("shanghai")
	victim := dc.Followers(t)[0]
	victim.Kill(t)
	rest := slices.DeleteFunc(dc.Servers(), func(n *lab.Node) bool { return n == victim })
	for _, n := range rest {
		waitPeers(t, n, rest...)
	}
	rest[0].Put(t, "", "meanwhile", "1")
	victim.Start(t)
	waitPeers(t, victim, dc.Servers()...)
	victim.WaitFor(t, "meanwhile", "1")
}

// What an agent knows of the others survives it, so that no address has to be
// configured for a restart.
func TestAgentsRejoinFromWhatTheyRemember(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Servers("beijing", 1), lab.Clients("shanghai", 1))
	for _, n := range fed.Nodes() {
		n.Alone = true
	}
	client := fed.Node("shanghai-c1")
	remembers(t, client, "local", "shanghai-s1", "shanghai-s2", "shanghai-s3")
	client.Kill(t)
	client.Start(t)
	server := fed.Node("shanghai-s1")
	server.Restart(t)
	fed.WaitWhole(t)
	for _, n := range fed.Nodes() {
		if n.DC.Name == "shanghai" {
			remembers(t, n, "local", "shanghai-s1", "shanghai-s2", "shanghai-s3")
		}
		if n.Server {
			remembers(t, n, "remote", "shanghai-s1.shanghai", "beijing-s1.beijing")
		}
	}
	for _, n := range fed.Nodes() {
		n.Kill(t)
	}
	for _, n := range fed.Nodes() {
		n.Start(t)
		n.WaitMember(t, n.Name) // who comes first finds nobody, and is found
	}
	fed.WaitWhole(t)
}

// remembers waits until the snapshot of one of n's pools is on disk with these members. serf
// keeps the last line until another one comes: joining once more makes for one.
func remembers(t *testing.T, n *lab.Node, pool string, members ...string) {
	t.Helper()
	lab.Until(t, fmt.Sprintf("%s remembers %v", n.Name, members), func() error {
		snapshot, err := os.ReadFile(filepath.Join(n.DataDir(), "serf", pool+".snapshot"))
		if err != nil {
			return err
		}
		for _, m := range members {
			if m != n.Name && !strings.Contains(string(snapshot), "alive: "+m+" ") {
				port, wan := lab.LANPort, pool == "remote"
				if wan {
					port = lab.WANPort
				}
				return cmp.Or(n.API(t).Agent().Join(n.Addr(port), wan), fmt.Errorf("it does not remember %s", m))
			}
		}
		return nil
	})
}
