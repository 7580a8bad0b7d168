//go:build linux

package fault

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/hanse-project/hanse/test/lab"
)

func TestKillingAnyServerOfThreeLosesNoAcknowledgedWrite(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), lab.Clients("shanghai", 1))
	shanghai := fed.DC("shanghai")
	w := begin(t, 8, shanghai.Nodes...)
	w.waitAcked(t, 200)
	for _, victim := range shanghai.Servers() {
		victim.Kill(t)
		w.waitAcked(t, 200)
		victim.Start(t)
		shanghai.WaitWhole(t)
	}
	shanghai.KillLeader(t).Start(t)
	w.waitAcked(t, 200)
	w.check(t)
}

// keepServers leaves servers that gossip holds for dead in the quorum, which is otherwise
// smaller for some seconds after they are back.
var keepServers = lab.Flags("-hcl", "autopilot { cleanup_dead_servers = false }")

func TestKillingAllServersLosesNoAcknowledgedWrite(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3))
	shanghai := fed.DC("shanghai")
	w := begin(t, 8, shanghai.Nodes...)
	for range 2 {
		w.waitAcked(t, 300)
		for _, n := range shanghai.Nodes {
			n.Kill(t)
		}
		fed.Launch(t)
	}
	w.waitAcked(t, 100)
	w.check(t)
}

// A frozen leader still believes in itself when it goes on. Reads that waited in its
// socket meanwhile are the first that it sees.
func TestFrozenLeaderServesNothingStale(t *testing.T) {
	t.Parallel()
	fed := lab.Start(t, lab.Processes(), lab.Servers("shanghai", 3), keepServers)
	shanghai := fed.DC("shanghai")
	w := begin(t, 6, shanghai.Nodes...)
	for round := range 4 {
		key := fmt.Sprintf("frozen/%d", round)
		shanghai.Put(t, key, "old")
		old := shanghai.Leader(t)
		old.Freeze(t)
		var awake []*lab.Node
		for _, n := range shanghai.Nodes {
			if n != old {
				awake = append(awake, n)
			}
		}
		shanghai.LeaderAmong(t, awake...).Put(t, "", key, "new")
		w.waitAcked(t, 50)

		var reads sync.WaitGroup
		sent := make(chan struct{}, 20)
		for i := range cap(sent) {
			reads.Go(func() {
				path := "/v1/kv/" + key + "?raw"
				if i%2 == 0 {
					path += "&consistent"
				}
				sent <- struct{}{}
				a, err := old.Do(context.Background(), http.MethodGet, path, "")
				switch {
				case err != nil:
					t.Errorf("read at the old leader: %v", err)
				case a.Status < 500 && string(a.Body) != "new":
					t.Errorf("the old leader answered %d %q to a read after a new one took a write", a.Status, a.Body)
				}
			})
		}
		for range cap(sent) {
			<-sent
		}
		old.Thaw(t)
		reads.Wait()
		shanghai.WaitWhole(t)
	}
	w.check(t)
}
