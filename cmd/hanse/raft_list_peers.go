package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"

	"github.com/hashicorp/consul/api"
)

var raftListPeers = command{
	name:     "operator raft list-peers",
	short:    "List the servers of the Raft configuration",
	long:     "Lists the servers that hold the replicated log, which one leads, and how far\nthe others are behind. Use -stale when there is no leader.",
	examples: []string{"operator raft list-peers", "operator raft list-peers -stale"},
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
			raft, err := c.Operator().RaftGetConfiguration(client.query())
			if err != nil {
				return failf("Error getting peers: Failed to retrieve raft configuration: %v", err)
			}
			if *format == formatJSON {
				return printJSON(std.out, raft.Servers)
			}
			printColumns(std.out, peerRows(raft.Servers))
			return nil
		}
	},
}

func peerRows(servers []*api.RaftServer) [][]string {
	var leaderIndex uint64
	for _, s := range servers {
		if s.Leader {
			leaderIndex = s.LastIndex
		}
	}
	rows := [][]string{{"Node", "ID", "Address", "State", "Voter", "RaftProtocol", "Commit Index", "Trails Leader By"}}
	for _, s := range servers {
		state, trails := "follower", "-"
		switch {
		case s.Leader:
			state = "leader"
		case leaderIndex > 0: // followers' figures arrive later, so one may be ahead
			trails = fmt.Sprintf("%d commits", leaderIndex-min(leaderIndex, s.LastIndex))
		}
		rows = append(rows, []string{
			s.Node, s.ID, s.Address, state, strconv.FormatBool(s.Voter),
			s.ProtocolVersion, strconv.FormatUint(s.LastIndex, 10), trails,
		})
	}
	return rows
}
