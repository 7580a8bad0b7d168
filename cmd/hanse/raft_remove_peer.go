package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/hashicorp/consul/api"
)

var raftRemovePeer = command{
	name:     "operator raft remove-peer",
	short:    "Remove a server from the Raft configuration",
	long:     "Removes a server that will not come back and that the cluster does not remove\nby itself. It is named by its address or by its ID.",
	examples: []string{"operator raft remove-peer -address=10.0.0.3:8300"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		address := fs.String("address", "", "The `IP:port` of the server.")
		id := fs.String("id", "", "The `ID` of the server.")
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			switch {
			case *address == "" && *id == "":
				return removeFailed(failf("an address or id is required for the peer to remove"))
			case *address != "" && *id != "":
				return removeFailed(failf("cannot give both an address and id"))
			case *address != "":
				if err := c.Operator().RaftRemovePeerByAddress(*address, &api.WriteOptions{}); err != nil {
					return removeFailed(err)
				}
				fmt.Fprintf(std.out, "Removed peer with address %q\n", *address)
			default:
				if err := c.Operator().RaftRemovePeerByID(*id, &api.WriteOptions{}); err != nil {
					return removeFailed(err)
				}
				fmt.Fprintf(std.out, "Removed peer with id %q\n", *id)
			}
			return nil
		}
	},
}

func removeFailed(err error) error { return failf("Error removing peer: %s", err) }
