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
