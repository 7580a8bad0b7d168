package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/serf/coordinate"
)

var rttCommand = command{
	name:     "rtt",
	args:     "NODE1 [NODE2]",
	short:    "Estimate the round-trip time between two nodes",
	long:     "Estimates the round-trip time between two nodes from their network\ncoordinates, without a packet between them. The second node is the agent's\nunless it is named. With -wan both are servers, named as in `members -wan`.",
	examples: []string{"rtt web-1 web-2", "rtt web-1", "rtt -wan s1.shanghai s1.beijing"},
	prepare: func(fs *flag.FlagSet) work {
		client, format := agentFlags(fs), formatFlag(fs)
		wan := fs.Bool("wan", false, "Measure between servers, of any datacenters.")
		return func(_ context.Context, std stdio, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usageError("One or two node names must be specified")
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				own, err := ownName(c.Agent(), *wan)
				if err != nil {
					return err
				}
				args = append(args, own)
			}
			places, area := lanPlaces, "LAN"
			if *wan {
				places, area = wanPlaces, "WAN"
			}
			at, err := places(c.Coordinate())
			if err != nil {
				return failf("Error getting coordinates: %s", err)
			}
			for _, node := range args {
				if at[node] == nil {
					return failf("Could not find a coordinate for node %q", node)
				}
			}
			if !at[args[0]].IsCompatibleWith(at[args[1]]) {
				return failf("The coordinates of %q and %q cannot be compared", args[0], args[1])
			}
			ms := at[args[0]].DistanceTo(at[args[1]]).Seconds() * 1000
			if *format == formatJSON {
				return printJSON(std.out, map[string]any{"Nodes": args, "RTTMilliseconds": ms, "Area": area})
			}
			fmt.Fprintf(std.out, "Estimated %s <-> %s rtt: %.3f ms (using %s coordinates)\n", args[0], args[1], ms, area)
			return nil
		}
	},
}

// ownName is the name of the agent's node, in one pool or the other.
func ownName(a *api.Agent, wan bool) (string, error) {
	self, err := a.Self()
	if err != nil {
		return "", failf("Unable to look up agent info: %s", err)
	}
	name, _ := self["Config"]["NodeName"].(string)
	if dc, _ := self["Config"]["Datacenter"].(string); wan {
		name += "." + dc
	}
	return name, nil
}

// lanPlaces are the coordinates of all nodes of the datacenter, by name.
func lanPlaces(c *api.Coordinate) (map[string]*coordinate.Coordinate, error) {
	nodes, _, err := c.Nodes(nil)
	places := map[string]*coordinate.Coordinate{}
	for _, n := range nodes {
		places[n.Node] = n.Coord
	}
	return places, err
}

// wanPlaces are those of all servers, by name and datacenter.
func wanPlaces(c *api.Coordinate) (map[string]*coordinate.Coordinate, error) {
	dcs, err := c.Datacenters()
	places := map[string]*coordinate.Coordinate{}
	for _, dc := range dcs {
		for _, n := range dc.Coordinates {
			places[n.Node+"."+dc.Datacenter] = n.Coord
		}
	}
	return places, err
}
