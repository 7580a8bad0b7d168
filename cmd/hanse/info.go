package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
)

var info = command{
	name:     "info",
	short:    "Show what an agent says about itself",
	long:     "Shows figures of the agent and its parts: build, raft, gossip, runtime.",
	examples: []string{"info", "info -format=json"},
	prepare: func(fs *flag.FlagSet) work {
		client, format := agentFlags(fs), formatFlag(fs)
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			self, err := c.Agent().Self()
			if err != nil {
				return failf("Error querying agent: %s", err)
			}
			stats, ok := self["Stats"]
			if !ok {
				return failf("Agent response did not contain 'Stats' key: %v", slices.Sorted(maps.Keys(self)))
			}
			if *format == formatJSON {
				return printJSON(std.out, stats)
			}
			printStats(std.out, stats)
			return nil
		}
	},
}

// printStats writes one block per part of the agent, parts and keys in order.
func printStats(w io.Writer, stats map[string]any) {
	for _, part := range slices.Sorted(maps.Keys(stats)) {
		fmt.Fprintf(w, "%s:\n", part)
		figures, ok := stats[part].(map[string]any)
		if !ok {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(figures)) {
			fmt.Fprintf(w, "\t%s = %v\n", key, figures[key])
		}
	}
}
