package consensus

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lockName is the file in the data directory whose lock says that it is in use.
const lockName = "hanse.lock"

// DirLock is the sole use of a data directory. The kernel frees it when the process
// dies, so a left-over file never stands in the way.
type DirLock struct{ file *os.File }

// LockDir makes dir if it is missing, sees that it can be written, and takes its
// lock. The error names the directory, and the process that holds it if one does.
func LockDir(dir string) (*DirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory %s cannot be made: %w; create it, writable for the user of this process, or choose another with -data-dir", dir, err)
	}
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s is not writable: %w; give the user of this process the right to write there, or choose another with -data-dir", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s is locked by another agent%s; stop that agent, or choose another directory with -data-dir", dir, holder(f))
		}
		return nil, fmt.Errorf("data directory %s cannot be locked: %w; choose one on a local disk with -data-dir", dir, err)
	}
	if err := writePID(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("data directory %s is not writable: %w; free some space, or choose another with -data-dir", dir, err)
	}
	return &DirLock{file: f}, nil
}

// Unlock lets others use the directory.
func (l *DirLock) Unlock() error { return l.file.Close() }

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// holder reads who wrote the lock file, for a message.
func holder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}
