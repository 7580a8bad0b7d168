//go:build linux

package fault

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/hanse-project/hanse/replicate/link"
	"github.com/hanse-project/hanse/test/lab"
)

// copied is the prefix that links copy here.
const copied = "config/"

// replicated are the two ends of a link, which beijing has from shanghai.
type replicated struct {
	fed          *lab.Federation
	source, copy lab.Prefix
}

func between(fed *lab.Federation) replicated {
	return replicated{fed: fed, source: fed.DC("shanghai").Below(copied), copy: fed.DC("beijing").Below(copied)}
}

// link sets the link, with settings beside the usual ones.
func (r replicated) link(t *testing.T, more lab.Settings) {
	t.Helper()
	s := lab.Settings{"source_datacenter": r.source.DC.Name, "prefix": copied}
	for name, value := range more {
		s[name] = value
	}
	r.copy.DC.SetLink(t, linkName, s)
}

const linkName = "shanghai"

// waitHalfway returns once a first pass or resync has begun, and has some way to go.
func (r replicated) waitHalfway(t *testing.T) {
	t.Helper()
	r.copy.DC.WaitLink(t, linkName, "under way", func(s link.Status) error {
		if s.Done == 0 || s.Done >= s.Total {
			return fmt.Errorf("%d of %d keys were compared, %s, last error %q", s.Done, s.Total, s.State, s.LastError)
		}
		return nil
	})
}

// waitHeld returns once the link holds so many deletes.
func (r replicated) waitHeld(t *testing.T, deletes int) {
	t.Helper()
	r.copy.DC.WaitLink(t, linkName, "held", func(s link.Status) error {
		if s.State != "held" || s.HeldDeletes != deletes {
			return fmt.Errorf("it is %s, and holds %d deletes (%s)", s.State, s.HeldDeletes, s.HeldReason)
		}
		return nil
	})
}

func TestLinkOutlivesLeadersKilledOnEitherSide(t *testing.T) {
	t.Parallel()
	killLeaders(t, 100, func(round int) bool { return round == 2 })
}

// killLeaders kills the leader of one side after the other while so many writes are made
// a second, until it has been done often enough.
func killLeaders(t *testing.T, perSecond int, enough func(round int) bool) {
	r := between(lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Servers("beijing", 3), keepServers, quickVote))
	r.source.Fill(t, 500, 200)
	r.link(t, nil)
	w := r.source.Write(t, 1000, perSecond)
	for round := 0; !enough(round); round++ {
		for _, dc := range []*lab.DC{r.source.DC, r.copy.DC} {
			w.WaitAcked(t, perSecond)
			old := dc.KillLeader(t)
			w.WaitAcked(t, perSecond)
			old.Start(t)
			dc.WaitWhole(t)
		}
	}
	w.Stop(t)
	r.copy.WaitEqual(t, r.source)
	r.copy.DC.WaitLinkState(t, linkName, "following")
}

// Whoever takes over goes on in the middle of the first pass.
func TestFirstPassOutlivesLeadersKilledOnEitherSide(t *testing.T) {
	t.Parallel()
	r := between(lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Servers("beijing", 3), keepServers))
	r.source.Fill(t, 4000, 100)
	r.link(t, lab.Settings{"rate_limit": 400}) // ten seconds, so that it is seen under way twice
	r.waitHalfway(t)
	r.source.DC.KillLeader(t)
	r.waitHalfway(t)
	r.copy.DC.KillLeader(t)
	if n := r.copy.WaitEqual(t, r.source); n != 4000 {
		t.Errorf("%d keys are there", n)
	}
}

