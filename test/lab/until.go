//go:build linux

package lab

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanse-project/hanse/rpc"
)

// patience is how long a test waits for anything. It bounds a failure and judges nothing:
// what must be quick is measured by benchmarks. It is above the longest pause there is: a
// new leader looks only after a minute for nodes that gossip has forgotten.
const patience = 2 * time.Minute

// worthTelling is a wait that the log of the test mentions.
const worthTelling = time.Second

// lookAgain is how often [Until] looks.
const lookAgain = 20 * time.Millisecond

// Until returns once holds answers nil. After two minutes the test fails, with what was
// missing last.
func Until(t testing.TB, what string, holds func() error) {
	t.Helper()
	begin := time.Now()
	deadline := begin.Add(patience)
	for {
		err := holds()
		if err == nil {
			if took := time.Since(begin); took > worthTelling {
				t.Logf("%s: after %v", what, took.Round(time.Millisecond))
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v: %v", what, patience, err)
		}
		select {
		case <-time.After(lookAgain):
		case <-t.Context().Done():
			t.Fatalf("%s: not when the test ended: %v", what, err)
		}
	}
}

// leaderWent are what requests end with because a leader went while they were under way.
var leaderWent = []*rpc.Error{rpc.ErrNoLeader, rpc.ErrOutcomeUnknown, rpc.ErrNotReady, rpc.ErrConnectionLost}

// LeaderWent tells whether a request failed because a leader went. On a busy machine one
// does now and then, without anybody's doing: a pause of half a second is enough.
func LeaderWent(err error) bool {
	return err != nil && slices.ContainsFunc(leaderWent, func(e *rpc.Error) bool { return strings.Contains(err.Error(), e.Text) })
}

// Do does what may be done twice, and repeats it while leaders go. The test fails if it
// fails for another reason.
func Do(t testing.TB, what string, do func() error) {
	t.Helper()
	Until(t, what, func() error {
		err := do()
		if err != nil && !LeaderWent(err) {
			t.Fatalf("%s: %v", what, err)
		}
		return err
	})
}
