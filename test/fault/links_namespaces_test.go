//go:build linux

package fault

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hanse-project/hanse/test/lab"
)

// wan is the usual distance of two datacenters: 80 ms there and back.
const wan = 40 * time.Millisecond

// farApart is a link between two datacenters that are far from one another.
func farApart(t *testing.T, servers int) replicated {
	t.Helper()
	r := between(lab.New(t, lab.Namespaces(), lab.Servers("shanghai", servers), lab.Servers("beijing", servers), keepServers, quickVote))
	r.fed.Launch(t)
	r.fed.Delay(t, "shanghai", "beijing", wan)
	r.fed.WaitWhole(t)
	return r
}

// heal ends a cut.
func (r replicated) heal(t *testing.T) {
	t.Helper()
	r.fed.Heal(t, "shanghai", "beijing")
	r.fed.Delay(t, "shanghai", "beijing", wan)
}

func TestNamespacesLinkOutlivesCutsOfTheWAN(t *testing.T) {
	cutLink(t, farApart(t, 1), 4*time.Second)
}

// cutLink cuts the line for so long during the first pass, and while the link follows.
func cutLink(t *testing.T, r replicated, cut time.Duration) {
	const keys = 3000
	r.source.Fill(t, keys, 256)
	r.link(t, lab.Settings{"rate_limit": 1000})
	r.waitHalfway(t)
	r.fed.Cut(t, "shanghai", "beijing")
	pause(t, cut)
	r.heal(t)
	if n := r.copy.WaitEqual(t, r.source); n != keys {
		t.Errorf("%d keys are there, want %d", n, keys)
	}
	r.waitLag(t, 0, time.Second)
	w := r.source.Write(t, keys, 100)
	w.WaitAcked(t, 50)
	r.fed.Cut(t, "shanghai", "beijing")
	r.waitLag(t, cut/2, time.Hour)
	pause(t, cut)
	w.WaitAcked(t, 50)
	r.heal(t)
	r.waitLag(t, 0, time.Second)
	w.Stop(t)
	r.copy.WaitEqual(t, r.source)
}

// pause lets a fault last.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func TestNamespacesLinkKeepsUpOverALongLossyLine(t *testing.T) {
	r := farApart(t, 1)
	r.fed.Lose(t, "shanghai", "beijing", 0.01)
	r.source.Fill(t, 2000, 256)
	r.link(t, nil)
	w := r.source.Write(t, 2000, 200)
	w.WaitAcked(t, 600)
	w.Stop(t)
	r.copy.WaitEqual(t, r.source)
}

// The destination's only server can write nothing to its disk, says so, and loses its lead
// again and again, until there is room.
func TestNamespacesLinkWaitsForAFullDiskAndGoesOn(t *testing.T) {
	r := between(lab.New(t, lab.Namespaces(), lab.Servers("shanghai", 1), lab.Servers("beijing", 1)))
	at := r.copy.DC.Nodes[0]
	at.SmallDisk(t, 128<<20)
	r.fed.Launch(t)
	r.fed.WaitWhole(t)
	r.source.Fill(t, 200, 100)
	r.link(t, nil)
	r.copy.WaitEqual(t, r.source)
	at.FillDisk(t)
	r.source.Fill(t, 1000, 20_000) // more than the log has set aside, and little enough to be read through the lab in seconds
	lab.Until(t, "the log of the destination tells that there is no room", func() error {
		if !strings.Contains(at.Log(t), "no space left on device") {
			return errors.New("it does not")
		}
		return nil
	})
	at.FreeDisk(t)
	r.copy.WaitEqual(t, r.source)
	at.Restart(t)
	r.copy.DC.WaitWhole(t)
	r.copy.WaitEqual(t, r.source)
}

func TestSoakLinkOutlivesCutsOfMinutes(t *testing.T) {
	soaking(t)
	t.Setenv("HANSE_LAB", "1")
	cutLink(t, farApart(t, 3), 3*time.Minute)
}

func TestSoakLinkOutlivesLeadersKilledAllTheTime(t *testing.T) {
	end := time.Now().Add(soaking(t))
	killLeaders(t, 500, func(int) bool { return time.Now().After(end) })
}

// What happens, to which side, is rolled anew each time: the seed of a failure is in the log.
func TestSoakLinkLosesNothingWhateverHappens(t *testing.T) {
	end := time.Now().Add(soaking(t))
	t.Setenv("HANSE_LAB", "1")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	r := farApart(t, 3)
	r.source.Fill(t, 1000, 256)
	r.link(t, lab.Settings{"verify_interval": "20s"})
	for round := 0; time.Now().Before(end); round++ {
		w := r.source.Write(t, 1000, 200)
		for range 5 {
			dc := []*lab.DC{r.source.DC, r.copy.DC}[dice.IntN(2)]
			victim := dc.Leader(t)
			all := append(harms(t, r.fed, victim, dc.Followers(t)[0]),
				harm{func() { r.fed.Cut(t, "shanghai", "beijing") }, func() { r.heal(t) }},
				harm{func() { r.fed.CutOneWay(t, "shanghai", "beijing") }, func() { r.heal(t) }},
				harm{func() { r.fed.CutOneWay(t, "beijing", "shanghai") }, func() { r.heal(t) }},
				harm{func() { r.fed.Lose(t, "shanghai", "beijing", 0.2) }, func() { r.heal(t) }})
			h := all[dice.IntN(len(all))]
			h.do()
			w.WaitAcked(t, 200)
			h.undo()
			dc.WaitWhole(t)
		}
		w.Stop(t)
		t.Logf("round %d: %d keys are equal", round, r.copy.WaitEqual(t, r.source))
	}
}
