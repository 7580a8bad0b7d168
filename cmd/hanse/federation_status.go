package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/hanse-project/hanse/federation"
	"github.com/hanse-project/hanse/replicate"
)

var federationStatus = command{
	name:  "federation status",
	short: "Show how all datacenters are, as a server sees them",
	long: "Shows for each datacenter its leader, its servers that are alive and that have\n" +
		"failed, and how calls to it fare: round trips of the last minutes, calls that\n" +
		"wait, calls that no server answered, open connections, and the breaker. Below\n" +
		"are the replication links between them, and how far behind each is.\n" +
		"With -watch it is shown anew every second until Ctrl-C.",
	examples: []string{"federation status", "federation status -watch", "federation status -datacenter=beijing -format=json"},
	prepare: func(fs *flag.FlagSet) work {
		client, format := clusterFlags(fs), formatFlag(fs)
		watch := fs.Bool("watch", false, "Show the table every second until interrupted.")
		return func(ctx context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			show := func(ctx context.Context, out io.Writer) error {
				var report federation.Report
				if _, err := c.Raw().Query("/v1/federation/status", &report, client.query().WithContext(ctx)); err != nil {
					return failf("Error reading the status of the federation: %s", err)
				}
				if *format == formatJSON {
					return printJSON(out, &report)
				}
				printFederation(out, &report)
				return nil
			}
			return showOrWatch(ctx, std, *watch, show)
		}
	},
}

// showOrWatch shows something once, or every second until a signal comes.
func showOrWatch(ctx context.Context, std stdio, watch bool, show func(context.Context, io.Writer) error) error {
	if !watch {
		return show(ctx, std.out)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return everySecond(ctx, std, show)
}

// clearScreen goes to the first column of the first line and empties the screen.
const clearScreen = "\x1b[H\x1b[2J"

// everySecond shows something until ctx ends: on a terminal in place of what was shown
// before, and otherwise below it. An agent that does not answer is asked again.
func everySecond(ctx context.Context, std stdio, show func(context.Context, io.Writer) error) error {
	f, ok := std.out.(*os.File)
	terminal := ok && isatty.IsTerminal(f.Fd())
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for first := true; ; first = false {
		var text bytes.Buffer // written in one go, so that a terminal does not flicker
		switch {
		case terminal:
			text.WriteString(clearScreen)
		case !first:
			text.WriteString("\n")
		}
		if err := show(ctx, &text); err != nil && ctx.Err() == nil {
			if !terminal {
				fmt.Fprintln(std.err, err)
			} else {
				fmt.Fprintln(&text, err)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if _, err := text.WriteTo(std.out); err != nil {
			return failf("Error writing the status: %s", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// printFederation writes the table. What is not counted or not known is "-".
func printFederation(w io.Writer, report *federation.Report) {
	fmt.Fprintf(w, "Seen from %s in %s\n\n", report.Node, report.Datacenter)
	rows := [][]string{{"Datacenter", "Leader", "Alive", "Failed", "RTT p50", "RTT p99", "In flight", "Errors", "Sessions", "Breaker"}}
	for _, d := range report.Datacenters {
		calls := []string{fmt.Sprint(d.InFlight), fmt.Sprint(d.Errors)}
		breaker := d.Breaker
		if d.BreakerSince != "" {
			breaker += " since " + d.BreakerSince
		}
		if d.Local { // calls within it pass no breaker
			calls, breaker = []string{"-", "-"}, "-"
		}
		leader := d.Leader
		if leader == "" {
			leader = "-"
		}
		rows = append(rows, append([]string{
			d.Datacenter, leader, fmt.Sprint(d.Alive), fmt.Sprint(d.Failed), millisecondsText(d.RTTMedianMs), millisecondsText(d.RTTP99Ms),
		}, append(calls, fmt.Sprint(d.Sessions), breaker)...))
	}
	printColumns(w, rows)
	links := [][]string{{"Link", "From", "To", "State", "Lag", "Behind"}}
	for _, d := range report.Datacenters {
		for _, l := range d.Links {
			if l.To == d.Datacenter { // where it comes from has it, too
				links = append(links, append([]string{l.Name, l.From, l.To, l.State}, behind(l)...))
			}
		}
	}
	if len(links) > 1 {
		fmt.Fprint(w, "\nLinks\n\n")
		printColumns(w, links)
	}
}

// behind is how far a link is behind, which nobody knows of one that does not run.
func behind(l federation.LinkReport) []string {
	if replicate.State(l.State).Rests() {
		return []string{"-", "-"}
	}
	return []string{fmt.Sprintf("%.1f s", l.LagSeconds), fmt.Sprint(l.LagEntries)}
}

func millisecondsText(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", ms)
}
