//go:build linux

package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// SmallDisk gives the agent, which does not run yet, a disk of its own for its data: so
// many bytes of memory. This takes root.
func (n *Node) SmallDisk(t testing.TB, bytes int) {
	t.Helper()
	dir := n.DataDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprint("mode=700,size=", bytes)); err != nil {
		t.Fatalf("give %s a small disk (this takes root): %v", n.Name, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// filler takes up the room of a disk.
const filler = "filler"

// FillDisk takes up all the room that is left on the agent's disk.
func (n *Node) FillDisk(t testing.TB) {
	t.Helper()
	f, err := os.Create(filepath.Join(n.DataDir(), filler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk of %s is not full: %v", n.Name, err)
	}
}

// FreeDisk undoes FillDisk.
func (n *Node) FreeDisk(t testing.TB) {
	t.Helper()
	if err := os.Remove(filepath.Join(n.DataDir(), filler)); err != nil {
		t.Fatal(err)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
