package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/hanse-project/hanse/agent"
	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/local"
	"github.com/hanse-project/hanse/watch"
)

var validate = command{
	name:     "validate",
	args:     "FILE_OR_DIRECTORY...",
	short:    "Check configuration files",
	long:     "Reads configuration files as an agent would, and says what is wrong with them.\nSettings that an agent would ignore are named as warnings.",
	examples: []string{"validate /etc/hanse.d", "validate -quiet server.hcl extra.json"},
	prepare: func(fs *flag.FlagSet) work {
		format := fs.String("config-format", "", "The `format` of all files, json or hcl; by their names by default.")
		quiet := fs.Bool("quiet", false, "Print nothing if the files are valid.")
		return func(_ context.Context, std stdio, paths []string) error {
			if len(paths) == 0 {
				return usageError("Must specify at least one config file or directory")
			}
			warnings, err := loadConfig(*format, paths)
			if err != nil {
				return failf("Config validation failed: %s", err)
			}
			if *quiet {
				return nil
			}
			for _, warning := range warnings {
				fmt.Fprintln(std.err, warning)
			}
			fmt.Fprintln(std.out, "Configuration is valid!")
			return nil
		}
	},
}

// loadConfig loads files as "agent -config-file=..." does, and returns what an
// agent would warn of.
func loadConfig(format string, paths []string) (warnings []string, err error) {
	fs := newFlagSet()
	flags := config.Register(fs)
	var args []string
	if format != "" {
		args = append(args, "-config-format="+format)
	}
	for _, path := range paths {
		args = append(args, "-config-file="+path)
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	cfg, warnings, err := flags.Load()
	if err != nil {
		if cfg = flags.Draft(); cfg == nil {
			return nil, err
		}
	}
	_, wrong := watch.ParseAll(cfg.Watches)
	_, mistaken := agent.ReadMesh(cfg)
	_, broken := agent.ReadLinks(cfg)
	return warnings, errors.Join(err, local.Validate(cfg), wrong, mistaken, broken)
}
