package main

import (
	"context"
	"flag"
	"fmt"
	"slices"

	"github.com/hashicorp/consul/api"
)

var catalogNodes = command{
	name:     "catalog nodes",
	short:    "List nodes",
	long:     "Lists the nodes of a datacenter, or those that a service runs on.",
	examples: []string{"catalog nodes", "catalog nodes -service=web -detailed", "catalog nodes -node-meta=rack=r1 -near=_agent", "catalog nodes -datacenter=*"},
	prepare: func(fs *flag.FlagSet) work {
		client, format := clusterFlags(fs), formatFlag(fs)
		detailed := fs.Bool("detailed", false, "Show whole IDs, tagged addresses and metadata.")
		near := fs.String("near", "", "The `node` by whose distance to sort; _agent is the one asked.")
		meta := keyValues{}
		fs.Var(meta, "node-meta", "A `key=value` that a node's metadata must hold; may be repeated.")
		service := fs.String("service", "", "The `name` of a service that the nodes run.")
		filter := fs.String("filter", "", "An `expression` that nodes have to match.")
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			q := client.query()
			q.Near, q.NodeMeta, q.Filter = *near, meta, *filter
			list, err := listNodes(c.Catalog(), *service, q)
			if err != nil {
				return failf("Error listing nodes: %s", err)
			}
			switch {
			case *format == formatJSON && client.everywhere():
				return printJSON(std.out, rowsEverywhere[*api.Node]{list, client.missing})
			case *format == formatJSON:
				return printJSON(std.out, list)
			case len(list) == 0:
				fmt.Fprintln(std.err, "No nodes match the given query - try expanding your search.")
			default:
				printColumns(std.out, nodeRows(list, *detailed))
			}
			client.warnMissing(std.err)
			return nil
		}
	},
}

// listNodes returns all nodes, or if service is given those that it runs on,
// once each.
func listNodes(catalog *api.Catalog, service string, q *api.QueryOptions) ([]*api.Node, error) {
	if service == "" {
		nodes, _, err := catalog.Nodes(q)
		return nodes, err
	}
	instances, _, err := catalog.Service(service, "", q)
	if err != nil {
		return nil, err
	}
	nodes := []*api.Node{} // an empty list in JSON
	for _, s := range instances {
		if slices.ContainsFunc(nodes, func(n *api.Node) bool { return n.Node == s.Node && n.Datacenter == s.Datacenter }) {
			continue
		}
		nodes = append(nodes, &api.Node{
			ID: s.ID, Node: s.Node, Address: s.Address, Datacenter: s.Datacenter,
			TaggedAddresses: s.TaggedAddresses, Meta: s.NodeMeta,
			CreateIndex: s.CreateIndex, ModifyIndex: s.ModifyIndex,
		})
	}
	return nodes, nil
}

// shortID is how many characters of a node's ID the short table shows.
const shortID = 8

func nodeRows(list []*api.Node, detailed bool) [][]string {
	rows := [][]string{{"Node", "ID", "Address", "DC"}}
	if detailed {
		rows[0] = append(rows[0], "TaggedAddresses", "Meta")
	}
	for _, n := range list {
		row := []string{n.Node, n.ID, n.Address, n.Datacenter}
		if detailed {
			row = append(row, joinPairs(n.TaggedAddresses, ", "), joinPairs(n.Meta, ", "))
		} else {
			row[1] = n.ID[:min(len(n.ID), shortID)]
		}
		rows = append(rows, row)
	}
	return rows
}
