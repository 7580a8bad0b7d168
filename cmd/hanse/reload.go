package main

import (
	"context"
	"flag"
	"fmt"
)

var reload = command{
	name:     "reload",
	short:    "Make an agent read its configuration again",
	long:     "Tells the agent to read its configuration files again, as SIGHUP does. A file\nwith a mistake changes nothing, and the mistake is shown.",
	examples: []string{"reload"},
	prepare: func(fs *flag.FlagSet) work {
		client := agentFlags(fs)
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			if err := c.Agent().Reload(); err != nil {
				return failf("Error reloading: %s", err)
			}
			fmt.Fprintln(std.out, "Configuration reload triggered")
			return nil
		}
	},
}
