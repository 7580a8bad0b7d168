//go:build linux

package lab

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// noLeaks fails the test if goroutines that were started during it are still there long
// after everything else was cleaned up.
func noLeaks(t testing.TB) {
	before := goroutinesByID()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		var left []string
		for deadline := time.Now().Add(patience); ; time.Sleep(lookAgain) {
			left = left[:0]
			for id, stack := range goroutinesByID() {
				if _, old := before[id]; !old {
					left = append(left, stack)
				}
			}
			if len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				break
			}
		}
		t.Errorf("%d goroutines outlive what started them:\n\n%s", len(left), strings.Join(left, "\n\n"))
	})
}

// endsLater is in the stack of the one goroutine that is not waited for: memberlist lets
// a probe that nobody answers run out, which takes up to 40 seconds.
const endsLater = "memberlist.(*Memberlist).probeNode("

// goroutinesByID are the stacks of the other goroutines, by their ID.
func goroutinesByID() map[string]string {
	byID := map[string]string{}
	for i, stack := range strings.Split(stacks(), "\n\n") {
		if id, _, ok := strings.Cut(stack, " ["); ok && i > 0 && !strings.Contains(stack, endsLater) {
			byID[id] = stack
		}
	}
	return byID
}

// stacks are those of all goroutines, the caller's first.
func stacks() string {
	for buf := make([]byte, 1<<20); ; buf = make([]byte, 2*len(buf)) {
		if n := runtime.Stack(buf, true); n < len(buf) {
			return string(buf[:n])
		}
	}
}
