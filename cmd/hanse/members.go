package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"
)

// exitNoMembers is the code when no member matches.
const exitNoMembers = silentExit(2)

var members = command{
	name:     "members",
	short:    "List the members of the gossip pool",
	long:     "Lists the members that the agent knows, with their state: alive, leaving,\nleft or failed. Exits with 2 if none matches.",
	examples: []string{"members", "members -wan", "members -status='alive|failed' -detailed"},
	prepare: func(fs *flag.FlagSet) work {
		client, format := agentFlags(fs), formatFlag(fs)
		detailed := fs.Bool("detailed", false, "Show all tags of each member.")
		wan := fs.Bool("wan", false, "List the servers of all datacenters, as a server knows them.")
		status := fs.String("status", ".*", "A `regexp` that the state has to match.")
		filter := fs.String("filter", "", "An `expression` that members have to match.")
		segment := fs.String("segment", api.AllSegments, "The `name` of a network segment, for agents that have segments.")
		return func(_ context.Context, std stdio, _ []string) error {
			wanted, err := regexp.Compile(*status)
			if err != nil {
				return failf("Failed to compile status regexp: %v", err)
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			list, err := c.Agent().MembersOpts(api.MembersOpts{Segment: *segment, WAN: *wan, Filter: *filter})
			if err != nil {
				return failf("Error retrieving members: %s", err)
			}
			list = slices.DeleteFunc(list, func(m *api.AgentMember) bool { return !wanted.MatchString(memberStatus(m)) })
			if len(list) == 0 {
				return exitNoMembers
			}
			slices.SortFunc(list, compareMembers)
			switch {
			case *format == formatJSON:
				return printJSON(std.out, list)
			case *detailed:
				printColumns(std.out, detailedMembers(list))
			default:
				printColumns(std.out, standardMembers(list))
			}
			return nil
		}
	},
}

func standardMembers(list []*api.AgentMember) [][]string {
	rows := [][]string{{"Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Partition", "Segment"}}
	for _, m := range list {
		build, _, _ := strings.Cut(m.Tags["build"], ":")
		rows = append(rows, []string{
			m.Name, memberAddress(m), memberStatus(m), memberType(m), build,
			m.Tags["vsn"], m.Tags["dc"], memberPartition(m), memberSegment(m),
		})
	}
	return rows
}

func detailedMembers(list []*api.AgentMember) [][]string {
	rows := [][]string{{"Node", "Address", "Status", "Tags"}}
	for _, m := range list {
		tags := maps.Clone(m.Tags)
		tags["ap"], tags["segment"] = memberPartition(m), memberSegment(m)
		rows = append(rows, []string{m.Name, memberAddress(m), memberStatus(m), joinPairs(tags, ",")})
	}
	return rows
}

// compareMembers puts servers, which are in every segment, before clients.
func compareMembers(a, b *api.AgentMember) int {
	return cmp.Or(
		cmp.Compare(memberPartition(a), memberPartition(b)),
		cmp.Compare(memberSegment(a), memberSegment(b)),
		cmp.Compare(a.Name, b.Name),
	)
}

func memberAddress(m *api.AgentMember) string {
	return net.JoinHostPort(m.Addr, strconv.Itoa(int(m.Port)))
}

// memberStatus names the state that serf gives as a number.
func memberStatus(m *api.AgentMember) string {
	names := [...]string{"none", "alive", "leaving", "left", "failed"}
	if m.Status < 0 || m.Status >= len(names) {
		return fmt.Sprintf("unknown(%d)", m.Status)
	}
	return names[m.Status]
}

func memberType(m *api.AgentMember) string {
	switch m.Tags["role"] {
	case "consul":
		return "server"
	case "node":
		return "client"
	}
	return "unknown"
}

func memberPartition(m *api.AgentMember) string { return cmp.Or(m.Tags["ap"], "default") }

func memberSegment(m *api.AgentMember) string {
	if m.Tags["segment"] == "" && memberType(m) == "server" {
		return "<all>"
	}
	return cmp.Or(m.Tags["segment"], "<default>")
}
