package main

import (
	"context"
	"flag"
	"fmt"
)

var raftTransferLeader = command{
	name:     "operator raft transfer-leader",
	short:    "Hand the lead to another server",
	long:     "Has the leader hand its lead over, to the server with the given ID or to any\nthat is up to date. Do it before the leader's machine goes down.",
	examples: []string{"operator raft transfer-leader", "operator raft transfer-leader -id=8c0e3f2a-1b7d-4c55-9a3e-0f6d2b1c4e7a"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		id := fs.String("id", "", "The `ID` of the server that shall lead; see \"operator raft list-peers\".")
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			rep, err := c.Operator().RaftLeaderTransfer(*id, client.query())
			if err != nil {
				return failf("Error transfering leadership: %s", err)
			}
			if !rep.Success {
				return failf("Error transfering leadership: the leader keeps its lead")
			}
			fmt.Fprintln(std.out, "Success")
			return nil
		}
	},
}
