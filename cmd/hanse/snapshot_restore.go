package main

import (
	"context"
	"flag"
	"fmt"
	"os"
)

var snapshotRestore = command{
	name:     "snapshot restore",
	args:     "FILE",
	short:    "Replace the state of a datacenter by a snapshot",
	long:     "Replaces the whole state of a datacenter's servers by that of a snapshot. It\nneeds no server to stop. Nothing changes if the file is damaged.",
	examples: []string{"snapshot restore backup.snap"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		return func(_ context.Context, std stdio, args []string) error {
			name, err := fileArgument(args)
			if err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			file, err := os.Open(name)
			if err != nil {
				return failf("Error opening snapshot file: %s", err)
			}
			defer file.Close()
			if err := c.Snapshot().Restore(nil, file); err != nil {
				return failf("Error restoring snapshot: %s", err)
			}
			fmt.Fprintln(std.out, "Restored snapshot")
			return nil
		}
	},
}

// fileArgument returns the one file name among args.
func fileArgument(args []string) (string, error) {
	switch len(args) {
	case 0:
		return "", failf("Missing FILE argument")
	case 1:
		return args[0], nil
	}
	return "", failf("Too many arguments (expected 1, got %d)", len(args))
}
