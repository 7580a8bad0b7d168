package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/hanse-project/hanse/rpc"
)

// recordNames are the record types of a snapshot as users know them. Those from
// 100 are Hanse's own.
var recordNames = map[byte]string{
	0: "Register", 2: "KVS", 3: "Session", 4: "DeprecatedACL", 5: "Tombstone",
	6: "CoordinateBatchUpdate", 7: "PreparedQuery", 9: "Autopilot", 12: "Intention",
	13: "ConnectCA", 14: "ConnectCAProviderState", 15: "ConnectCAConfig", 16: "Index",
	17: "ACLToken", 19: "ACLPolicy", 22: "ConfigEntry", 23: "ACLRole",
	25: "ACLBindingRule", 27: "ACLAuthMethod", 29: "ChunkingState",
	30: "FederationState", 31: "SystemMetadata", 32: "ServiceVirtualIP",
	33: "FreeVirtualIP", 35: "PeeringWrite", 38: "PeeringTrustBundleWrite",
	40: "PeeringSecretsWrite", 42: "Resource", 100: "HanseIdentity",
}

const recordKV = 2

// usage is how many records something has in a snapshot, and their bytes. The
// field names are those of the JSON output.
type usage struct {
	Name  string
	Sum   int
	Count int
}

// keyGrouping says which keys are counted apart, and how.
type keyGrouping struct {
	depth  int    // how many parts of a key name its group; 0 counts no keys
	filter string // a prefix of the keys to count
}

// group returns the name under which a key is counted, and whether it is.
func (g keyGrouping) group(key string) (string, bool) {
	if g.depth == 0 || !strings.HasPrefix(key, g.filter) {
		return "", false
	}
	parts := strings.SplitN(key, "/", g.depth+1)
	return strings.Join(parts[:min(len(parts), g.depth)], "/"), true
}

// stateUsage is what the state in a snapshot consists of, largest first.
type stateUsage struct {
	types, keys         []usage
	typesSize, keysSize int
}

// measureState reads the state to its end: a header, then records, each a type
// byte and one msgpack value.
func measureState(from io.Reader, grouping keyGrouping) (stateUsage, error) {
	in := bufio.NewReaderSize(from, 64<<10)
	decoder := codec.NewDecoder(in, rpc.Msgpack)
	var header struct{ LastIndex uint64 }
	if err := decoder.Decode(&header); err != nil {
		return stateUsage{}, fmt.Errorf("read the header of the state: %w", err)
	}
	types, keys := map[string]usage{}, map[string]usage{}
	for n := 1; ; n++ {
		kind, err := in.ReadByte()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return stateUsage{}, fmt.Errorf("read record %d: %w", n, err)
		}
		before := decoder.NumBytesRead()
		key, err := decodeRecord(decoder, kind)
		if err != nil {
			return stateUsage{}, fmt.Errorf("decode record %d of type %d: %w", n, kind, err)
		}
		size := 1 + decoder.NumBytesRead() - before
		count(types, recordName(kind), size)
		if kind == recordKV {
			if name, ok := grouping.group(key); ok {
				count(keys, name, size)
			}
		}
	}
	var state stateUsage
	state.types, state.typesSize = rank(types)
	state.keys, state.keysSize = rank(keys)
	return state, nil
}

// decodeRecord steps over one value, and returns the key of a KV record.
func decodeRecord(decoder *codec.Decoder, kind byte) (string, error) {
	if kind != recordKV {
		var unread any
		return "", decoder.Decode(&unread)
	}
	var pair struct{ Key string }
	err := decoder.Decode(&pair)
	return pair.Key, err
}

func recordName(kind byte) string {
	return cmp.Or(recordNames[kind], fmt.Sprintf("Unknown(%d)", kind))
}

func count(in map[string]usage, name string, size int) {
	u := in[name]
	in[name] = usage{Name: name, Sum: u.Sum + size, Count: u.Count + 1}
}

// rank returns all usages, largest first, and the sum of their sizes.
func rank(all map[string]usage) (ranked []usage, total int) {
	for _, u := range all {
		ranked = append(ranked, u)
		total += u.Sum
	}
	slices.SortFunc(ranked, func(a, b usage) int {
		return cmp.Or(cmp.Compare(b.Sum, a.Sum), cmp.Compare(a.Name, b.Name))
	})
	return ranked, total
}
