package storetest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"testing"
)

// Archive returns the state that an archive of a snapshot holds.
func Archive(t testing.TB, path string) io.Reader {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for members := tar.NewReader(zipped); ; {
		member, err := members.Next()
		if err != nil {
			t.Fatalf("%s has no state.bin: %v", path, err)
		}
		if member.Name != "state.bin" {
			continue
		}
		state, err := io.ReadAll(members)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.NewReader(state)
	}
}
