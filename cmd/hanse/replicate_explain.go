package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"

	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/replicate/link"
)

var replicateExplain = command{
	name:  "replicate explain",
	args:  "KEY",
	short: "Say what each link does with a key, and why",
	long: "Says of a key, by its name here or at a source, what each link of the\n" +
		"datacenter does with it and why: whether it is copied, under which name, who\n" +
		"wrote it here, and up to which index of the source everything is here.",
	examples: []string{"replicate explain config/limit", "replicate explain -datacenter=beijing -format=json config/limit"},
	prepare: func(fs *flag.FlagSet) work {
		client, format := clusterFlags(fs), formatFlag(fs)
		return func(ctx context.Context, std stdio, args []string) error {
			key, err := oneArgument(fs, args)
			if err != nil {
				return err
			}
			if key == "" {
				return failf("Error! Missing KEY argument")
			}
			client.parameters = url.Values{"key": {key}}
			c, err := client.connect()
			if err != nil {
				return err
			}
			var answer explanation
			if _, err := c.Raw().Query("/v1/replicate/explain", &answer, client.query().WithContext(ctx)); err != nil {
				return linkFailed("explaining the key", err)
			}
			if *format == formatJSON {
				return printJSON(std.out, &answer)
			}
			answer.print(std.out)
			return nil
		}
	},
}

// explanation is what links do with a key.
type explanation struct {
	Key    string
	Exists bool
	Links  []link.Explanation
}

func (e *explanation) print(w io.Writer) {
	exists := "exists here"
	if !e.Exists {
		exists = "does not exist here"
	}
	fmt.Fprintf(w, "%s %s.\n", shownKey(e.Key), exists)
	if len(e.Links) == 0 {
		fmt.Fprintln(w, "There are no links.")
	}
	for _, l := range e.Links {
		fmt.Fprintf(w, "\n%s: %s\n", l.Link, l.Action)
		fmt.Fprintf(w, "  %s\n", l.Reason)
		if l.Role == "none" {
			continue
		}
		rows := [][]string{{"  At the source", shownKey(l.SourceKey)}, {"  Here", shownKey(l.DestinationKey)}}
		if l.Origin != "" {
			rows = append(rows, []string{"  Written by", l.Origin})
		}
		index := "not there"
		switch {
		case l.Action == replicate.ActionUnknown:
			index = "not known"
		case l.SourceIndex > 0:
			index = fmt.Sprint(l.SourceIndex)
		}
		rows = append(rows, []string{"  Source index", fmt.Sprintf("%s, everything up to %d is here", index, l.AppliedIndex)})
		printColumns(w, rows)
	}
}
