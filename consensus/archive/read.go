package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/raft"
)

// Limits of the small members. A meta.json of a thousand servers has 150 KB.
const (
	maxMeta = 1 << 20
	maxSums = 64 << 10
	maxTail = 1 << 20 // what may follow the last member
)

// ErrInvalid is in every error that is the archive's fault, and not that of the
// stream or of the disk.
var ErrInvalid = errors.New("not a valid snapshot archive")

// Archive is one that was read whole and found good. Close frees its disk space.
type Archive struct {
	Meta  raft.SnapshotMeta
	state *os.File
}

// Read reads an archive to its end. The state goes to a temporary file in dir (the
// system's place for those if empty), and may have up to maxState bytes.
func Read(r io.Reader, dir string, maxState int64) (*Archive, error) {
	spool, err := os.CreateTemp(dir, "hanse-snapshot-*")
	if err != nil {
		return nil, fmt.Errorf("read snapshot archive: %w", err)
	}
	// Without a name the file is gone with the process, whatever ends it.
	if err := os.Remove(spool.Name()); err != nil {
		spool.Close()
		return nil, fmt.Errorf("read snapshot archive: %w", err)
	}
	a := &reader{spool: spool, max: maxState, sums: map[string]string{}}
	meta, err := a.read(r)
	if err != nil {
		spool.Close()
		return nil, fmt.Errorf("read snapshot archive: %w", err)
	}
	return &Archive{Meta: meta, state: spool}, nil
}

// State is the state from its start. The readers share nothing; they end with Close.
func (a *Archive) State() io.Reader { return io.NewSectionReader(a.state, 0, a.Meta.Size) }

// Close removes the state from disk.
func (a *Archive) Close() error { return a.state.Close() }

type reader struct {
	spool *os.File
	max   int64

	meta   []byte
	list   []byte
	length int64             // of the state
	sums   map[string]string // by name of a member, of what was read
}

func (a *reader) read(r io.Reader) (meta raft.SnapshotMeta, err error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return meta, invalid("gzip: %w", err)
	}
	if err := a.members(tar.NewReader(zip)); err != nil {
		return meta, err
	}
	// The rest holds gzip's own checksum.
	if n, err := io.CopyN(io.Discard, zip, maxTail); err != io.EOF {
		if err == nil {
			return meta, invalid("more than %d bytes follow the last member", n)
		}
		return meta, invalid("gzip: %w", err)
	}
	if err := a.verify(); err != nil {
		return meta, err
	}
	if err := json.Unmarshal(a.meta, &meta); err != nil {
		return meta, invalid("%s: %w", metaName, err)
	}
	if meta.Size != a.length {
		return meta, invalid("%s has %d bytes, %s says %d", stateName, a.length, metaName, meta.Size)
	}
	return meta, nil
}

func (a *reader) members(t *tar.Reader) error {
	for {
		head, err := t.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return invalid("tar: %w", err)
		case head.Typeflag != tar.TypeReg:
			return invalid("%q is not a plain file", head.Name)
		}
		if _, twice := a.sums[head.Name]; twice {
			return invalid("%s is in it twice", head.Name)
		}
		sum := sha256.New()
		from := io.TeeReader(t, sum)
		switch head.Name {
		case metaName:
			a.meta, err = small(from, head, maxMeta)
		case sumsName:
			a.list, err = small(from, head, maxSums)
		case stateName:
			err = a.keep(from, head)
		default:
			err = invalid("it holds an unknown file %q", head.Name)
		}
		if err != nil {
			return err
		}
		a.sums[head.Name] = hex.EncodeToString(sum.Sum(nil))
	}
}

func small(r io.Reader, head *tar.Header, limit int64) ([]byte, error) {
	if head.Size > limit {
		return nil, invalid("%s has %d bytes, at most %d are expected", head.Name, head.Size, limit)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, invalid("%s: %w", head.Name, err)
	}
	return b, nil
}

func (a *reader) keep(r io.Reader, head *tar.Header) error {
	if head.Size > a.max {
		return invalid("%s has %d bytes, at most %d are allowed", stateName, head.Size, a.max)
	}
	in := &source{r: r}
	n, err := io.Copy(a.spool, in)
	switch {
	case in.err != nil:
		return invalid("%s: %w", stateName, in.err)
	case err != nil:
		return fmt.Errorf("keep %s: %w", stateName, err)
	}
	a.length = n
	return nil
}

// source remembers the error of a reader, to tell it from the writer's.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// verify compares what was read with the list of checksums.
func (a *reader) verify() error {
	for _, name := range []string{metaName, stateName, sumsName} {
		if _, ok := a.sums[name]; !ok {
			return invalid("%s is missing", name)
		}
	}
	listed := map[string]bool{}
	for line := range bytes.Lines(a.list) {
		want, name, ok := strings.Cut(strings.TrimRight(string(line), "\r\n"), "  ")
		if !ok || name != metaName && name != stateName || listed[name] {
			return invalid("%s has an unexpected line", sumsName)
		}
		listed[name] = true
		if !strings.EqualFold(want, a.sums[name]) {
			return invalid("%s does not match its checksum", name)
		}
	}
	if len(listed) != 2 {
		return invalid("%s lists %d of 2 files", sumsName, len(listed))
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}
