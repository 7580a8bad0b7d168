package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/hashicorp/consul/api"
)

var catalogServices = command{
	name:     "catalog services",
	short:    "List services",
	long:     "Lists the services of a datacenter, or of one of its nodes.",
	examples: []string{"catalog services", "catalog services -tags -node=node-1", "catalog services -datacenter=*"},
	prepare: func(fs *flag.FlagSet) work {
		client, format := clusterFlags(fs), formatFlag(fs)
		node := fs.String("node", "", "The `name` or ID of the node whose services to list.")
		meta := keyValues{}
		fs.Var(meta, "node-meta", "A `key=value` that the metadata of a service's node must hold; may be repeated.")
		tags := fs.Bool("tags", false, "Show the tags of each service.")
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			q := client.query()
			q.NodeMeta = meta
			if client.everywhere() {
				return servicesEverywhere(std, client, c, *node, q, *format == formatJSON, *tags)
			}
			services, err := listServices(c.Catalog(), *node, q)
			if err != nil {
				return failf("Error listing services: %s", err)
			}
			switch {
			case *format == formatJSON:
				return printJSON(std.out, services)
			case len(services) == 0:
				fmt.Fprintln(std.err, "No services match the given query - try expanding your search.")
				return nil
			}
			return printServices(std.out, services, *tags)
		}
	},
}

// listServices returns the names of services with all their tags: those of the
// datacenter, or if node is given those on it.
func listServices(catalog *api.Catalog, node string, q *api.QueryOptions) (map[string][]string, error) {
	if node == "" {
		services, _, err := catalog.Services(q)
		return services, err
	}
	services := map[string][]string{}
	found, _, err := catalog.Node(node, q)
	if err != nil || found == nil {
		return services, err
	}
	for _, s := range found.Services {
		services[s.Service] = append(services[s.Service], s.Tags...)
	}
	return services, nil
}

func printServices(w io.Writer, services map[string][]string, withTags bool) error {
	t := tabwriter.NewWriter(w, 0, 2, 6, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(services)) {
		if !withTags {
			fmt.Fprintln(t, name)
			continue
		}
		tags := slices.Compact(slices.Sorted(slices.Values(services[name])))
		fmt.Fprintf(t, "%s\t%s\n", name, strings.Join(tags, ","))
	}
	return t.Flush()
}

// serviceEverywhere is the row of a service in one of all datacenters.
type serviceEverywhere struct {
	Datacenter, Name string
	Tags             []string
}

// servicesEverywhere prints the services of all datacenters, each with its datacenter.
func servicesEverywhere(std stdio, flags *clientFlags, c *api.Client, node string, q *api.QueryOptions, asJSON, tags bool) error {
	rows, err := listServicesEverywhere(c, node, q)
	switch {
	case err != nil:
		return failf("Error listing services: %s", err)
	case asJSON:
		return printJSON(std.out, rowsEverywhere[serviceEverywhere]{rows, flags.missing})
	case len(rows) == 0:
		fmt.Fprintln(std.err, "No services match the given query - try expanding your search.")
	}
	t := tabwriter.NewWriter(std.out, 0, 2, 6, ' ', 0)
	for _, row := range rows {
		line := row.Datacenter + "\t" + row.Name
		if tags {
			line += "\t" + strings.Join(slices.Compact(slices.Sorted(slices.Values(row.Tags))), ",")
		}
		fmt.Fprintln(t, line)
	}
	flags.warnMissing(std.err)
	return t.Flush()
}

// listServicesEverywhere is [listServices] in all datacenters.
func listServicesEverywhere(c *api.Client, node string, q *api.QueryOptions) ([]serviceEverywhere, error) {
	if node == "" {
		return readEverywhere[serviceEverywhere](c, "/v1/catalog/services", q)
	}
	type placedNode struct {
		Datacenter string
		Services   map[string]*api.AgentService
	}
	nodes, err := readEverywhere[placedNode](c, "/v1/catalog/node/"+node, q)
	rows := []serviceEverywhere{} // an empty list in JSON
	for _, n := range nodes {
		tags := map[string][]string{}
		for _, s := range n.Services {
			tags[s.Service] = append(tags[s.Service], s.Tags...)
		}
		for _, name := range slices.Sorted(maps.Keys(tags)) {
			rows = append(rows, serviceEverywhere{n.Datacenter, name, tags[name]})
		}
	}
	return rows, err
}
