package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hanse-project/hanse/replicate/link"
)

var linkVerify = command{
	name:  "replicate link verify",
	args:  "NAME",
	short: "Compare both ends of a link now",
	long: "Compares source and destination by sums over ranges of keys, waits for the\n" +
		"end, and shows what differs. Exits with 1 if something does and was not put\n" +
		"right.\n" +
		"Ctrl-C ends the waiting; the comparison goes on.",
	examples: []string{"replicate link verify shanghai-config", "replicate link verify -repair shanghai-config"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		repair := fs.Bool("repair", false, "Put right what differs, also for a link with -repair=false. With\n-conflict=report, keys that somebody else wrote here stay all the same.")
		return func(ctx context.Context, std stdio, args []string) error {
			name, err := oneLink(fs, args)
			if err != nil {
				return err
			}
			c, err := client.connectLinks()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			s, err := c.verify(ctx, name, *repair)
			if err != nil {
				return err
			}
			fmt.Fprintf(std.out, "Link %s: %s\n", name, foundText(s))
			for _, line := range exampleLines(s.DivergentExamples, s.DivergentKeys) {
				fmt.Fprintln(std.out, line)
			}
			if s.Repaired < s.DivergentKeys {
				return silentExit(exitFailed)
			}
			return nil
		}
	},
}

// verify has a link compared, and waits for what is found.
func (c *linkClient) verify(ctx context.Context, name string, repair bool) (*link.Status, error) {
	before, err := c.list(ctx, name)
	if err != nil {
		return nil, err
	}
	if repair {
		c.flags.parameters = url.Values{"repair": {""}}
	}
	now, err := c.order(ctx, name, link.Verify)
	c.flags.parameters = nil
	if err != nil {
		return nil, err
	}
	last := &before[0].Status
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		switch s := &now.Status; {
		case s.LastVerify.After(last.LastVerify):
			return s, nil
		case !s.Verifying && s.LastErrorAt.After(last.LastErrorAt):
			return nil, failf("The comparison of the link %s failed: %s", name, s.LastError)
		}
		select {
		case <-ctx.Done():
			return nil, failf("The comparison of the link %s goes on: \"%s replicate link status %s\" shows what it finds", name, programName, name)
		case <-tick.C:
		}
		reports, err := c.list(ctx, name)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		if err == nil {
			now = &reports[0]
		}
	}
}
