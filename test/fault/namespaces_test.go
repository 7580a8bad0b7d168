//go:build linux

package fault

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hanse-project/hanse/test/lab"
)

// Packets are what is lost here, not connections: TCP tells nobody.
func TestNamespacesCutsBetweenServersLoseNoAcknowledgedWrite(t *testing.T) {
	fed := lab.Start(t, lab.Namespaces(), lab.Servers("shanghai", 3), keepServers)
	shanghai := fed.DC("shanghai")
	w := begin(t, 6, shanghai.Nodes...)
	w.waitAcked(t, 100)
	for name, trouble := range map[string]func(leader, other string){
		"cut":                func(leader, other string) { fed.Cut(t, leader, other) },
		"leader hears none":  func(leader, other string) { fed.CutOneWay(t, other, leader) },
		"none hears leader":  func(leader, other string) { fed.CutOneWay(t, leader, other) },
		"leader hears late":  func(leader, other string) { fed.DelayOneWay(t, other, leader, 400*time.Millisecond) },
		"a third is lost":    func(leader, other string) { fed.Lose(t, leader, other, 0.3) },
		"the line is longer": func(leader, other string) { fed.Delay(t, leader, other, 50*time.Millisecond) },
	} {
		leader, others := shanghai.Leader(t), shanghai.Followers(t)
		for _, other := range others {
			trouble(leader.Name, other.Name)
		}
		w.waitAcked(t, 20)
		for _, other := range others {
			fed.Heal(t, leader.Name, other.Name)
		}
		shanghai.Leader(t)
		w.waitAcked(t, 20)
		t.Logf("done: %s", name)
	}
	w.check(t)
}

// harm is one thing that goes wrong, and how it is put right.
type harm struct {
	do, undo func()
}

// harms are what can happen to a server, with a peer that has a part in it.
func harms(t *testing.T, fed *lab.Federation, victim, peer *lab.Node) []harm {
	heal := func() { fed.Heal(t, victim.Name, peer.Name) }
	return []harm{
		{func() { victim.Kill(t) }, func() { victim.Start(t) }},
		{func() { victim.Stop(t) }, func() { victim.Start(t) }},
		{func() { victim.Freeze(t) }, func() { victim.Thaw(t) }},
		{func() { fed.Cut(t, victim.Name, peer.Name) }, heal},
		{func() { fed.CutOneWay(t, victim.Name, peer.Name) }, heal},
		{func() { fed.CutOneWay(t, peer.Name, victim.Name) }, heal},
		{func() { fed.DelayOneWay(t, peer.Name, victim.Name, time.Duration(rand.IntN(600))*time.Millisecond) }, heal},
		{func() { fed.Lose(t, victim.Name, peer.Name, 0.4) }, heal},
	}
}
