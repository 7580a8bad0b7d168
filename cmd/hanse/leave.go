package main

import (
	"context"
	"flag"
	"fmt"
)

var leave = command{
	name:     "leave",
	short:    "Make an agent leave its cluster and stop",
	long:     "Tells the agent to leave its cluster for good and to stop. The others forget\nit at once instead of waiting for its return.",
	examples: []string{"leave", "leave -http-addr=10.0.0.3:8500"},
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
			if err := c.Agent().Leave(); err != nil {
				return failf("Error leaving: %s", err)
			}
			fmt.Fprintln(std.out, "Graceful leave complete")
			return nil
		}
	},
}
