package main

import (
	"context"
	"flag"

	"github.com/hashicorp/consul/api"
)

var forceLeave = command{
	name:     "force-leave",
	args:     "NODE",
	short:    "Make a failed member leave its cluster",
	long:     "Turns a failed member into one that left, so that the cluster stops waiting\nfor it. A member that is still alive joins again by itself.",
	examples: []string{"force-leave node-3", "force-leave -prune -wan node-3.beijing"},
	prepare: func(fs *flag.FlagSet) work {
		client := agentFlags(fs)
		prune := fs.Bool("prune", false, "Take the member off the list of members as well.")
		wan := fs.Bool("wan", false, "Only in the pool of servers of all datacenters.")
		return func(_ context.Context, _ stdio, args []string) error {
			if len(args) != 1 {
				return usageError("A single node name must be specified to force leave.")
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			if err := c.Agent().ForceLeaveOpts(args[0], api.ForceLeaveOpts{Prune: *prune, WAN: *wan}); err != nil {
				return failf("Error force leaving: %s", err)
			}
			return nil
		}
	},
}
