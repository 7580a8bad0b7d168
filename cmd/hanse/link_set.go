package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/hanse-project/hanse/replicate/link"
)

var linkSet = command{
	name:  "replicate link set",
	args:  "[NAME]",
	short: "Make a link, or change one",
	long: "Makes a link, or changes the settings of one that exists: those that are not\n" +
		"given stay as they are. A new link needs -source-datacenter and -prefix;\n" +
		"without NAME it is named after both.",
	examples: []string{
		"replicate link set -source-datacenter=shanghai -prefix=config/",
		"replicate link set osaka -source-datacenter=osaka -prefix=",
		"replicate link set jobs -rate-limit=500 -verify-interval=1h",
	},
	prepare: func(fs *flag.FlagSet) work {
		client, format := clusterFlags(fs), formatFlag(fs)
		s := linkSettings{values: map[string]any{}}
		s.declare(fs)
		return func(ctx context.Context, std stdio, args []string) error {
			name, err := linkName(fs, args)
			if err != nil {
				return err
			}
			body, err := s.body(std.in)
			if err != nil {
				return err
			}
			c, err := client.connectLinks()
			if err != nil {
				return err
			}
			path := "/v1/replicate/links"
			if name != "" {
				path = linkPath(name)
			}
			var r link.Report
			if _, err := c.Raw().Write(path, body, &r, new(api.WriteOptions).WithContext(ctx)); err != nil {
				return linkFailed("setting the link", err)
			}
			if *format == formatJSON {
				return printJSON(std.out, &r)
			}
			printLink(std.out, &r)
			return nil
		}
	},
}

// linkSettings are those that were given, by the names of the API. What is not given is left
// as it is.
type linkSettings struct {
	values map[string]any
	token  *string
}

func (s *linkSettings) declare(fs *flag.FlagSet) {
	text := func(name, usage string) { fs.Func(name, usage, s.take(name, asText)) }
	text("source-datacenter", "The `datacenter` that the keys come from.")
	text("prefix", "The `prefix` of the keys there; -prefix= copies all keys.")
	text("destination-prefix", "The `prefix` that they have here, if it is another one.")
	fs.Func("exclude", "A `prefix` of source keys to leave alone at both ends; may be repeated. -exclude= removes those that were given before.", s.exclude)
	fs.Func("source-token", "The ACL `token` to send to the source, @FILE to read it from a file, - for the standard input, or empty for none.", func(v string) error {
		s.token = &v
		return nil
	})
	s.switchFlag(fs, "delete", "Delete here what is deleted at the source (the default).")
	fs.Func("max-delete-fraction", "The `share` of the keys, from 0 to 1, that may be deleted at once; 0.5 by default. Deletes of more are held.", s.take("max-delete-fraction", asNumber))
	fs.Func("rate-limit", "How many `keys` a second are written at most, 0 for no limit (the default).", s.take("rate-limit", asNumber))
	fs.Func("verify-interval", "The `duration` between two comparisons of both ends in the background, 10m by default; 0s for never.", s.take("verify-interval", asDuration))
	s.switchFlag(fs, "repair", "Put right what a comparison finds different (the default).")
	text("conflict", "The `rule` for a key that somebody else wrote here: source-wins (the default) or report.")
	s.switchFlag(fs, "prune", "Delete keys below the destination prefix that the link never wrote, too.")
	s.switchFlag(fs, "enabled", "Run the link (the default).")
}

// take reads a flag into the setting of its name.
func (s *linkSettings) take(name string, as func(string) (any, error)) func(string) error {
	return func(v string) (err error) {
		s.values[settingName(name)], err = as(v)
		return err
	}
}

func (s *linkSettings) switchFlag(fs *flag.FlagSet, name, usage string) {
	fs.BoolFunc(name, usage, s.take(name, asSwitch))
}

func (s *linkSettings) exclude(v string) error {
	list, _ := s.values["exclude"].([]string)
	if v != "" {
		list = append(list, v)
	}
	s.values["exclude"] = append([]string{}, list...) // an empty list in JSON
	return nil
}

// body is what is sent.
func (s *linkSettings) body(stdin io.Reader) (map[string]any, error) {
	body := maps.Clone(s.values)
	if s.token != nil {
		token, err := readData(*s.token, stdin)
		if err != nil {
			return nil, err
		}
		body["token"] = strings.TrimSpace(string(token))
	}
	return body, nil
}

func settingName(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

func asText(v string) (any, error) { return v, nil }

func asSwitch(v string) (any, error) {
	on, err := strconv.ParseBool(v)
	if err != nil {
		return nil, errors.New("use true or false")
	}
	return on, nil
}

func asNumber(v string) (any, error) {
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return nil, errors.New("use a number")
	}
	return n, nil
}

func asDuration(v string) (any, error) {
	if _, err := time.ParseDuration(v); err != nil {
		return nil, errors.New("use a number with a unit, such as 90s, 10m or 1h")
	}
	return v, nil
}

// printLink writes the settings of a link under the names that its flags have.
func printLink(w io.Writer, r *link.Report) {
	given := func(text string) string { return cmp.Or(text, "-") }
	limit, token, every := "none", "-", "never"
	if r.RateLimit > 0 {
		limit = fmt.Sprintf("%d keys a second", r.RateLimit)
	}
	if r.HasToken {
		token = "set"
	}
	if r.VerifyInterval > 0 {
		every = time.Duration(r.VerifyInterval).String()
	}
	fmt.Fprintf(w, "Link %s\n\n", r.Name)
	printColumns(w, [][]string{
		{"Source datacenter", r.SourceDatacenter},
		{"Prefix", prefixText(r.Prefix)},
		{"Destination prefix", prefixText(r.DestinationPrefix)},
		{"Exclude", given(strings.Join(r.Exclude, ", "))},
		{"Source token", token},
		{"Delete", fmt.Sprint(r.Delete)},
		{"Max delete fraction", fmt.Sprint(r.MaxDeleteFraction)},
		{"Rate limit", limit},
		{"Verify interval", every},
		{"Repair", fmt.Sprint(r.Repair)},
		{"Conflict", string(r.Conflict)},
		{"Prune", fmt.Sprint(r.Prune)},
		{"Enabled", fmt.Sprint(r.Enabled)},
		{"State", given(r.Status.State)},
	})
}
