package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hanse-project/hanse/replicate"
	"github.com/hanse-project/hanse/replicate/link"
)

var linkStatus = command{
	name:  "replicate link status",
	args:  "[NAME]",
	short: "Show what links are doing",
	long: "Shows of one link, or of all, what it is doing, how far it is behind, what it\n" +
		"holds back and why, its last error, and what was found different.\n" +
		"With -watch it is shown anew every second until Ctrl-C.",
	examples: []string{"replicate link status", "replicate link status shanghai-config -watch", "replicate link status -format=json"},
	prepare: func(fs *flag.FlagSet) work {
		client, format := clusterFlags(fs), formatFlag(fs)
		watch := fs.Bool("watch", false, "Show it every second until interrupted.")
		return func(ctx context.Context, std stdio, args []string) error {
			name, err := linkName(fs, args)
			if err != nil {
				return err
			}
			c, err := client.connectLinks()
			if err != nil {
				return err
			}
			show := func(ctx context.Context, out io.Writer) error {
				reports, err := c.list(ctx, name)
				switch {
				case err != nil:
					return err
				case *format == formatJSON && name != "":
					return printJSON(out, &reports[0])
				case *format == formatJSON:
					return printJSON(out, reports)
				case len(reports) == 0:
					printLinks(out, reports)
				}
				for i := range reports {
					if i > 0 {
						fmt.Fprintln(out)
					}
					printLinkStatus(out, &reports[i], client.datacenter, time.Now())
				}
				return nil
			}
			return showOrWatch(ctx, std, *watch, show)
		}
	},
}

// printLinkStatus writes what there is to say of a link, and leaves out what there is not.
func printLinkStatus(w io.Writer, r *link.Report, datacenter string, now time.Time) {
	s := &r.Status
	fmt.Fprintf(w, "%s: %s of %s to %s\n\n", r.Name, prefixText(r.Prefix), r.SourceDatacenter, prefixText(r.DestinationPrefix))
	rows := [][]string{{"  State", stateText(r)}}
	say := func(label, format string, args ...any) {
		rows = append(rows, []string{"  " + label, fmt.Sprintf(format, args...)})
	}
	also := func(lines ...string) {
		for _, line := range lines {
			rows = append(rows, []string{"", line})
		}
	}
	if s.Total > 0 {
		say("Comparing", "%s", comparingText(s))
	}
	say("Lag", "%s, %s not written yet", lagText(r), countText(s.LagEntries, "change"))
	if s.SourceIndex > 0 { // it is not known while the link stands still
		say("Index", "%d at the source, %d applied", s.SourceIndex, s.AppliedIndex)
	} else {
		say("Index", "%d applied", s.AppliedIndex)
	}
	say("Keys", "%d here", s.Keys)
	say("Rate", "%.0f keys and %s a second", s.KeysPerSecond, bytesText(uint64(s.BytesPerSecond)))
	say("Done", "%d written, %d deleted, %s, %s", s.Applied, s.Deleted, bytesText(s.Bytes), countText(int(s.Errors), "error"))
	if s.HeldDeletes > 0 {
		say("Held", "%s: %s", countText(s.HeldDeletes, "delete"), s.HeldReason)
		also(exampleLines(s.HeldExamples, s.HeldDeletes)...)
		also(decisionLines(r.Name, datacenter)...)
	}
	if s.Conflicts > 0 {
		found := "1 key that somebody else wrote here"
		if s.Conflicts > 1 { // a key counts each time that it is found
			found = fmt.Sprintf("%d times a key that somebody else wrote here", s.Conflicts)
		}
		say("Conflicts", "%s", found)
		also(exampleLines(s.ConflictKeys, len(s.ConflictKeys))...)
	}
	switch {
	case s.Verifying:
		say("Verified", "going on")
	case !s.LastVerify.IsZero():
		say("Verified", "%s, %s", momentText(s.LastVerify, now), foundText(s))
		also(exampleLines(s.DivergentExamples, s.DivergentKeys)...)
	}
	if s.LastError != "" {
		say("Last error", "%s: %s", momentText(s.LastErrorAt, now), s.LastError)
	}
	if left := s.NextRetry.Sub(now); left > 0 {
		say("Next try", "in %s", spanText(left))
	} else if !s.NextRetry.IsZero() {
		say("Next try", "now")
	}
	if !s.LastSuccess.IsZero() && (s.LagSeconds > 0 || s.State != string(replicate.Following)) {
		say("In step", "%s", momentText(s.LastSuccess, now))
	}
	printColumns(w, rows)
}

func stateText(r *link.Report) string {
	state := cmp.Or(r.Status.State, "-")
	if r.FromConfig {
		state += " (kept in configuration files)"
	}
	return state
}

// comparingText shows how far a comparison of everything is.
func comparingText(s *link.Status) string {
	text := fmt.Sprintf("%s  %d of %d keys", barText(s.Done, s.Total), s.Done, s.Total)
	if s.EtaSeconds > 0 {
		text += fmt.Sprintf(", about %s left", spanText(seconds(s.EtaSeconds)))
	}
	return text
}

// decisionLines are the commands that end a hold.
func decisionLines(name, datacenter string) []string {
	if datacenter != "" {
		name = "-datacenter=" + datacenter + " " + name
	}
	return []string{
		fmt.Sprintf("let them go:  %s replicate link approve %s", programName, name),
		fmt.Sprintf("keep them:    %s replicate link reject %s", programName, name),
	}
}

// maxExamples is how many keys are shown of many.
const maxExamples = 5

// exampleLines are some of total keys, a line each.
func exampleLines(keys []string, total int) []string {
	var lines []string
	for _, key := range keys[:min(len(keys), maxExamples)] {
		lines = append(lines, "  "+shownKey(key))
	}
	if more := total - len(lines); more > 0 && len(lines) > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", more))
	}
	return lines
}

// shownKey is a key as it is, or quoted if it would confuse a terminal.
func shownKey(key string) string {
	if quoted := fmt.Sprintf("%q", key); quoted != `"`+key+`"` {
		return quoted
	}
	return key
}

// foundText says what a verification found.
func foundText(s *link.Status) string {
	text := countText(s.DivergentKeys, "key") + " differed"
	if s.DivergentKeys == 0 {
		return "both ends are equal"
	}
	if s.Repaired > 0 {
		text += fmt.Sprintf(", %d put right", s.Repaired)
	}
	return text
}

// lagText is how far a link is behind, "-" if it does not run: nobody looks then.
func lagText(r *link.Report) string {
	if state := replicate.State(r.Status.State); state == "" || state.Rests() {
		return "-"
	}
	return spanText(seconds(r.Status.LagSeconds))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// spanText is a span of time as people read it.
func spanText(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	text := d.Round(time.Second).String()
	if d >= time.Hour {
		text = strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return text
}

func momentText(at, now time.Time) string {
	if ago := now.Sub(at); ago >= 0 {
		return spanText(ago) + " ago"
	}
	return at.Format(time.RFC3339)
}

// countText is a number of things: 1 key, 2 keys.
func countText(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
