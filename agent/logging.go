package agent

import (
	"errors"
	"fmt"
	"io"

	"github.com/hanse-project/hanse/config"
	"github.com/hashicorp/go-hclog"
	gsyslog "github.com/hashicorp/go-syslog"
)

// NewLogger makes the agent's logger. Lines go to out, and to the file and to syslog
// if the configuration says so, and to those who follow it over HTTP. close ends the file.
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
	return newLogger(lineOptions(hclog.LevelFromString(cfg.Level), cfg.JSON, io.MultiWriter(writers...))), close, nil
}

// lineOptions are how lines look wherever they are read.
func lineOptions(level hclog.Level, json bool, out io.Writer) *hclog.LoggerOptions {
	return &hclog.LoggerOptions{
		Name: "agent", Level: level, JSONFormat: json, Output: out, TimeFormat: "2006-01-02T15:04:05.000Z0700",
	}
}