// The destination stands still, and so does what it was sent.
func TestFrozenDestinationIsNoBurdenForTheSource(t *testing.T) {
	t.Parallel()
	r := between(lab.Start(t, lab.Processes(), lab.Servers("shanghai", 1), lab.Servers("beijing", 1)))
	const keys = 2000
	r.source.Fill(t, keys, 10_000)
	r.link(t, nil)
	r.copy.WaitEqual(t, r.source)
	source, frozen := r.source.DC.Nodes[0], r.copy.DC.Nodes[0]
	memory := source.RSS(t)
	frozen.Freeze(t)
	for range 3 { // 60 MB of changes to the same keys
		r.source.Fill(t, keys, 10_000)
	}
	w := r.source.Write(t, keys, 500)
	w.WaitAcked(t, 500)
	w.Stop(t)
	if w.Failed() > 0 {
		t.Errorf("%d writes failed at the source", w.Failed())
	}
	grown := (source.RSS(t) - memory) >> 20
	t.Logf("resident memory of the source grew by %d MB", grown)
	if grown > 150 {
		t.Errorf("the source grew by %d MB while nobody listened", grown)
	}
	frozen.Thaw(t)
	r.copy.WaitEqual(t, r.source)
}

func TestMassDeleteWaitsForADecision(t *testing.T) {
	r := between(lab.Start(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 1)))
	r.source.Fill(t, 200, 10)
	r.link(t, nil)
	r.copy.WaitEqual(t, r.source)
	wipe := func() {
		t.Helper()
		if _, err := r.source.DC.Nodes[0].API(t).KV().DeleteTree(copied, nil); err != nil {
			t.Fatal(err)
		}
		r.source.DC.Put(t, copied+"new", "flows")
		r.waitHeld(t, 200)
		r.copy.DC.WaitFor(t, copied+"new", "flows")
		if keys, err := r.copy.Read(); err != nil || len(keys) != 201 {
			t.Errorf("%d keys are there while 200 deletes are held, %v", len(keys), err)
		}
	}
	wipe()
	// A new leader holds what the old one held.
	r.copy.DC.Nodes[0].Restart(t)
	r.copy.DC.WaitWhole(t)
	r.waitHeld(t, 200)
	r.copy.DC.OrderLink(t, linkName, "approve")
	if n := r.copy.WaitEqual(t, r.source); n != 1 {
		t.Errorf("%d keys are left", n)
	}

	r.source.Fill(t, 200, 10)
	r.copy.WaitEqual(t, r.source)
	wipe()
	r.copy.DC.OrderLink(t, linkName, "reject")
	r.copy.DC.WaitLinkState(t, linkName, "following")
	r.source.DC.Put(t, copied+"newer", "follows")
	r.copy.DC.WaitFor(t, copied+"newer", "follows")
	if keys, err := r.copy.Read(); err != nil || len(keys) != 202 {
		t.Errorf("%d keys are there after 200 deletes were rejected, %v", len(keys), err)
	}
}

func TestRestoredSourceIsComparedAndItsDeletesWait(t *testing.T) {
	r := between(lab.Start(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 1)))
	r.source.Fill(t, 100, 10)
	r.link(t, nil)
	r.copy.WaitEqual(t, r.source)
	archive := save(t, r.source.DC)
	r.source.Fill(t, 120, 10) // 100 are other then, and 20 are new
	r.copy.WaitEqual(t, r.source)
	restore(t, r.source.DC, archive)
	r.waitHeld(t, 20)
	r.copy.DC.OrderLink(t, linkName, "approve")
	if n := r.copy.WaitEqual(t, r.source); n != 100 {
		t.Errorf("%d keys are there", n)
	}
	r.source.Fill(t, 130, 10)
	r.copy.WaitEqual(t, r.source)
}

func TestRestoredDestinationIsBroughtInStepByItself(t *testing.T) {
	r := between(lab.Start(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 1)))
	r.source.Fill(t, 100, 10)
	r.link(t, nil)
	r.copy.WaitEqual(t, r.source)
	archive := save(t, r.copy.DC)
	r.source.Fill(t, 120, 10)
	if _, err := r.source.DC.Nodes[0].API(t).KV().DeleteTree(copied+"05/", nil); err != nil {
		t.Fatal(err)
	}
	r.copy.WaitEqual(t, r.source)
	w := r.source.Write(t, 200, 100)
	restore(t, r.copy.DC, archive)
	w.WaitAcked(t, 100)
	w.Stop(t)
	r.copy.WaitEqual(t, r.source)
	r.copy.DC.WaitLinkState(t, linkName, "following")
}

