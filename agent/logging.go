package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	gsyslog "github.com/hashicorp/go-syslog"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/hanse-project/hanse/config"
)

// logFileName is the file in a log folder.
const logFileName = "hanse.log"

// NewLogger makes the agent's logger. Lines go to out, and to the file and to syslog
// if the configuration says so. close ends the file.
func NewLogger(cfg config.Log, out io.Writer) (log hclog.Logger, close func() error, err error) {
	writers := []io.Writer{out}
	close = func() error { return nil }
	if cfg.File != "" {
		file, err := openLogFile(cfg)
		if err != nil {
			return nil, nil, err
		}
		writers, close = append(writers, file), file.Close
	}
	if cfg.Syslog {
		sys, err := gsyslog.NewLogger(gsyslog.LOG_NOTICE, cfg.SyslogFacility, "hanse")
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("open syslog with facility %s (syslog_facility): %w", cfg.SyslogFacility, err), close())
		}
		writers = append(writers, sys)
	}
	log = hclog.New(&hclog.LoggerOptions{
		Name: "agent", Level: hclog.LevelFromString(cfg.Level), JSONFormat: cfg.JSON,
		Output: io.MultiWriter(writers...), TimeFormat: "2006-01-02T15:04:05.000Z0700",
	})
	return log, close, nil
}

// logFile is a file that is put aside when it is too large or too old.
type logFile struct {
	mu      sync.Mutex
	file    *lumberjack.Logger
	maxSize int
	maxAge  time.Duration
	size    int
	since   time.Time
}

func openLogFile(cfg config.Log) (*logFile, error) {
	path := cfg.File
	if filepath.Ext(path) == "" && (path[len(path)-1] == filepath.Separator || isDir(path)) {
		path = filepath.Join(path, logFileName)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of log_file %s: %w", path, err)
	}
	probe, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open log_file: %w", err)
	}
	info, err := probe.Stat()
	if err = errors.Join(err, probe.Close()); err != nil {
		return nil, fmt.Errorf("open log_file: %w", err)
	}
	backups := cfg.RotateMaxFiles
	if backups < 0 {
		backups = 1 // the library takes 0 for "keep all"
	}
	return &logFile{
		// The library's own limit is in megabytes; ours, in bytes, always strikes first.
		file:    &lumberjack.Logger{Filename: path, MaxSize: 1 << 20, MaxBackups: backups, LocalTime: true},
		maxSize: cfg.RotateBytes, maxAge: cfg.RotateDuration, size: int(info.Size()), since: time.Now(),
	}, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Write implements io.Writer.
func (f *logFile) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tooLarge := f.maxSize > 0 && f.size > 0 && f.size+len(line) > f.maxSize
	tooOld := f.maxAge > 0 && time.Since(f.since) >= f.maxAge
	if tooLarge || tooOld {
		if err := f.file.Rotate(); err != nil {
			return 0, fmt.Errorf("rotate log_file: %w", err)
		}
		f.size, f.since = 0, time.Now()
	}
	n, err := f.file.Write(line)
	f.size += n
	return n, err
}

// Close implements io.Closer.
func (f *logFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}
