//go:build linux

package lab

import (
	"net"
	"testing"
)

// A stranger who looks for what had the port before comes between an agent and its pumps.
func TestStrangersAreNotTakenForAgents(t *testing.T) {
	f := newFabric(t)
	stranger, err := net.Dial("tcp", f.middle.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	near, ours, err := f.pair()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	defer ours.Close()
	if from := ours.RemoteAddr().String(); from != near.LocalAddr().String() {
		t.Errorf("the other end is %s, want %s", from, near.LocalAddr())
	}
}
