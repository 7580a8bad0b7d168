package consensus

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// The layout of a segment of raft-wal, as far as checking it needs. A file is a
// header and then batches, each written by one write and one fsync; the checksum in
// a batch's commit frame covers everything since the commit before (or since the
// start of the file).
//
//	header  magic(4) reserved(3) version(1) base(8) id(8) codec(8)
//	frame   type(1) reserved(3) length or checksum(4) payload, padded to 8
//	batch   entry…  [index]  commit
const (
	segmentHeader = 32
	frameHeader   = 8

	frameEntry  = 1 // the type and the zeros behind it
	frameIndex  = 2
	frameCommit = 3
)

// maxResync bounds how many places behind a torn batch are tried, so that crafted
// values cannot make a start slow.
const maxResync = 1 << 14

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged means that a segment has a bad batch with a good one behind it, or
// lacks data it once had. A torn last write is not damage.
var errDamaged = errors.New("the log is damaged")

// checkedFiler opens segments as raft-wal does, after reading them through once.
// raft-wal itself checks the last batch only: behind a damaged frame it would see
// the end of the log, and drop what follows.
type checkedFiler struct {
	*segment.Filer
	dir string
	log hclog.Logger
}

func newCheckedFiler(dir string, log hclog.Logger) *checkedFiler {
	return &checkedFiler{Filer: segment.NewFiler(dir, fs.New()), dir: dir, log: log}
}

// RecoverTail opens the segment that was being written to.
func (f *checkedFiler) RecoverTail(info types.SegmentInfo) (types.SegmentWriter, error) {
	if err := f.check(info, false); err != nil {
		return nil, err
	}
	return f.Filer.RecoverTail(info)
}

// Open opens a finished segment.
func (f *checkedFiler) Open(info types.SegmentInfo) (types.SegmentReader, error) {
	if err := f.check(info, true); err != nil {
		return nil, err
	}
	return f.Filer.Open(info)
}

func (f *checkedFiler) check(info types.SegmentInfo, sealed bool) error {
	path := filepath.Join(f.dir, segment.FileName(info))
	file, err := os.Open(path)
	if sealed && errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w: the file is missing", path, errDamaged)
	}
	if err != nil {
		return err // a missing last segment is one that a crash kept from being made
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return err
	}
	end, err := checkSegment(file, stat.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if sealed && end < int64(info.IndexStart) {
		return fmt.Errorf("%s: %w: it ends at byte %d of a finished segment", path, errDamaged, end)
	}
	if torn, err := nonZero(file, end, stat.Size()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	} else if torn && !sealed {
		f.log.Warn("dropped the torn last write of the log, which was never acknowledged", "file", path, "offset", end)
	}
	return nil
}

// checkSegment returns the offset behind the last good batch of a segment of size
// bytes. It fails with errDamaged if a good batch stands behind a bad one.
func checkSegment(r io.ReaderAt, size int64) (end int64, err error) {
	br := bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 64<<10)
	for {
		n, err := readBatch(br, end == 0)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		end += n
	}
	after, err := findBatch(r, size, end)
	if err != nil {
		return 0, err
	}
	if after >= 0 {
		return 0, fmt.Errorf("%w: bytes %d to %d do not match their checksum, and good data follows", errDamaged, end, after)
	}
	return end, nil
}

// readBatch reads one batch, the first with the header of the file, and returns its
// length: 0 when there is none, or none that is whole.
func readBatch(br *bufio.Reader, first bool) (length int64, err error) {
	var sum uint32
	take := func(n int) error {
		for length += int64(n); n > 0; {
			b, err := br.Peek(min(n, br.Size()))
			if err != nil {
				return err
			}
			sum = crc32.Update(sum, castagnoli, b)
			n -= len(b)
			if _, err := br.Discard(len(b)); err != nil {
				return err
			}
		}
		return nil
	}
	if first {
		if err := take(segmentHeader); err != nil {
			return 0, endIsNone(err)
		}
	}
	for frames := 0; ; frames++ {
		h, err := br.Peek(frameHeader)
		if err != nil {
			return 0, endIsNone(err)
		}
		kind, value := binary.LittleEndian.Uint32(h), binary.LittleEndian.Uint32(h[4:])
		switch {
		case kind == frameCommit && frames > 0 && value == sum:
			_, err := br.Discard(frameHeader)
			return length + frameHeader, err
		case (kind == frameEntry || kind == frameIndex) && value <= segment.MaxEntrySize:
			if err := take(frameHeader + (int(value)+7)&^7); err != nil {
				return 0, endIsNone(err)
			}
		default:
			return 0, nil
		}
	}
}

// findBatch looks for a whole batch anywhere behind offset, and returns -1 when
// there is none. What a single interrupted write leaves behind cannot contain one:
// the checksum of its only commit frame covers the write from its start.
func findBatch(r io.ReaderAt, size, offset int64) (int64, error) {
	var buf [len(zeros)]byte
	br := bufio.NewReaderSize(nil, 4<<10)
	tried := 0
	for base := offset&^7 + frameHeader; base < size; base += int64(len(buf)) {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-base)], base)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if isZero(buf[:n]) { // segments are allocated ahead
			continue
		}
		for i := 0; i+frameHeader <= n; i += frameHeader {
			kind := binary.LittleEndian.Uint32(buf[i:])
			if kind != frameEntry && kind != frameIndex {
				continue
			}
			if tried++; tried > maxResync {
				return -1, nil
			}
			at := base + int64(i)
			br.Reset(io.NewSectionReader(r, at, size-at))
			if n, err := readBatch(br, false); err != nil || n > 0 {
				return at, err
			}
		}
	}
	return -1, nil
}

// nonZero says whether anything is written between two offsets.
func nonZero(r io.ReaderAt, from, to int64) (bool, error) {
	var buf [len(zeros)]byte
	for ; from < to; from += int64(len(buf)) {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), to-from)], from)
		if err != nil && err != io.EOF {
			return false, err
		}
		if !isZero(buf[:n]) {
			return true, nil
		}
	}
	return false, nil
}

var zeros [64 << 10]byte

// isZero looks at up to len(zeros) bytes.
func isZero(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }

func endIsNone(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}
