package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/hashicorp/raft"
)

const (
	metaName  = "meta.json"
	stateName = "state.bin"
	sumsName  = "SHA256SUMS"
)

// Write writes an archive of meta and of the meta.Size bytes of state.
func Write(w io.Writer, meta *raft.SnapshotMeta, state io.Reader) error {
	zip := gzip.NewWriter(w)
	a := writer{tar: tar.NewWriter(zip), now: time.Now()}
	if err := a.write(meta, state); err != nil {
		return fmt.Errorf("write snapshot archive: %w", err)
	}
	if err := a.tar.Close(); err != nil {
		return fmt.Errorf("write snapshot archive: %w", err)
	}
	if err := zip.Close(); err != nil {
		return fmt.Errorf("write snapshot archive: %w", err)
	}
	return nil
}

type writer struct {
	tar *tar.Writer
	now time.Time
}

func (a writer) write(meta *raft.SnapshotMeta, state io.Reader) error {
	var head bytes.Buffer
	if err := json.NewEncoder(&head).Encode(meta); err != nil {
		return fmt.Errorf("%s: %w", metaName, err)
	}
	metaSum, stateSum := sha256.New(), sha256.New()
	if err := a.file(metaName, int64(head.Len()), &head, metaSum); err != nil {
		return err
	}
	if err := a.file(stateName, meta.Size, state, stateSum); err != nil {
		return err
	}
	if n, err := io.CopyN(io.Discard, state, 1); n > 0 || err != io.EOF {
		return fmt.Errorf("%s: there is more than the %d bytes announced (%w)", stateName, meta.Size, err)
	}
	sums := fmt.Sprintf("%x  %s\n%x  %s\n", metaSum.Sum(nil), metaName, stateSum.Sum(nil), stateName)
	return a.file(sumsName, int64(len(sums)), bytes.NewBufferString(sums), sha256.New())
}

func (a writer) file(name string, size int64, from io.Reader, sum hash.Hash) error {
	head := &tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: a.now}
	if err := a.tar.WriteHeader(head); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := io.CopyN(io.MultiWriter(a.tar, sum), from, size); err != nil {
		return fmt.Errorf("%s of %d bytes: %w", name, size, err)
	}
	return nil
}
