package coordinate

import (
	"github.com/hashicorp/serf/coordinate"

	"github.com/hanse-project/hanse/rpc"
)

// The log keeps these types as arrays without names: a field is only ever added at the
// end of its type, and none is removed.

// Point is a place in the space of round-trip times, in seconds.
type Point = coordinate.Coordinate

// Coordinate is where a node is.
type Coordinate struct {
	Node string
	// Segment is the part of the LAN that the coordinate belongs to. Hanse has one, "".
	Segment   string
	Partition string `json:",omitempty"`
	Coord     *Point
}

// AreaWAN is the area of all coordinates of servers between datacenters.
const AreaWAN = "wan"

// DatacenterMap is where the servers of a datacenter are, as the WAN pool knows it.
type DatacenterMap struct {
	Datacenter string
	// AreaID names the pool. Coordinates of different areas say nothing of each other.
	AreaID string
	// Coordinates are those of the servers, under their names without the datacenter.
	Coordinates []*Coordinate
}

// UpdateRequest says where a node is now.
type UpdateRequest struct {
	rpc.Write
	Node    string
	Segment string
	Coord   *Point
}

// Coordinates is the answer of [ListNodes] and [Node].
type Coordinates struct {
	Coordinates []*Coordinate
	rpc.Meta
}

// usable tells whether a place can be measured from: its numbers are numbers, and it has
// as many dimensions as all others.
func usable(p *Point) bool { return p != nil && p.IsValid() && len(p.Vec) == dimensions }

// dimensions is how many numbers a place has besides its height, in this and in every
// pool that speaks serf.
var dimensions = int(coordinate.DefaultConfig().Dimensionality)
