package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/hashicorp/raft"

	"github.com/hanse-project/hanse/consensus/archive"
)

const (
	// maxState bounds in bytes what a damaged archive may unpack to.
	maxState = 1 << 40
	// rawState is the name of a state that was not packed: raft keeps it so in
	// the data directory, with its metadata beside it in rawMeta.
	rawState = "state.bin"
	rawMeta  = "meta.json"

	defaultKeyDepth = 2
)

var snapshotInspect = command{
	name:  "snapshot inspect",
	args:  "FILE",
	short: "Show what a snapshot holds",
	long: "Shows what a snapshot holds: its index, and of every type of record how many\n" +
		"there are and their size. A damaged file is refused. FILE may also be a\nstate.bin in the data directory of a server.",
	examples: []string{"snapshot inspect backup.snap", "snapshot inspect -kvdetails -kvdepth=3 -kvfilter=config/ backup.snap"},
	prepare: func(fs *flag.FlagSet) work {
		format := formatFlag(fs)
		details := fs.Bool("kvdetails", false, "Show the size of the keys as well, in groups.")
		depth := fs.Int("kvdepth", defaultKeyDepth, "The `number` of parts of a key that make its group.")
		filter := fs.String("kvfilter", "", "A `prefix`: count only keys that begin with it.")
		return func(_ context.Context, std stdio, args []string) error {
			name, err := fileArgument(args)
			if err != nil {
				return err
			}
			grouping := keyGrouping{*depth, *filter}
			switch {
			case *details && *depth < 1:
				return failf("-kvdepth is %d: use at least 1", *depth)
			case !*details && (*depth != defaultKeyDepth || *filter != ""):
				return failf("-kvdepth and -kvfilter can only be used with -kvdetails")
			case !*details:
				grouping = keyGrouping{}
			}
			meta, state, err := inspectFile(name, grouping)
			if err != nil {
				return err
			}
			if *format == formatJSON {
				return printJSON(std.out, inspection(meta, state))
			}
			return printSnapshot(std.out, meta, state)
		}
	},
}

// inspectFile reads a snapshot from an archive, or from a data directory.
func inspectFile(name string, grouping keyGrouping) (raft.SnapshotMeta, stateUsage, error) {
	file, err := os.Open(name)
	if err != nil {
		return raft.SnapshotMeta{}, stateUsage{}, failf("Error opening snapshot file: %s", err)
	}
	defer file.Close()

	var meta raft.SnapshotMeta
	var state io.Reader = file
	if filepath.Base(name) == rawState {
		meta, err = readMeta(filepath.Join(filepath.Dir(name), rawMeta))
	} else {
		var packed *archive.Archive
		if packed, err = archive.Read(file, "", maxState); err == nil {
			defer packed.Close()
			meta, state = packed.Meta, packed.State()
		}
	}
	if err != nil {
		return meta, stateUsage{}, failf("Error reading snapshot: %s", err)
	}
	used, err := measureState(state, grouping)
	if err != nil {
		return meta, used, failf("Error extracting snapshot data: %s", err)
	}
	return meta, used, nil
}

func readMeta(name string) (meta raft.SnapshotMeta, err error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return meta, err
	}
	if err := json.Unmarshal(data, &meta); err != nil {
		return meta, fmt.Errorf("%s: %w", name, err)
	}
	return meta, nil
}

// inspection is the JSON output.
func inspection(meta raft.SnapshotMeta, state stateUsage) any {
	type metadata struct {
		ID      string
		Size    int64
		Index   uint64
		Term    uint64
		Version raft.SnapshotVersion
	}
	return struct {
		Meta        metadata
		Stats       []usage
		StatsKV     []usage
		TotalSize   int
		TotalSizeKV int
	}{
		metadata{meta.ID, meta.Size, meta.Index, meta.Term, meta.Version},
		state.types, state.keys, state.typesSize, state.keysSize,
	}
}

func printSnapshot(w io.Writer, meta raft.SnapshotMeta, state stateUsage) error {
	t := tabwriter.NewWriter(w, 8, 8, 6, ' ', 0)
	fmt.Fprintf(t, " ID\t%s\n Size\t%d\n Index\t%d\n Term\t%d\n Version\t%d\n",
		meta.ID, meta.Size, meta.Index, meta.Term, meta.Version)
	printUsage(t, "Type", state.types, state.typesSize)
	if len(state.keys) > 0 {
		printUsage(t, "Key Name", state.keys, state.keysSize)
	}
	return t.Flush()
}

func printUsage(t *tabwriter.Writer, title string, list []usage, total int) {
	const rule = " ----\t----\t----\n"
	fmt.Fprintf(t, "\n %s\tCount\tSize\n%s", title, rule)
	for _, u := range list {
		fmt.Fprintf(t, " %s\t%d\t%s\n", u.Name, u.Count, byteSize(u.Sum))
	}
	fmt.Fprintf(t, "%s Total\t\t%s\n", rule, byteSize(total))
}

// byteSize renders a size in the largest unit of which there is one, with at
// most one digit after the point.
func byteSize(n int) string {
	units := []string{"B", "KB", "MB", "GB", "TB"}
	size, unit := float64(n), 0
	for size >= 1024 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	return strings.TrimSuffix(strconv.FormatFloat(size, 'f', 1, 64), ".0") + units[unit]
}
