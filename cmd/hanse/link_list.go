package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/hanse-project/hanse/replicate/link"
)

var linkList = command{
	name:     "replicate link list",
	short:    "List the links of a datacenter",
	long:     "Lists the links that lead to a datacenter, a line each: what they copy, what\nthey are doing, and how far they are behind.",
	examples: []string{"replicate link list", "replicate link list -datacenter=beijing -format=json"},
	prepare: func(fs *flag.FlagSet) work {
		client, format := clusterFlags(fs), formatFlag(fs)
		return func(ctx context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			c, err := client.connectLinks()
			if err != nil {
				return err
			}
			reports, err := c.list(ctx, "")
			if err != nil {
				return err
			}
			if *format == formatJSON {
				return printJSON(std.out, reports)
			}
			printLinks(std.out, reports)
			return nil
		}
	},
}

func printLinks(w io.Writer, reports []link.Report) {
	if len(reports) == 0 {
		fmt.Fprintln(w, "There are no links.")
		return
	}
	rows := [][]string{{"Link", "From", "Prefix", "Destination", "State", "Lag", "Behind", "Keys"}}
	for i := range reports {
		r := &reports[i]
		state := r.Status.State
		if r.Status.HeldDeletes > 0 {
			state += fmt.Sprintf(" (%d deletes)", r.Status.HeldDeletes)
		}
		rows = append(rows, []string{
			r.Name, r.SourceDatacenter, prefixText(r.Prefix), prefixText(r.DestinationPrefix), state,
			lagText(r), fmt.Sprint(r.Status.LagEntries), fmt.Sprint(r.Status.Keys),
		})
	}
	printColumns(w, rows)
}
