package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hanse-project/hanse/config"
)

const (
	// logFileName is the file in a log folder, logFileExt what a name without an
	// extension gets.
	logFileName = "hanse"
	logFileExt  = ".log"
	// asideLayout is the time in the name of a file that was put aside. Its texts sort
	// by time.
	asideLayout = "20060102T150405.000000000"
)

// logFile is a file that is put aside, with the time in its name, when it is too large
// or too old.
type logFile struct {
	path string
	// maxSize is in bytes; it and maxAge are 0 where there is no limit.
	maxSize int
	maxAge  time.Duration
	// keep is how many files put aside are kept: 0 keeps all, -1 none.
	keep int

	mu    sync.Mutex
	file  *os.File
	size  int
	since time.Time
}

func openLogFile(cfg config.Log) (*logFile, error) {
	f := &logFile{path: logPath(cfg.File), maxSize: cfg.RotateBytes, maxAge: cfg.RotateDuration, keep: cfg.RotateMaxFiles}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of log_file %s: %w", f.path, err)
	}
	if err := f.openLocked(); err != nil {
		return nil, err
	}
	return f, nil
}

// logPath is the file that log_file means, which may name a folder.
func logPath(name string) string {
	if info, err := os.Stat(name); strings.HasSuffix(name, string(filepath.Separator)) || err == nil && info.IsDir() {
		name = filepath.Join(name, logFileName)
	}
	if filepath.Ext(name) == "" {
		name += logFileExt
	}
	return filepath.Clean(name)
}

func (f *logFile) openLocked() error {
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open log_file: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open log_file: %w", err), file.Close())
	}
	f.file, f.size, f.since = file, int(info.Size()), time.Now()
	return nil
}

// Write implements io.Writer. A line goes to one file whole, and to the old one if a new
// one cannot be begun.
func (f *logFile) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tooLarge := f.maxSize > 0 && f.size > 0 && f.size+len(line) > f.maxSize
	tooOld := f.maxAge > 0 && f.size > 0 && time.Since(f.since) >= f.maxAge
	var failed error
	if tooLarge || tooOld {
		failed = f.rotateLocked()
	}
	n, err := f.file.Write(line)
	f.size += n
	return n, errors.Join(failed, err)
}

func (f *logFile) rotateLocked() error {
	stem, ext := f.parts()
	if err := os.Rename(f.path, stem+time.Now().UTC().Format(asideLayout)+ext); err != nil {
		return fmt.Errorf("put log_file aside: %w", err)
	}
	old := f.file
	if err := f.openLocked(); err != nil {
		return err
	}
	return errors.Join(old.Close(), f.pruneLocked())
}

// parts are what stands before and behind the time in the name of a file put aside.
func (f *logFile) parts() (stem, ext string) {
	ext = filepath.Ext(f.path)
	return strings.TrimSuffix(f.path, ext) + "-", ext
}

// pruneLocked removes the oldest of the files put aside.
func (f *logFile) pruneLocked() error {
	if f.keep == 0 {
		return nil
	}
	dir, err := os.ReadDir(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	stem, ext := f.parts()
	var aside []string
	for _, entry := range dir {
		path := filepath.Join(filepath.Dir(f.path), entry.Name())
		at, ours := strings.CutPrefix(path, stem)
		if _, err := time.Parse(asideLayout, strings.TrimSuffix(at, ext)); ours && err == nil {
			aside = append(aside, path)
		}
	}
	slices.Sort(aside)
	var errs []error
	for _, path := range aside[:max(0, len(aside)-max(f.keep, 0))] {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}

// Close implements io.Closer.
func (f *logFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}
