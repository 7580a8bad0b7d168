//go:build linux

package fault

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/hanse-project/hanse/test/lab"
)

// soaking skips a test that takes long, unless it was asked for. It returns how long to
// go on: HANSE_SOAK holds a duration, or anything else for ten minutes.
func soaking(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("HANSE_SOAK")
	if text == "" {
		t.Skip("takes minutes: run `make soak`")
	}
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	return 10 * time.Minute
}

// What happens, to whom and in which order is rolled anew each time: the seed of a
// failure is in the log.
func TestSoakNoAcknowledgedWriteIsLostWhateverHappens(t *testing.T) {
	end := time.Now().Add(soaking(t))
	t.Setenv("HANSE_LAB", "1")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	fed := lab.Start(t, lab.Namespaces(), lab.Servers("shanghai", 3), lab.Servers("beijing", 3), keepServers, quickVote)
	shanghai, beijing := fed.DC("shanghai"), fed.DC("beijing")
	fed.Delay(t, "shanghai", "beijing", 20*time.Millisecond)
	for round := 0; time.Now().Before(end); round++ {
		local, remote := begin(t, 6, shanghai.Nodes...), beginIn(t, "shanghai", 3, beijing.Nodes...)
		for range 10 {
			servers := shanghai.Servers()
			dice.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
			if dice.IntN(2) == 0 {
				servers[0] = shanghai.Leader(t)
			}
			peer := servers[1]
			if peer == servers[0] {
				peer = servers[2]
			}
			all := harms(t, fed, servers[0], peer)
			h := all[dice.IntN(len(all))]
			h.do()
			local.waitAcked(t, 30)
			h.undo()
			shanghai.WaitWhole(t)
		}
		local.check(t)
		remote.check(t)
		t.Logf("round %d done", round)
	}
}
