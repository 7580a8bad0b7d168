package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"
)

var autopilotState = command{
	name:     "operator autopilot state",
	short:    "Show how the servers are",
	long:     "Shows which servers are healthy, which vote, and how many may be lost before\nthe quorum is.",
	examples: []string{"operator autopilot state", "operator autopilot state -format=json"},
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
			state, err := c.Operator().AutopilotState(client.query())
			if err != nil {
				return failf("Error querying Autopilot state: %s", err)
			}
			if *format == formatJSON {
				return printJSON(std.out, state)
			}
			printPilot(std.out, state)
			return nil
		}
	},
}

func printPilot(w io.Writer, state *api.AutopilotState) {
	fmt.Fprintf(w, "Healthy:                      %v\n", state.Healthy)
	fmt.Fprintf(w, "Failure Tolerance:            %d\n", state.FailureTolerance)
	fmt.Fprintf(w, "Optimistic Failure Tolerance: %d\n", state.OptimisticFailureTolerance)
	fmt.Fprintf(w, "Leader:                       %s\n", state.Leader)
	fmt.Fprintln(w, "Voters:")
	for _, id := range state.Voters {
		fmt.Fprintf(w, "   %s\n", id)
	}
	fmt.Fprintln(w, "Servers:")
	for _, id := range slices.Sorted(maps.Keys(state.Servers)) {
		s := state.Servers[id]
		fmt.Fprintf(w, "   %s\n", id)
		for _, line := range [][2]any{
			{"Name:", s.Name}, {"Address:", s.Address}, {"Version:", s.Version}, {"Status:", s.Status}, {"Node Type:", s.NodeType},
			{"Node Status:", s.NodeStatus}, {"Healthy:", s.Healthy}, {"Last Contact:", s.LastContact},
			{"Last Term:", s.LastTerm}, {"Last Index:", s.LastIndex},
		} {
			fmt.Fprintf(w, "      %-16s %v\n", line[0], line[1])
		}
		if len(s.Meta) > 0 {
			fmt.Fprintln(w, "      Meta")
			for _, key := range slices.Sorted(maps.Keys(s.Meta)) {
				fmt.Fprintf(w, "         %q: %q\n", key, s.Meta[key])
			}
		}
		fmt.Fprintln(w)
	}
}
