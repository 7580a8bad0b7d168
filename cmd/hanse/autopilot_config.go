package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/hashicorp/consul/api"
)

var autopilotGetConfig = command{
	name:     "operator autopilot get-config",
	short:    "Show how servers enter and leave the quorum",
	long:     "Shows the configuration of autopilot, which gives new servers their vote and\nremoves dead ones.",
	examples: []string{"operator autopilot get-config"},
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
			conf, err := c.Operator().AutopilotGetConfiguration(client.query())
			if err != nil {
				return failf("Error querying Autopilot configuration: %s", err)
			}
			if *format == formatJSON {
				return printJSON(std.out, conf)
			}
			fmt.Fprintf(std.out, "CleanupDeadServers = %v\nLastContactThreshold = %v\nMaxTrailingLogs = %v\nMinQuorum = %v\n"+
				"ServerStabilizationTime = %v\nRedundancyZoneTag = %q\nDisableUpgradeMigration = %v\nUpgradeVersionTag = %q\n",
				conf.CleanupDeadServers, conf.LastContactThreshold, conf.MaxTrailingLogs, conf.MinQuorum,
				conf.ServerStabilizationTime, conf.RedundancyZoneTag, conf.DisableUpgradeMigration, conf.UpgradeVersionTag)
			return nil
		}
	},
}

var autopilotSetConfig = command{
	name:     "operator autopilot set-config",
	short:    "Change how servers enter and leave the quorum",
	long:     "Changes the settings of autopilot that are given as flags, and leaves the\nothers as they are. From then on they hold in place of those in configuration\nfiles.",
	examples: []string{"operator autopilot set-config -cleanup-dead-servers=false", "operator autopilot set-config -min-quorum=3"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		want := new(api.AutopilotConfiguration)
		var contact, stable time.Duration
		fs.BoolVar(&want.CleanupDeadServers, "cleanup-dead-servers", false, "Remove dead servers when new ones come. (`true` or false)")
		fs.DurationVar(&contact, "last-contact-threshold", 0, "The longest `time` that a healthy server has not heard from the leader.")
		fs.Uint64Var(&want.MaxTrailingLogs, "max-trailing-logs", 0, "How many `entries` a healthy server may be behind.")
		fs.UintVar(&want.MinQuorum, "min-quorum", 0, "The `number` of servers below which none is removed.")
		fs.DurationVar(&stable, "server-stabilization-time", 0, "How much `time` a new server must be healthy before it votes.")
		fs.StringVar(&want.RedundancyZoneTag, "redundancy-zone-tag", "", "Kept, and without effect. (`name`)")
		fs.BoolVar(&want.DisableUpgradeMigration, "disable-upgrade-migration", false, "Kept, and without effect.")
		fs.StringVar(&want.UpgradeVersionTag, "upgrade-version-tag", "", "Kept, and without effect. (`name`)")
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			conf, err := c.Operator().AutopilotGetConfiguration(client.query())
			if err != nil {
				return failf("Error querying Autopilot configuration: %s", err)
			}
			fs.Visit(func(f *flag.Flag) {
				switch f.Name {
				case "cleanup-dead-servers":
					conf.CleanupDeadServers = want.CleanupDeadServers
				case "last-contact-threshold":
					conf.LastContactThreshold = api.NewReadableDuration(contact)
				case "max-trailing-logs":
					conf.MaxTrailingLogs = want.MaxTrailingLogs
				case "min-quorum":
					conf.MinQuorum = want.MinQuorum
				case "server-stabilization-time":
					conf.ServerStabilizationTime = api.NewReadableDuration(stable)
				case "redundancy-zone-tag":
					conf.RedundancyZoneTag = want.RedundancyZoneTag
				case "disable-upgrade-migration":
					conf.DisableUpgradeMigration = want.DisableUpgradeMigration
				case "upgrade-version-tag":
					conf.UpgradeVersionTag = want.UpgradeVersionTag
				}
			})
			done, err := c.Operator().AutopilotCASConfiguration(conf, nil)
			if err != nil {
				return failf("Error setting Autopilot configuration: %s", err)
			}
			if !done {
				return failf("Configuration could not be atomically updated, please try again")
			}
			fmt.Fprintln(std.out, "Configuration updated!")
			return nil
		}
	},
}
