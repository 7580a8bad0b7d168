package fault

import (
	"fmt"
	"slices"
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

func TestServerThatLeavesIsGoneEverywhere(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Clients("shanghai", 1))
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
	dc.WaitWhole(t)
	w.check(t)
}

func TestFailedNodeIsCriticalUntilItIsForcedOut(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.QuickGossip(), lab.Servers("shanghai", 3), lab.Clients("shanghai", 2))
	dc, at := fed.DC("shanghai"), fed.Node("shanghai-s1")
	failed, pruned := fed.Node("shanghai-c1"), fed.Node("shanghai-c2")
	for _, n := range []*lab.Node{failed, pruned} {
		at.WaitHealth(t, n.Name, api.HealthPassing)
		n.Kill(t)
	}
	for _, n := range []*lab.Node{failed, pruned} {
		at.WaitHealth(t, n.Name, api.HealthCritical)
	}
	failed.Start(t)
	at.WaitHealth(t, failed.Name, api.HealthPassing)
	failed.Kill(t)
	at.WaitHealth(t, failed.Name, api.HealthCritical)

	if err := at.API(t).Agent().ForceLeave(failed.Name); err != nil {
		t.Fatal(err)
	}
	if err := at.API(t).Agent().ForceLeavePrune(pruned.Name); err != nil {
		t.Fatal(err)
	}
	for _, n := range dc.Servers() {
		waitStatus(t, n, failed.Name, "left")
		waitStatus(t, n, pruned.Name, "")
		n.WaitCatalog(t, "shanghai-s1", "shanghai-s2", "shanghai-s3")
	}
	if err := at.API(t).Agent().ForceLeave("nobody"); err == nil {
		t.Error("a node that does not exist was forced out")
	}
	failed.Start(t)
	pruned.Start(t)
	dc.WaitWhole(t)
}

func TestDeadServerIsTakenOutOfTheQuorumAndLetInAgain(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.QuickGossip(), lab.Servers("shanghai", 3),
		lab.Flags("-hcl", `autopilot { server_stabilization_time = "500ms" }`))
	dc := fed.DC("shanghai")
	victim := dc.Followers(t)[0]
	victim.Kill(t)
	rest := slices.DeleteFunc(dc.Servers(), func(n *lab.Node) bool { return n == victim })
	for _, n := range rest {
		waitPeers(t, n, rest...)
	}
	rest[0].Put(t, "", "meanwhile", "1")
	victim.Start(t)
	dc.WaitWhole(t)
	waitPeers(t, victim, dc.Servers()...)
	victim.WaitFor(t, "meanwhile", "1")
}

// What an agent knows of the others survives it, so that no address has to be
// configured for a restart.
func TestAgentsRejoinFromWhatTheyRemember(t *testing.T) {
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Servers("beijing", 1), lab.Clients("shanghai", 1))
	for _, n := range fed.Nodes() {
		n.Alone = true
	}
	client := fed.Node("shanghai-c1")
	client.Kill(t)
	client.Start(t)
	server := fed.Node("shanghai-s1")
	server.Restart(t)
	fed.WaitWhole(t)
	for _, n := range fed.Nodes() {
		n.Kill(t)
	}
	fed.Launch(t)
	fed.WaitWhole(t)
}
