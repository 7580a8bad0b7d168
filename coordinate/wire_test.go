package coordinate

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/store/storetest"
)

// What peers send decodes without a field left over, and a whole one encodes to as many
// bytes: the fields are the same, in another order.
func TestTypesAreThoseOfPeers(t *testing.T) {
	types := map[string][2]func() any{
		"Coordinate.Update":          {made[UpdateRequest], made[rpc.Nothing]},
		"Coordinate.ListDatacenters": {made[rpc.Empty], made[[]DatacenterMap]},
		"Coordinate.ListNodes":       {made[catalog.DCSpecificRequest], made[Coordinates]},
		"Coordinate.Node":            {made[catalog.NodeSpecificRequest], made[Coordinates]},
	}
	file, err := os.ReadFile("testdata/rpc.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range bytes.Lines(file) {
		var c struct{ Method, Note, Request, Response string }
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		t.Run(c.Method+"/"+c.Note, func(t *testing.T) {
			seen[c.Method] = true
			request, reply := types[c.Method][0](), types[c.Method][1]()
			asked, answered := fromHex(t, c.Request), fromHex(t, c.Response)
			decode(t, asked, request)
			decode(t, answered, reply)
			if _, isUpdate := request.(*UpdateRequest); isUpdate && asked[0] == 0x85 { // all fields are there
				if n := len(encode(t, request)); n != len(asked) {
					t.Errorf("the request has %d bytes, want %d", n, len(asked))
				}
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
	decode(t, encode(t, &Coordinate{Node: "n1", Coord: at(1)}), &fields)
	for _, name := range []string{"Node", "Segment", "Partition", "Coord"} {
		if _, found := fields[name]; !found {
			t.Errorf("there is no %s: %v", name, fields)
		}
	}
	if len(fields) != 4 {
		t.Errorf("%d fields: %v", len(fields), fields)
	}
}

func made[T any]() any { return new(T) }

func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t *testing.T, data []byte, into any) {
	t.Helper()
	strict := &codec.MsgpackHandle{}
	strict.RawToString, strict.TimeNotBuiltin, strict.ErrorIfNoField = true, true, true
	strict.MapType, strict.TypeInfos = rpc.Msgpack.MapType, rpc.Msgpack.TypeInfos
	if err := codec.NewDecoderBytes(data, strict).Decode(into); err != nil {
		t.Fatalf("%T: %v", into, err)
	}
}

func encode(t testing.TB, value any) []byte {
	t.Helper()
	var out []byte
	if err := codec.NewEncoderBytes(&out, rpc.Msgpack).Encode(value); err != nil {
		t.Fatal(err)
	}
	return out
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
