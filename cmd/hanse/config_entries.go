package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/hcl"

	"github.com/hanse-project/hanse/mesh/entry"
)

var configGroup = command{
	name:     "config",
	short:    "Read and write config entries",
	long:     "Reads and writes config entries: settings of services, proxies and gateways\nthat are kept centrally.",
	examples: []string{"config write web.hcl", "config list -kind=service-defaults", "config read -kind=service-defaults -name=web"},
}

var configWrite = command{
	name:     "config write",
	args:     "FILE",
	short:    "Write a config entry",
	long:     "Writes the config entry that FILE holds, in JSON or HCL, or - for the standard\ninput.",
	examples: []string{"config write web.hcl", "config write -cas -modify-index=0 web.json"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		var cas casFlags
		cas.declare(fs)
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 1); err != nil {
				return err
			}
			e, err := readEntry(args[0], std.in)
			if err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			what := e.Kind + "/" + e.Name
			done := false
			if cas.on {
				done, _, err = c.ConfigEntries().CAS(e.Body, cas.index, nil)
			} else {
				done, _, err = c.ConfigEntries().Set(e.Body, nil)
			}
			if err != nil {
				return failf("Error writing config entry %s: %v", what, err)
			}
			if !done {
				return failf("Config entry not updated: %s", what)
			}
			fmt.Fprintf(std.out, "Config entry written: %s\n", what)
			return nil
		}
	},
}

// casFlags are those of a write that compares.
type casFlags struct {
	on    bool
	index uint64
}

func (c *casFlags) declare(fs *flag.FlagSet) {
	fs.BoolVar(&c.on, "cas", false, "Do it only if the entry is still as it was at -modify-index.")
	fs.Uint64Var(&c.index, "modify-index", 0, "The `index` of the entry's last change, for -cas; 0 if it must not exist.")
}

// readEntry reads an entry from a file, or from the standard input.
func readEntry(path string, stdin io.Reader) (*entry.Entry, error) {
	text, err := readFileOr(path, stdin)
	if err != nil {
		return nil, err
	}
	var e *entry.Entry
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		e, err = entry.ParseJSON(text)
	} else {
		var fields map[string]any
		if err = hcl.Decode(&fields, string(text)); err == nil {
			e, err = entry.Parse(fields)
		}
	}
	if err != nil {
		return nil, failf("Failed to decode config entry input: %v", err)
	}
	return e, nil
}

// readFileOr reads a file, or the standard input for "-".
func readFileOr(path string, stdin io.Reader) ([]byte, error) {
	if path == "-" {
		return readData(path, stdin)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, failf("Failed to load data: Failed to read file: %v", err)
	}
	return text, nil
}

// named declares the flags that say which entry is meant.
func named(fs *flag.FlagSet) (kind, name *string) {
	return fs.String("kind", "", "The `kind` of the entry, such as service-defaults."), fs.String("name", "", "The `name` of the entry.")
}

// wantNamed complains unless both kind and name are given.
func wantNamed(kind, name string) error {
	switch {
	case kind == "":
		return failf("Must specify the -kind parameter")
	case name == "":
		return failf("Must specify the -name parameter")
	}
	return nil
}

var configRead = command{
	name:     "config read",
	short:    "Show a config entry",
	long:     "Shows one config entry as JSON.",
	examples: []string{"config read -kind=service-defaults -name=web"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		kind, name := named(fs)
		return func(_ context.Context, std stdio, args []string) error {
			if err := errors.Join(wantArgs(args, 0), wantNamed(*kind, *name)); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			e, _, err := c.ConfigEntries().Get(*kind, *name, client.query())
			if err != nil {
				return failf("Error reading config entry %s/%s: %v", *kind, *name, err)
			}
			return printJSON(std.out, e)
		}
	},
}

var configList = command{
	name:     "config list",
	short:    "List the config entries of a kind",
	long:     "Lists the names of all config entries of a kind.",
	examples: []string{"config list -kind=service-defaults", "config list -kind=service-defaults -format=json"},
	prepare: func(fs *flag.FlagSet) work {
		client, format := clusterFlags(fs), formatFlag(fs)
		kind := fs.String("kind", "", "The `kind` of the entries.")
		filter := fs.String("filter", "", "An `expression` over the fields of an entry.")
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			if *kind == "" {
				return failf("Must specify the -kind parameter")
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			query := client.query()
			query.Filter = *filter
			entries, _, err := c.ConfigEntries().List(*kind, query)
			if err != nil {
				return failf("Error listing config entries for kind %q: %v", *kind, err)
			}
			if *format == formatJSON {
				return printJSON(std.out, entries)
			}
			for _, e := range entries {
				fmt.Fprintln(std.out, e.GetName())
			}
			return nil
		}
	},
}

var configDelete = command{
	name:     "config delete",
	short:    "Delete a config entry",
	long:     "Deletes the config entry of the given kind and name, or the one that a file\nholds.",
	examples: []string{"config delete -kind=service-defaults -name=web", "config delete -filename=web.hcl"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		kind, name := named(fs)
		file := fs.String("filename", "", "The `path` of a file that holds the entry, in place of -kind and -name.")
		var cas casFlags
		cas.declare(fs)
		return func(_ context.Context, std stdio, args []string) error {
			if err := wantArgs(args, 0); err != nil {
				return err
			}
			if *file != "" {
				if *kind != "" || *name != "" {
					return failf("filename can't be used with kind or name")
				}
				e, err := readEntry(*file, std.in)
				if err != nil {
					return err
				}
				*kind, *name = e.Kind, e.Name
			}
			if err := wantNamed(*kind, *name); err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			return cas.delete(c.ConfigEntries(), std.out, *kind, *name)
		}
	},
}

func (c *casFlags) delete(entries *api.ConfigEntries, out io.Writer, kind, name string) (err error) {
	done := true
	if c.on {
		done, _, err = entries.DeleteCAS(kind, name, c.index, nil)
	} else {
		_, err = entries.Delete(kind, name, nil)
	}
	if err != nil {
		return failf("Error deleting config entry %s/%s: %v", kind, name, err)
	}
	if !done {
		return failf("Config entry not deleted: %s/%s", kind, name)
	}
	fmt.Fprintf(out, "Config entry deleted: %s/%s\n", kind, name)
	return nil
}
