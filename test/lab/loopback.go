//go:build linux

package lab

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// claimPort is listened on at the last address of a network to claim it.
const claimPort = 18999

// claimNetwork finds a network 127.x.y.0/24 that no other federation of this machine
// uses, and keeps it until the test ends. It returns its first three bytes.
func claimNetwork(t testing.TB) string {
	t.Helper()
	var err error
	for range 100 {
		network := fmt.Sprintf("127.%d.%d", 10+rand.IntN(240), rand.IntN(256))
		var claim net.Listener
		if claim, err = net.Listen("tcp", fmt.Sprintf("%s.254:%d", network, claimPort)); err == nil {
			t.Cleanup(func() { claim.Close() })
			return network
		}
	}
	t.Fatalf("lab: no free network in 127.0.0.0/8 (the lab needs Linux, where all of it is loopback): %v", err)
	return ""
}
