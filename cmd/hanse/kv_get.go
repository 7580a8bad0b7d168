package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/hashicorp/consul/api"
)

var kvGet = command{
	name:     "kv get",
	args:     "[KEY_OR_PREFIX]",
	short:    "Read a key, or the keys below a prefix",
	long:     "Prints the value of a key, or with -recurse or -keys what is below a prefix.\nExits with 1 if the key does not exist; nothing below a prefix is no error.\nWith -datacenter=* every line begins with its datacenter.",
	examples: []string{"kv get config/limit", "kv get -detailed config/limit", "kv get -recurse config/", "kv get -keys -separator= config/", "kv get -datacenter=* config/limit"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		var show pairFormat
		fs.BoolVar(&show.base64, "base64", false, "Print values as base64.")
		fs.BoolVar(&show.detailed, "detailed", false, "Print indexes, flags and session as well.")
		keys := fs.Bool("keys", false, "List the keys below the prefix, without values.")
		recurse := fs.Bool("recurse", false, "Print all keys below the prefix.")
		separator := fs.String("separator", "/", "The `string` at which -keys cuts keys off, to list one level.")
		return func(_ context.Context, std stdio, args []string) error {
			key, err := keyArgument(args, *keys || *recurse)
			if err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			out := bufio.NewWriter(std.out)
			if client.everywhere() {
				err := getEverywhere(out, client, c, key, kvWanted{*keys, *recurse, *separator}, show)
				client.warnMissing(std.err)
				return errors.Join(err, out.Flush())
			}
			switch {
			case *keys:
				list, _, err := c.KV().Keys(key, *separator, client.query())
				if err != nil {
					return queryFailed(err)
				}
				for _, k := range list {
					fmt.Fprintln(out, k)
				}
			case *recurse:
				pairs, _, err := c.KV().List(key, client.query())
				if err != nil {
					return queryFailed(err)
				}
				show.printList(out, pairs)
			default:
				pair, _, err := c.KV().Get(key, client.query())
				if err != nil {
					return queryFailed(err)
				}
				if pair == nil {
					return failf("Error! No key exists at: %s", key)
				}
				show.print(out, pair)
			}
			return out.Flush()
		}
	},
}

// kvWanted says what is read of a key or prefix.
type kvWanted struct {
	keys, recurse bool
	separator     string
}

// placedPair is a pair, or with kvWanted.keys a key alone, of one of all datacenters.
type placedPair struct {
	Datacenter string
	api.KVPair
}

// getEverywhere prints what all datacenters have, each line or, in detail, each block with
// its datacenter first.
func getEverywhere(w io.Writer, flags *clientFlags, c *api.Client, key string, want kvWanted, show pairFormat) error {
	switch {
	case want.keys:
		flags.parameters = url.Values{"keys": {""}, "separator": {want.separator}}
	case want.recurse:
		flags.parameters = url.Values{"recurse": {""}}
	}
	rows, err := readEverywhere[placedPair](c, "/v1/kv/"+key, flags.query())
	switch {
	case err != nil:
		return queryFailed(err)
	case len(rows) == 0 && !want.keys && !want.recurse:
		return failf("Error! No key exists at: %s", key)
	}
	for i, row := range rows {
		switch {
		case want.keys:
			fmt.Fprintf(w, "%s:%s\n", row.Datacenter, row.Key)
		case show.detailed:
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "%-17s%s\n", "Datacenter", row.Datacenter)
			show.printDetailed(w, &row.KVPair)
		case want.recurse:
			fmt.Fprintf(w, "%s:%s:%s\n", row.Datacenter, row.Key, show.value(&row.KVPair))
		default:
			fmt.Fprintf(w, "%s:%s\n", row.Datacenter, show.value(&row.KVPair))
		}
	}
	return nil
}

// keyArgument returns the one key among args. A slash in front is a slip of
// many users, since no key begins with it, and taken off. Without an argument
// the key is "", which only a prefix may be.
func keyArgument(args []string, prefix bool) (string, error) {
	switch {
	case len(args) > 1:
		return "", failf("Too many arguments (expected 1, got %d)", len(args))
	case len(args) == 1:
		if key := strings.TrimPrefix(args[0], "/"); key != "" || prefix {
			return key, nil
		}
	case prefix:
		return "", nil
	}
	return "", failf("Error! Missing KEY argument")
}

func queryFailed(err error) error { return failf("Error querying Consul agent: %s", err) }

// pairFormat says how pairs are printed.
type pairFormat struct{ base64, detailed bool }

func (f pairFormat) value(p *api.KVPair) string {
	if f.base64 {
		return base64.StdEncoding.EncodeToString(p.Value)
	}
	return string(p.Value)
}

func (f pairFormat) print(w io.Writer, p *api.KVPair) {
	if f.detailed {
		f.printDetailed(w, p)
		return
	}
	fmt.Fprintln(w, f.value(p))
}

func (f pairFormat) printList(w io.Writer, pairs api.KVPairs) {
	for i, p := range pairs {
		switch {
		case !f.detailed:
			fmt.Fprintf(w, "%s:%s\n", p.Key, f.value(p))
		case i > 0:
			fmt.Fprintln(w)
			fallthrough
		default:
			f.printDetailed(w, p)
		}
	}
}

func (f pairFormat) printDetailed(w io.Writer, p *api.KVPair) {
	session := p.Session
	if session == "" {
		session = "-"
	}
	line := func(name string, value any) { fmt.Fprintf(w, "%-17s%v\n", name, value) }
	line("CreateIndex", p.CreateIndex)
	line("Flags", p.Flags)
	line("Key", p.Key)
	line("LockIndex", p.LockIndex)
	line("ModifyIndex", p.ModifyIndex)
	line("Session", session)
	line("Value", f.value(p))
}
