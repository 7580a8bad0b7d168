package coordinate

import (
	"testing"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/rpc/rpctest"
	"github.com/hanse-project/hanse/store/storetest"
)

// What peers send decodes without a field left over, and a whole one encodes to as many
// bytes: the fields are the same, in another order.
func TestTypesAreThoseOfPeers(t *testing.T) {
	types := rpctest.Types{
		"Coordinate.Update":          {rpctest.Made[UpdateRequest], rpctest.Made[rpc.Nothing]},
		"Coordinate.ListDatacenters": {rpctest.Made[rpc.Empty], rpctest.Made[[]DatacenterMap]},
		"Coordinate.ListNodes":       {rpctest.Made[catalog.DCSpecificRequest], rpctest.Made[Coordinates]},
		"Coordinate.Node":            {rpctest.Made[catalog.NodeSpecificRequest], rpctest.Made[Coordinates]},
	}
	seen := map[string]bool{}
	for _, x := range rpctest.Recorded(t, "testdata/rpc.jsonl") {
		t.Run(x.Method+"/"+x.Note, func(t *testing.T) {
			seen[x.Method] = true
			request, reply := types[x.Method][0](), types[x.Method][1]()
			rpctest.Decode(t, x.Response, reply)
			if _, isUpdate := request.(*UpdateRequest); isUpdate && x.Request[0] == 0x85 { // all fields are there
				rpctest.Reencode(t, x.Request, request)
			} else {
				rpctest.Decode(t, x.Request, request)
			}
		})
	}
	if len(seen) != len(types) {
		t.Errorf("methods seen: %v", seen)
	}
}

// A row that is shown, sent and kept has the fields of a peer's.
func TestARowHasTheFieldsOfAPeersRow(t *testing.T) {
	var fields map[string]any
	rpctest.Decode(t, rpctest.Encode(t, &Coordinate{Node: "n1", Coord: at(1)}), &fields)
	for _, name := range []string{"Node", "Segment", "Partition", "Coord"} {
		if _, found := fields[name]; !found {
			t.Errorf("there is no %s: %v", name, fields)
		}
	}
	if len(fields) != 4 {
		t.Errorf("%d fields: %v", len(fields), fields)
	}
}

func FuzzCommands(f *testing.F) {
	f.Add(storetest.Encode(f, opUpdate, &update{[]*Coordinate{{Node: "n1", Coord: at(1)}, nil, {Node: "n2"}, {Node: "n2", Coord: &Point{Vec: []float64{1}}}}})[9:])
	f.Fuzz(func(t *testing.T, body []byte) {
		d := newDC(t)
		d.register("n1", "n2")
		d.log.Batch(append(storetest.Encode(t, opUpdate, nil)[:9], body...))
		_ = Ruler(d.Read(nil), "n1")("n2") // which panics where it cannot measure
		d.deregister("n1")
		d.deregister("n2")
		d.expect(map[string]float64{})
	})
}
