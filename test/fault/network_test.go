//go:build linux

package fault

import (
	"testing"
	"time"

	"github.com/hanse-project/hanse/test/lab"
)

// What the leader hears, and what it says, can be late or lost each for itself. The
// servers may then disagree about who leads; their clients may not notice.
func TestOneWayTroubleBetweenServersIsNoTroubleForClients(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3), keepServers)
	shanghai := fed.DC("shanghai")
	w := begin(t, 6, shanghai.Nodes...)
	w.waitAcked(t, 100)
	for _, trouble := range []struct {
		what string
		make func(leader, other *lab.Node)
	}{
		{"the leader hears late", func(leader, other *lab.Node) {
			fed.DelayOneWay(t, other.Name, leader.Name, 300*time.Millisecond)
		}},
		{"the leader is heard late", func(leader, other *lab.Node) {
			fed.DelayOneWay(t, leader.Name, other.Name, 300*time.Millisecond)
		}},
		{"the leader hears nothing", func(leader, other *lab.Node) { fed.CutOneWay(t, other.Name, leader.Name) }},
		{"the leader is not heard", func(leader, other *lab.Node) { fed.CutOneWay(t, leader.Name, other.Name) }},
		{"the leader is alone", func(leader, other *lab.Node) { fed.Cut(t, leader.Name, other.Name) }},
	} {
		leader := shanghai.Leader(t)
		others := shanghai.Followers(t)
		for _, other := range others {
			trouble.make(leader, other)
		}
		w.waitAcked(t, 20)
		for _, other := range others {
			fed.Heal(t, leader.Name, other.Name)
		}
		shanghai.Leader(t)
		w.waitAcked(t, 30)
		t.Logf("done: %s", trouble.what)
	}
	w.check(t)
}

func TestWritesFromAnotherDatacenterAreNotLost(t *testing.T) {
	fed := lab.Start(t, lab.Servers("shanghai", 3), lab.Servers("beijing", 3), keepServers)
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	w := beginIn(t, "beijing", 6, shanghai.Nodes...)
	fed.Delay(t, "shanghai", "beijing", 20*time.Millisecond)
	w.waitAcked(t, 100)
	old := beijing.KillLeader(t)
	w.waitAcked(t, 30)
	fed.Cut(t, "shanghai", "beijing")
	w.waitErrors(t, 20)
	fed.Heal(t, "shanghai", "beijing")
	old.Start(t)
	w.waitAcked(t, 30)
	w.check(t)
}
