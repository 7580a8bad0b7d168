package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

var maintCommand = command{
	name:     "maint",
	short:    "Take a node or a service out of service",
	long:     "Takes the agent's node, or with -service one of its services, out of service\nfor as long as somebody works on it, and puts it back. Without -enable and\n-disable it lists what is out of service.",
	examples: []string{"maint -enable -reason=\"new disks\"", "maint -enable -service=web-1", "maint -disable", "maint"},
	prepare: func(fs *flag.FlagSet) work {
		client := agentFlags(fs)
		enable := fs.Bool("enable", false, "Begin the maintenance.")
		disable := fs.Bool("disable", false, "End it.")
		reason := fs.String("reason", "", "Why, as a `text` for those who look at the check; for -enable.")
		service := fs.String("service", "", "The `ID` of a service; the whole node by default.")
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			switch {
			case *enable && *disable:
				return failf("Only one of -enable or -disable may be provided")
			case *reason != "" && !*enable:
				return failf("Reason may only be provided with -enable")
			case *service != "" && !*enable && !*disable:
				return failf("One of -enable or -disable must be provided with -service")
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			if !*enable && !*disable {
				return listMaintenance(c.Agent(), std)
			}
			return maintain(c.Agent(), std, *service, *enable, *reason)
		}
	},
}

func maintain(a *api.Agent, std stdio, service string, on bool, reason string) error {
	of, done, doing := "node", "enabled", "enabling"
	if !on {
		done, doing = "disabled", "disabling"
	}
	var err error
	switch {
	case service != "" && on:
		err = a.EnableServiceMaintenance(service, reason)
	case service != "":
		err = a.DisableServiceMaintenance(service)
	case on:
		err = a.EnableNodeMaintenance(reason)
	default:
		err = a.DisableNodeMaintenance()
	}
	if service != "" {
		of = "service"
	}
	if err != nil {
		return failf("Error %s %s maintenance: %s", doing, of, err)
	}
	if service != "" {
		fmt.Fprintf(std.out, "Service maintenance is now %s for %q\n", done, service)
	} else {
		fmt.Fprintf(std.out, "Node maintenance is now %s\n", done)
	}
	return nil
}

func listMaintenance(a *api.Agent, std stdio) error {
	checks, err := a.Checks()
	if err != nil {
		return failf("Error getting checks: %s", err)
	}
	for _, id := range slices.Sorted(maps.Keys(checks)) {
		switch c := checks[id]; {
		case id == api.NodeMaint:
			fmt.Fprintf(std.out, "Node:\n  Name:   %s\n  Reason: %s\n\n", c.Node, c.Notes)
		case strings.HasPrefix(id, api.ServiceMaintPrefix):
			fmt.Fprintf(std.out, "Service:\n  ID:     %s\n  Reason: %s\n\n", c.ServiceID, c.Notes)
		}
	}
	return nil
}
