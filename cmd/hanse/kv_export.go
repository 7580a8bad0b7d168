package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"

	"github.com/hashicorp/consul/api"
)

// exportedPair is a pair in the JSON that kv export writes and kv import reads.
// Value is base64.
type exportedPair struct {
	Key       string `json:"key"`
	Flags     uint64 `json:"flags"`
	Value     string `json:"value"`
	Namespace string `json:"namespace,omitempty"`
	Partition string `json:"partition,omitempty"`
}

var kvExport = command{
	name:     "kv export",
	args:     "[PREFIX]",
	short:    "Write the keys below a prefix as JSON",
	long:     "Writes all keys below a prefix as JSON that kv import reads.",
	examples: []string{"kv export config/", "kv export -datacenter=beijing"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		return func(_ context.Context, std stdio, args []string) error {
			prefix, err := keyArgument(args, true)
			if err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			pairs, _, err := c.KV().List(prefix, client.query())
			if err != nil {
				return queryFailed(err)
			}
			b, err := json.MarshalIndent(exportPairs(pairs), "", "\t")
			if err != nil {
				return failf("Error exporting KV data: %s", err)
			}
			_, err = fmt.Fprintf(std.out, "%s\n", b)
			return err
		}
	},
}

// exportPairs never returns nil: no pairs are an empty list in JSON.
func exportPairs(pairs api.KVPairs) []exportedPair {
	exported := make([]exportedPair, 0, len(pairs))
	for _, p := range pairs {
		exported = append(exported, exportedPair{
			Key: p.Key, Flags: p.Flags, Value: base64.StdEncoding.EncodeToString(p.Value),
			Namespace: p.Namespace, Partition: p.Partition,
		})
	}
	return exported
}
