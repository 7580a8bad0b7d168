package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/consensus/archive"
)

var snapshotSave = command{
	name:     "snapshot save",
	args:     "FILE",
	short:    "Save the state of a datacenter to a file",
	long:     "Saves the state of a datacenter's servers to a file, reads it back and checks\nit. The file only appears under its name once it was found good.",
	examples: []string{"snapshot save backup.snap", "snapshot save -stale -append-filename=dc,node backup.snap"},
	prepare: func(fs *flag.FlagSet) work {
		client := clusterFlags(fs)
		parts := fs.String("append-filename", "", "A `list` of what to add to the file's name: version, dc, node, status.")
		return func(_ context.Context, std stdio, args []string) error {
			name, err := fileArgument(args)
			if err != nil {
				return err
			}
			c, err := client.connect()
			if err != nil {
				return err
			}
			if *parts != "" {
				if name, err = appendToName(name, *parts, c, client.datacenter); err != nil {
					return err
				}
			}
			stream, _, err := c.Snapshot().Save(client.query())
			if err != nil {
				return failf("Error saving snapshot: %s", err)
			}
			defer stream.Close()
			index, err := saveVerified(name, stream)
			if err != nil {
				return failf("Error saving snapshot: %s", err)
			}
			fmt.Fprintf(std.out, "Saved and verified snapshot to index %d\n", index)
			return nil
		}
	},
}

// saveVerified writes an archive beside its place, checks what is on disk, and
// moves it there. It returns the index of the snapshot.
func saveVerified(name string, stream io.Reader) (index uint64, err error) {
	draft, err := os.OpenFile(name+".unverified", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		err = errors.Join(err, draft.Close())
		if err != nil {
			os.Remove(draft.Name())
		}
	}()
	if _, err := io.Copy(draft, stream); err != nil {
		return 0, fmt.Errorf("write %s: %w", draft.Name(), err)
	}
	if err := draft.Sync(); err != nil {
		return 0, fmt.Errorf("write %s: %w", draft.Name(), err)
	}
	if _, err := draft.Seek(0, io.SeekStart); err != nil {
		return 0, fmt.Errorf("read %s back: %w", draft.Name(), err)
	}
	saved, err := archive.Read(draft, filepath.Dir(name), maxState)
	if err != nil {
		return 0, fmt.Errorf("verify %s: %w", draft.Name(), err)
	}
	defer saved.Close()
	return saved.Meta.Index, os.Rename(draft.Name(), name)
}

// appendToName puts facts of the agent before the extension of a file's name,
// always in the same order.
func appendToName(name, list string, c *api.Client, datacenter string) (string, error) {
	order := []string{"version", "dc", "node", "status"}
	wanted := strings.Split(list, ",")
	for _, part := range wanted {
		if !slices.Contains(order, part) {
			return "", failf("-append-filename does not know %q: use %s", part, strings.Join(order, ", "))
		}
	}
	self, err := c.Agent().Self()
	if err != nil {
		return "", failf("Error querying agent: %s", err)
	}
	about := func(key string) string { return fmt.Sprint(self["Config"][key]) }
	facts := map[string]string{
		"version": about("Version"),
		"dc":      cmp.Or(datacenter, about("Datacenter")),
		"node":    about("NodeName"),
		"status":  "follower",
	}
	if server, ok := self["Stats"]["consul"].(map[string]any); ok && server["leader"] == "true" {
		facts["status"] = "leader"
	}
	extension := filepath.Ext(name)
	name = strings.TrimSuffix(name, extension)
	for _, part := range order {
		if slices.Contains(wanted, part) {
			name += "-" + facts[part]
		}
	}
	return name + extension, nil
}
