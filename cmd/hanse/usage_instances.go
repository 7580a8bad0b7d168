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

var usageInstances = command{
	name:     "operator usage instances",
	short:    "Count services, their instances and nodes",
	long:     "Counts services, their instances and nodes, in this datacenter or in all.",
	examples: []string{"operator usage instances", "operator usage instances -all-datacenters -billable", "operator usage instances -format=json"},
	prepare: func(fs *flag.FlagSet) work {
		client, format := clusterFlags(fs), formatFlag(fs)
		billable := fs.Bool("billable", false, "Show only the instances of users.")
		mesh := fs.Bool("connect", false, "Show only the instances that belong to the mesh.")
		everywhere := fs.Bool("all-datacenters", false, "Count in all datacenters.")
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			query := client.query()
			query.Global = *everywhere
			usage, _, err := c.Operator().Usage(query)
			if err != nil {
				return failf("Error fetching usage information: %s", err)
			}
			switch both := *billable == *mesh; {
			case *format == formatJSON:
				return printJSON(std.out, usage.Usage)
			case both:
				printBillable(std.out, usage.Usage)
				printNodes(std.out, usage.Usage)
				printMesh(std.out, usage.Usage)
			case *billable:
				printBillable(std.out, usage.Usage)
			default:
				printMesh(std.out, usage.Usage)
			}
			return nil
		}
	},
}

// byDatacenter goes through the datacenters in the order of their names.
func byDatacenter(usage map[string]api.ServiceUsage, each func(dc string, u api.ServiceUsage)) {
	for _, dc := range slices.Sorted(maps.Keys(usage)) {
		each(dc, usage[dc])
	}
}

func printBillable(w io.Writer, usage map[string]api.ServiceUsage) {
	total := 0
	rows := [][]string{{"Services", "Service instances"}}
	if len(usage) > 1 {
		rows[0] = append([]string{"Datacenter"}, rows[0]...)
	}
	byDatacenter(usage, func(_ string, u api.ServiceUsage) { total += u.BillableServiceInstances })
	fmt.Fprintf(w, "Billable Service Instances Total: %d\n", total)
	services := 0
	byDatacenter(usage, func(dc string, u api.ServiceUsage) {
		fmt.Fprintf(w, "%s Billable Service Instances: %d\n", dc, u.BillableServiceInstances)
		row := []string{fmt.Sprint(u.Services), fmt.Sprint(u.BillableServiceInstances)}
		if len(usage) > 1 {
			row = append([]string{dc}, row...)
		}
		rows = append(rows, row)
		services += u.Services
	})
	if len(usage) > 1 {
		rows = append(rows, []string{"", "", ""}, []string{"Total", fmt.Sprint(services), fmt.Sprint(total)})
	}
	fmt.Fprint(w, "\nBillable Services\n")
	printCounts(w, rows)
}

func printNodes(w io.Writer, usage map[string]api.ServiceUsage) {
	total := 0
	rows := [][]string{{"Datacenter", "Count            "}} // as wide as the other tables
	byDatacenter(usage, func(dc string, u api.ServiceUsage) {
		rows = append(rows, []string{dc, fmt.Sprint(u.Nodes)})
		total += u.Nodes
	})
	rows = append(rows, []string{"", ""}, []string{"Total", fmt.Sprint(total)})
	fmt.Fprint(w, "\n\nNodes\n")
	printCounts(w, rows)
}

func printMesh(w io.Writer, usage map[string]api.ServiceUsage) {
	rows := [][]string{{"Type", "Service instances"}}
	if len(usage) > 1 {
		rows[0] = append([]string{"Datacenter"}, rows[0]...)
	}
	byDatacenter(usage, func(dc string, u api.ServiceUsage) {
		for _, kind := range slices.Sorted(maps.Keys(u.ConnectServiceInstances)) {
			row := []string{kind, fmt.Sprint(u.ConnectServiceInstances[kind])}
			if len(usage) > 1 {
				row = append([]string{dc}, row...)
			}
			rows = append(rows, row)
		}
	})
	fmt.Fprint(w, "\n\nConnect Services\n")
	printCounts(w, rows)
}

// printCounts writes rows with their columns six spaces apart.
func printCounts(w io.Writer, rows [][]string) {
	tabs := tabwriter.NewWriter(w, 0, 0, 6, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(tabs, strings.Join(row, "\t"))
	}
	tabs.Flush()
}
