package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"

	"github.com/hanse-project/hanse/local"
)

var servicesDeregister = command{
	name:     "services deregister",
	args:     "[FILE...]",
	short:    "Deregister services from an agent",
	long:     "Takes away the services that files define, or the one with the given ID. It\nhas to be asked of the agent that the service was registered with.",
	examples: []string{"services deregister web.json", "services deregister -id=web-1"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		id := fs.String("id", "", "The `ID` of the service.")
		return func(_ context.Context, std stdio, args []string) error {
			defs, err := servicesIn(args)
			switch {
			case err != nil:
				return err
			case len(args) == 0 && *id == "":
				return usageError("Service deregistration requires at least one argument or flags.")
			case len(args) > 0 && *id != "":
				return failf("Service deregistration takes files or -id, not both.")
			case *id != "":
				defs = []*local.Service{{ID: *id}}
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			for _, def := range defs {
				id := cmp.Or(def.ID, def.Name)
				if err := c.Agent().ServiceDeregister(id); err != nil {
					return failf("Error deregistering service %q: %s", def.Name, err)
				}
				fmt.Fprintf(std.out, "Deregistered service: %s\n", id)
			}
			return nil
		}
	},
}
