package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"
)

var keyringCommand = command{
	name:  "keyring",
	short: "List and change the keys that encrypt gossip",
	long: "Lists the keys that encrypt gossip in all pools, with how many members hold\n" +
		"each, or changes them in all pools at once. A key is replaced in three steps:\n" +
		"install the new one, use it, remove the old one. Exits with 1 if a member does\n" +
		"not answer, or cannot do it.",
	examples: []string{
		"keyring -list", "keyring -install=\"$(hanse keygen)\"", "keyring -use=pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=",
		"keyring -remove=tmTmUmFZ7jVnqLKk2kC5Uu7dVYvJh0b8kq3pVxk9mGc=",
	},
	prepare: func(fs *flag.FlagSet) work {
		r := &keyringRequest{client: agentFlags(fs), format: formatFlag(fs)}
		fs.BoolVar(&r.list, "list", false, "List the keys.")
		fs.BoolVar(&r.primary, "list-primary", false, "List the keys that encrypt what is sent.")
		fs.StringVar(&r.install, "install", "", "Give a new `key` to all members.")
		fs.StringVar(&r.use, "use", "", "Encrypt with this `key`, which all members must have.")
		fs.StringVar(&r.remove, "remove", "", "Take this `key` from all members; not the one in use.")
		fs.BoolVar(&r.local, "local-only", false, "Ask the servers of this datacenter alone; for -list and -list-primary.")
		fs.UintVar(&r.relay, "relay-factor", 0, "Have members send their answers over this `many` others as well, 5 at most.")
		return r.run
	},
}

// keyringRequest is what the command line asks for.
type keyringRequest struct {
	client               *clientFlags
	format               *format
	list, primary, local bool
	install, use, remove string
	relay                uint
}

// maxRelay is the most that members are asked to relay.
const maxRelay = 5

func (r *keyringRequest) check(args []string) error {
	if err := wantArgs(args, 0); err != nil {
		return err
	}
	actions := 0
	for _, asked := range []bool{r.list, r.primary, r.install != "", r.use != "", r.remove != ""} {
		if asked {
			actions++
		}
	}
	switch {
	case actions == 0:
		return usageError("Say what to do: -list, -list-primary, -install, -use or -remove")
	case actions > 1:
		return failf("Only a single action is allowed")
	case r.relay > maxRelay:
		return failf("Error parsing relay factor: %d not in range: [0, %d]", r.relay, maxRelay)
	case r.local && !r.list && !r.primary:
		return failf("Error validating local-only: it is only for -list and -list-primary")
	}
	return nil
}

func (r *keyringRequest) run(_ context.Context, std stdio, args []string) error {
	if err := r.check(args); err != nil {
		return err
	}
	c, err := r.client.connect()
	if err != nil {
		return err
	}
	if r.list || r.primary {
		return r.show(c.Operator(), std)
	}
	what, change, key := "Installing new gossip encryption key...", c.Operator().KeyringInstall, r.install
	switch {
	case r.use != "":
		what, change, key = "Changing primary gossip encryption key...", c.Operator().KeyringUse, r.use
	case r.remove != "":
		what, change, key = "Removing gossip encryption key...", c.Operator().KeyringRemove, r.remove
	}
	fmt.Fprintf(std.out, "==> %s\n", what)
	if err := change(key, &api.WriteOptions{RelayFactor: uint8(r.relay)}); err != nil {
		return failf("error: %s", err)
	}
	return nil
}

func (r *keyringRequest) show(operator *api.Operator, std stdio) error {
	json := *r.format == formatJSON
	if !json {
		what := "keys"
		if r.primary {
			what = "primary keys"
		}
		fmt.Fprintf(std.out, "==> Gathering installed encryption %s...\n", what)
	}
	rings, err := operator.KeyringList(&api.QueryOptions{RelayFactor: uint8(r.relay), LocalOnly: r.local})
	if err != nil {
		return failf("error: %s", err)
	}
	if json {
		return printJSON(std.out, rings)
	}
	for _, ring := range rings {
		name := ring.Datacenter + " (LAN)"
		if ring.WAN {
			name = "WAN"
		}
		keys := ring.Keys
		if r.primary {
			keys = ring.PrimaryKeys
		}
		fmt.Fprintf(std.out, "\n%s:\n", name)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			fmt.Fprintf(std.out, "  %s [%d/%d]\n", key, keys[key], ring.NumNodes)
		}
	}
	return nil
}