// The archive is from before there was a link at all.
func TestLinkThatARestoreTookAwayLeavesItsKeysAlone(t *testing.T) {
	r := between(lab.Start(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 1)))
	r.copy.DC.Put(t, copied+"own", "before")
	archive := save(t, r.copy.DC)
	r.source.Fill(t, 50, 10)
	r.link(t, nil)
	r.copy.DC.WaitLinkState(t, linkName, "following")
	restore(t, r.copy.DC, archive)
	if _, err := r.copy.DC.Link(linkName); err == nil {
		t.Error("the link is there after a restore from before it")
	}
	r.copy.DC.WaitFor(t, copied+"own", "before")
	r.link(t, nil)
	r.copy.DC.WaitLinkState(t, linkName, "following")
	lab.Until(t, "all keys are there beside the destination's own", func() error {
		keys, err := r.copy.Read()
		if err != nil {
			return err
		}
		if delete(keys, "own"); len(keys) != 50 {
			return fmt.Errorf("%d keys are there", len(keys))
		}
		return nil
	})
}

func save(t *testing.T, dc *lab.DC) string {
	t.Helper()
	return string(dc.Nodes[0].Get(t, "/v1/snapshot").Body)
}

// restore goes without the client library, which leaves the answer open.
func restore(t *testing.T, dc *lab.DC, archive string) {
	t.Helper()
	a, err := dc.Nodes[0].Do(t.Context(), http.MethodPut, "/v1/snapshot", archive)
	if err == nil {
		err = a.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Whoever changes a copied key at the destination is put right without a change of it at
// the source.
func TestPlantedDifferencesAreFoundAndRepaired(t *testing.T) {
	r := between(lab.Start(t, lab.Servers("shanghai", 1), lab.Servers("beijing", 1)))
	r.source.Fill(t, 2000, 50)
	r.link(t, lab.Settings{"repair": false, "verify_interval": "1s"})
	r.copy.WaitEqual(t, r.source)
	kv := r.copy.DC.Nodes[0].API(t).KV()
	keys, _, err := kv.Keys(copied+"03/", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	const planted = 10
	for i, key := range keys[:planted] {
		if i%2 == 0 {
			r.copy.DC.Put(t, key, "planted")
		} else if _, err := kv.Delete(key, nil); err != nil {
			t.Fatal(err)
		}
	}
	r.copy.DC.WaitLink(t, linkName, "aware of them", func(s link.Status) error {
		if s.DivergentKeys != planted || len(s.DivergentExamples) == 0 {
			return fmt.Errorf("%d keys differ at the verification of %v", s.DivergentKeys, s.LastVerify)
		}
		return nil
	})
	if got, _, err := kv.Get(keys[0], nil); err != nil || got == nil || string(got.Value) != "planted" {
		t.Errorf("a difference that is to be reported was repaired: %+v, %v", got, err)
	}
	r.copy.DC.OrderLink(t, linkName, "verify?repair")
	r.copy.WaitEqual(t, r.source)
	r.copy.DC.WaitLink(t, linkName, "without differences", func(s link.Status) error {
		if s.DivergentKeys != 0 {
			return fmt.Errorf("%d keys differ, at %v", s.DivergentKeys, s.LastVerify)
		}
		return nil
	})
}

// waitLag returns once the lag is at most, or at least, so long.
func (r replicated) waitLag(t *testing.T, atLeast, atMost time.Duration) {
	t.Helper()
	r.copy.DC.WaitLink(t, linkName, fmt.Sprintf("%v to %v behind", atLeast, atMost), func(s link.Status) error {
		lag := time.Duration(s.LagSeconds * float64(time.Second))
		if lag < atLeast || lag > atMost {
			return errors.New(lag.String())
		}
		return nil
	})
}
