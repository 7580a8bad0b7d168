package server_test

import (
	"bufio"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/rpc/rpctest"
	"github.com/hanse-project/hanse/test/lab"
)

func decode(t *testing.T, dec *codec.Decoder) any {
	t.Helper()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// The requests of others, byte for byte, on a plain connection: the answers have the
// shapes of those that were recorded.
func TestRecordedRequestsGetAnswersOfTheRecordedShapes(t *testing.T) {
	fed := lab.Start(t, lab.Servers("dc1", 1))
	server := fed.DC("dc1").Nodes[0]
	for _, e := range rpctest.Recorded(t, "testdata/rpc.jsonl") {
		t.Run(e.Method+"/"+e.Note, func(t *testing.T) {
			conn := server.Dial(t, lab.ServerPort)
			if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			message := slices.Concat([]byte{0}, e.Header, e.Request)
			if _, err := conn.Write(message); err != nil {
				t.Fatal(err)
			}
			in := codec.NewDecoder(bufio.NewReader(conn), rpc.Msgpack)
			header := decode(t, in).(map[string]any)
			body := decode(t, in)
			asked := decode(t, codec.NewDecoderBytes(e.Header, rpc.Msgpack)).(map[string]any)
			if fmt.Sprint(header["Seq"]) != fmt.Sprint(asked["Seq"]) || header["ServiceMethod"] != asked["ServiceMethod"] {
				t.Errorf("asked %v, answered %v", asked, header)
			}
			said, _ := header["Error"].(string)
			if (said == "") != (e.Error == "") {
				t.Fatalf("error is %q, recorded was %q", said, e.Error)
			}
			if e.Error != "" {
				if said != e.Error {
					t.Logf("error is %q, recorded was %q", said, e.Error)
				}
				return
			}
			want := decode(t, codec.NewDecoderBytes(e.Response, rpc.Msgpack))
			for _, d := range differences("", body, want) {
				t.Error(d)
			}
		})
	}
}

// differences are those between the shapes of two decoded values: the fields of
// structures and the types of what is there. What is nil or missing in a map of free
// keys, and how long a list is, depends on the data; only first elements are compared.
func differences(path string, got, want any) []string {
	if got == nil && kindOf(want) != "an integer" || want == nil && kindOf(got) != "an integer" {
		return nil
	}
	if g, w := kindOf(got), kindOf(want); g != w {
		return []string{fmt.Sprintf("%s is %s (%v), recorded was %s (%v)", path, g, got, w, want)}
	}
	switch want := want.(type) {
	case map[string]any:
		got := got.(map[string]any)
		var all []string
		for _, key := range slices.Sorted(maps.Keys(want)) {
			value, there := got[key]
			switch {
			case there:
				all = append(all, differences(path+"."+key, value, want[key])...)
			case !free.MatchString(path):
				all = append(all, fmt.Sprintf("%s.%s is missing", path, key))
			}
		}
		for key := range got {
			if _, there := want[key]; !there && !strings.HasPrefix(key, "Hanse") && !free.MatchString(path) {
				all = append(all, fmt.Sprintf("%s.%s was not recorded", path, key))
			}
		}
		return all
	case []any:
		if got := got.([]any); len(got) > 0 && len(want) > 0 {
			return differences(path+"[0]", got[0], want[0])
		}
	}
	return nil
}

// free are the maps whose keys are data.
var free = regexp.MustCompile(`\.(Meta|NodeMeta|ServiceMeta|Config|Services|Keys|PrimaryKeys|Messages|Header|(Service)?TaggedAddresses)$`)

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "nil"
	case int64, uint64:
		return "an integer"
	case []any:
		return "a list"
	case map[string]any:
		return "a map"
	}
	return fmt.Sprintf("a %T", v)
}
