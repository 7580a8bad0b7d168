package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"

	"github.com/hashicorp/consul/api"
)

var (
	connectGroup = command{
		name:     "connect",
		short:    "Manage the service mesh",
		long:     "Manages what a service mesh needs of the servers.",
		examples: []string{"connect ca get-config"},
	}
	connectCAGroup = command{
		name:     "connect ca",
		short:    "Manage the mesh's certificate authority",
		long:     "Shows and changes how a datacenter makes certificates for its services.",
		examples: []string{"connect ca get-config", "connect ca set-config -config-file=ca.json"},
	}
)

var connectCAGetConfig = command{
	name:     "connect ca get-config",
	short:    "Show the certificate authority's configuration",
	long:     "Shows the configuration of the certificate authority as JSON. A private key is\nnever shown.",
	examples: []string{"connect ca get-config"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			config, _, err := c.Connect().CAGetConfig(client.query())
			if err != nil {
				return failf("Error querying CA configuration: %v", err)
			}
			text, err := json.MarshalIndent(config, "", "\t")
			if err != nil {
				return err
			}
			fmt.Fprintln(std.out, string(text))
			return nil
		}
	},
}

var connectCASetConfig = command{
	name:     "connect ca set-config",
	short:    "Change the certificate authority's configuration",
	long:     "Changes the configuration of the certificate authority to what a file of JSON\nsays. If that asks for another key or certificate, a new root begins to sign.",
	examples: []string{"connect ca set-config -config-file=ca.json"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		file := fs.String("config-file", "", "The `path` of the file, or - for the standard input.")
		alone := fs.Bool("force-without-cross-signing", false, "Begin with a new root even if the old one does not sign it: who has not heard of it yet will not trust it.")
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			if *file == "" {
				return failf("The -config-file flag is required")
			}
			text, err := readFileOr(*file, std.in)
			if err != nil {
				return err
			}
			var config api.CAConfig
			if err := json.Unmarshal(text, &config); err != nil {
				return failf("Error parsing config file: %v", err)
			}
			config.ForceWithoutCrossSigning = config.ForceWithoutCrossSigning || *alone
			c, err := client.connect()
			if err != nil {
				return err
			}
			if _, err := c.Connect().CASetConfig(&config, nil); err != nil {
				return failf("Error setting CA configuration: %v", err)
			}
			fmt.Fprintln(std.out, "Configuration updated!")
			return nil
		}
	},
}
