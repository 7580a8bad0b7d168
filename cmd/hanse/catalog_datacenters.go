package main

import (
	"context"
	"flag"
	"fmt"
)

var catalogDatacenters = command{
	name:     "catalog datacenters",
	short:    "List the datacenters that are known",
	long:     "Lists the datacenters that the servers know, nearest first.",
	examples: []string{"catalog datacenters"},
	prepare: func(fs *flag.FlagSet) work {
		client, format := clusterFlags(fs), formatFlag(fs)
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			list, err := c.Catalog().Datacenters()
			if err != nil {
				return failf("Error listing datacenters: %s", err)
			}
			if *format == formatJSON {
				return printJSON(std.out, list)
			}
			for _, dc := range list {
				fmt.Fprintln(std.out, dc)
			}
			return nil
		}
	},
}
