package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/consul/api"
)

const remoteEnded = "\nRemote side ended the monitor! This usually means that the\nremote side has exited or crashed."

var monitorCommand = command{
	name:  "monitor",
	short: "Follow the log of an agent",
	long: "Shows the log of an agent while it is written, at a level of its own: debug\n" +
		"lines can be read from an agent that logs only warnings. It ends when it is\n" +
		"interrupted, with code 0, or when the agent ends, with code 1.",
	examples: []string{"monitor", "monitor -log-level=debug -log-json"},
	prepare: func(fs *flag.FlagSet) work {
		client := agentFlags(fs)
		level := fs.String("log-level", "INFO", "The least `level` to show: trace, debug, info, warn or error.")
		asJSON := fs.Bool("log-json", false, "Show lines as JSON.")
		return func(ctx context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			return monitor(ctx, std, c, *level, *asJSON)
		}
	},
}

// monitor prints the lines of an agent's log until ctx ends.
func monitor(ctx context.Context, std stdio, c *api.Client, level string, asJSON bool) error {
	follow := c.Agent().Monitor
	if asJSON {
		follow = c.Agent().MonitorJSON
	}
	lines, err := follow(level, ctx.Done(), (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return failf("Error starting monitor: %s", err)
	}
	for {
		select {
		case line := <-lines:
			if ctx.Err() != nil {
				return nil
			}
			if line == "" { // the client's sign that there are no more
				fmt.Fprintln(std.out, remoteEnded)
				return silentExit(exitFailed)
			}
			if _, err := fmt.Fprintln(std.out, line); err != nil {
				return failf("Error writing the log: %s", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}
