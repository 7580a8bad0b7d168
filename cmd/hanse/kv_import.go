package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"
)

var kvImport = command{
	name:     "kv import",
	args:     "[DATA]",
	short:    "Write the keys of an export",
	long:     "Writes the keys of JSON that kv export wrote. DATA is the JSON itself, @FILE\nto read a file, or - to read the standard input. Nothing is written unless all\nof it can be read.",
	examples: []string{"kv import @backup.json", "kv import -prefix=copy/ -"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		prefix := fs.String("prefix", "", "A `string` to put before every key, as a folder.")
		return func(_ context.Context, std stdio, args []string) error {
			switch {
			case len(args) == 0:
				return failf("Error! Missing DATA argument")
			case len(args) > 1:
				return failf("Error! Too many arguments (expected 1, got %d)", len(args))
			}
			data, err := readData(args[0], std.in)
			if err != nil {
				return failf("Error! %s", err)
			}
			pairs, err := importPairs(data, *prefix)
			if err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			for _, p := range pairs {
				if _, err := c.KV().Put(p, nil); err != nil {
					return failf("Error! Failed writing data for key %s: %s", p.Key, err)
				}
				fmt.Fprintf(std.out, "Imported: %s\n", p.Key)
			}
			return nil
		}
	},
}

// importPairs decodes all pairs, so that a mistake in one stops the import
// before the first is written.
func importPairs(data []byte, prefix string) (api.KVPairs, error) {
	var exported []exportedPair
	if err := json.Unmarshal(data, &exported); err != nil {
		return nil, failf("Cannot unmarshal data: %s", err)
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	var pairs api.KVPairs
	for _, e := range exported {
		value, err := base64.StdEncoding.DecodeString(e.Value)
		if err != nil {
			return nil, failf("Error base 64 decoding value for key %s: %s", e.Key, err)
		}
		pairs = append(pairs, &api.KVPair{
			Key: prefix + e.Key, Flags: e.Flags, Value: value,
			Namespace: e.Namespace, Partition: e.Partition,
		})
	}
	return pairs, nil
}
