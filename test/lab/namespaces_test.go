//go:build linux

package lab_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/hanse-project/hanse/test/lab"
)

// wan is the usual distance of the two datacenters here: 80 ms there and back.
const wan = 40 * time.Millisecond

func TestNamespacesFederationOverALongLossyLineIsWhole(t *testing.T) {
	fed := lab.New(t, lab.Namespaces(), lab.Servers("shanghai", 3), lab.Servers("beijing", 3), lab.Clients("beijing", 1))
	fed.Launch(t)
	fed.Delay(t, "shanghai", "beijing", wan)
	fed.Lose(t, "shanghai", "beijing", 0.02)
	fed.WaitWhole(t)
	shanghai, client := fed.DC("shanghai"), fed.Node("beijing-c1")
	for i := range 20 {
		client.Put(t, "shanghai", fmt.Sprintf("k/%d", i), "v")
	}
	shanghai.WaitFor(t, "k/19", "v")
	shanghai.KillLeader(t).Start(t)
	client.Put(t, "shanghai", "k/20", "v")
	shanghai.WaitFor(t, "k/20", "v")
}

func TestNamespacesDelayIsThatOfTheLine(t *testing.T) {
	fed := lab.New(t, lab.Namespaces(), lab.Servers("shanghai", 1), lab.Servers("beijing", 1))
	fed.Launch(t)
	fed.Delay(t, "shanghai", "beijing", wan)
	fed.WaitWhole(t)
	at := fed.Node("shanghai-s1")
	for range 5 {
		begin := time.Now()
		at.Get(t, "/v1/kv/none?dc=beijing")
		if took := time.Since(begin); took < 2*wan {
			t.Errorf("an answer came over the line after %v, which is impossible", took)
		}
		begin = time.Now()
		at.Get(t, "/v1/kv/none")
		t.Logf("a local answer took %v", time.Since(begin))
	}
}

func TestNamespacesCutsHealWhicheverWayTheyWent(t *testing.T) {
	fed := lab.New(t, lab.Namespaces(), lab.Servers("shanghai", 3), lab.Servers("beijing", 3))
	fed.Launch(t)
	fed.Delay(t, "shanghai", "beijing", wan)
	fed.WaitWhole(t)
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	for name, cut := range map[string]func(){
		"both ways":        func() { fed.Cut(t, "shanghai", "beijing") },
		"what is asked":    func() { fed.CutOneWay(t, "shanghai", "beijing") },
		"what is answered": func() { fed.CutOneWay(t, "beijing", "shanghai") },
	} {
		cut()
		for _, at := range shanghai.Nodes {
			begin := time.Now()
			a, err := at.Do(t.Context(), http.MethodGet, "/v1/kv/k?dc=beijing", "")
			first := time.Since(begin)
			if err != nil || a.Err() == nil || a.Reason() == "" {
				t.Errorf("%s is cut: %+v, %v, want an error with a reason", name, a, err)
			}
			begin = time.Now()
			_, err = at.Do(t.Context(), http.MethodGet, "/v1/kv/k?dc=beijing", "")
			t.Logf("%s is cut: %s answers after %v, then after %v (%v)", name, at.Name, first, time.Since(begin), err)
		}
		shanghai.Put(t, "k", name)
		beijing.Put(t, "k", name)
		fed.Heal(t, "shanghai", "beijing")
		fed.Delay(t, "shanghai", "beijing", wan)
		begin := time.Now()
		for _, n := range fed.Nodes() {
			n.WaitReaches(t, "shanghai")
			n.WaitReaches(t, "beijing")
		}
		t.Logf("%s was cut: all is well %v after that", name, time.Since(begin))
	}
	fed.Node("shanghai-s1").Put(t, "beijing", "k", "at last")
	beijing.WaitFor(t, "k", "at last")
}

func TestNamespacesMinorityStepsAsideAndComesBack(t *testing.T) {
	fed := lab.Start(t, lab.Namespaces(), lab.Servers("shanghai", 3))
	shanghai := fed.DC("shanghai")
	old := shanghai.Leader(t)
	majority := shanghai.Followers(t)
	shanghai.Put(t, "k", "before")
	for _, n := range majority {
		fed.Cut(t, old.Name, n.Name)
	}
	shanghai.LeaderAmong(t, majority...).Put(t, "", "k", "after")
	a, err := old.Do(t.Context(), http.MethodGet, "/v1/kv/k?raw&consistent", "")
	if err != nil || a.Err() == nil {
		t.Errorf("the old leader is alone and answers %+v (%v)", a, err)
	}
	for _, n := range majority {
		fed.Heal(t, old.Name, n.Name)
	}
	shanghai.WaitFor(t, "k", "after")
}
