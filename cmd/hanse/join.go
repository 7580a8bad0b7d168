package main

import (
	"context"
	"flag"
	"fmt"
)

var join = command{
	name:     "join",
	args:     "ADDRESS...",
	short:    "Make an agent join a cluster",
	long:     "Tells the agent to join the pool of the agents at the given addresses. One of\nthem has to answer.",
	examples: []string{"join 10.0.0.1", "join -wan 10.1.0.1:8302"},
	prepare: func(fs *flag.FlagSet) work {
		client := agentFlags(fs)
		wan := fs.Bool("wan", false, "Join the pool of servers of all datacenters.")
		return func(_ context.Context, std stdio, addrs []string) error {
			if len(addrs) == 0 {
				return usageError("At least one address to join must be specified.")
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			joined := 0
			for _, addr := range addrs {
				if err := c.Agent().Join(addr, *wan); err != nil {
					fmt.Fprintf(std.err, "Error joining address '%s': %s\n", addr, err)
					continue
				}
				joined++
			}
			if joined == 0 {
				return failf("Failed to join any nodes.")
			}
			fmt.Fprintf(std.out, "Successfully joined cluster by contacting %d nodes.\n", joined)
			return nil
		}
	},
}
