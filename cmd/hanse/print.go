package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// printColumns writes rows as a table: two spaces between columns, the last
// one not padded.
func printColumns(w io.Writer, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row[:len(row)-1] {
			fmt.Fprintf(&b, "%-*s  ", widths[i], cell)
		}
		b.WriteString(row[len(row)-1] + "\n")
	}
	io.WriteString(w, b.String())
}

// Formats of the commands that have -format.
const (
	formatPretty = "pretty"
	formatJSON   = "json"
)

// format is the value of a -format flag.
type format string

// formatFlag declares -format.
func formatFlag(fs *flag.FlagSet) *format {
	f := format(formatPretty)
	fs.Var(&f, "format", "The `format` of the output: pretty (the default) or json.")
	return &f
}

func (f *format) String() string { return string(*f) }

// Set accepts the formats in any case.
func (f *format) Set(s string) error {
	switch v := strings.ToLower(s); v {
	case formatPretty, formatJSON:
		*f = format(v)
		return nil
	}
	return fmt.Errorf("use %s or %s", formatPretty, formatJSON)
}

// printJSON writes v indented.
func printJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "    ")
	if err != nil {
		return fmt.Errorf("encode the answer as JSON: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

// keyValues is the value of a flag that may be repeated, each time as
// "key=value".
type keyValues map[string]string

func (kv keyValues) String() string { return "" }

// Set adds one pair.
func (kv keyValues) Set(s string) error {
	key, value, ok := strings.Cut(s, "=")
	if !ok {
		return fmt.Errorf("use key=value")
	}
	kv[key] = value
	return nil
}

// joinPairs renders m as key=value, in order of the keys.
func joinPairs(m map[string]string, separator string) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		pairs = append(pairs, key+"="+m[key])
	}
	return strings.Join(pairs, separator)
}
