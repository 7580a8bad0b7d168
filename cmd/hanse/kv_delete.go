package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/hashicorp/consul/api"
)

var kvDelete = command{
	name:     "kv delete",
	args:     "KEY_OR_PREFIX",
	short:    "Delete a key, or all keys below a prefix",
	long:     "Deletes a key, or with -recurse every key that begins with the given text:\nend it with a slash to mean a folder. A key that does not exist is no error.",
	examples: []string{"kv delete config/limit", "kv delete -recurse config/", "kv delete -cas -modify-index=123 config/limit"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		cas := fs.Bool("cas", false, "Delete only if the key is still as it was at -modify-index.")
		index := fs.Uint64("modify-index", 0, "The `index` of the key's last change, for -cas.")
		recurse := fs.Bool("recurse", false, "Delete all keys that begin with the prefix.")
		return func(_ context.Context, std stdio, args []string) error {
			key, err := keyArgument(args, *recurse && len(args) > 0)
			switch {
			case err != nil:
				return err
			case *cas && *recurse:
				return failf("Cannot specify both -cas and -recurse!")
			case *cas && *index == 0:
				return failf("Must specify -modify-index with -cas!")
			case *index != 0 && !*cas:
				return failf("Cannot specify -modify-index without -cas!")
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			switch {
			case *recurse:
				if _, err := c.KV().DeleteTree(key, nil); err != nil {
					return failf("Error! Did not delete prefix %s: %s", key, err)
				}
				fmt.Fprintf(std.out, "Success! Deleted keys with prefix: %s\n", key)
				return nil
			case *cas:
				done, _, err := c.KV().DeleteCAS(&api.KVPair{Key: key, ModifyIndex: *index}, nil)
				if err != nil {
					return failf("Error! Did not delete key %s: %s", key, err)
				}
				if !done {
					return failf("Error! Did not delete key %s: CAS failed", key)
				}
			default:
				if _, err := c.KV().Delete(key, nil); err != nil {
					return failf("Error! Did not delete key %s: %s", key, err)
				}
			}
			fmt.Fprintf(std.out, "Success! Deleted key: %s\n", key)
			return nil
		}
	},
}
