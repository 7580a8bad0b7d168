package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl"

	"github.com/hanse-project/hanse/replicate"
)

// replicateKeys are the keys of a configuration file and the flags that mean the same.
var replicateKeys = map[string]string{
	"consul.address":           "consul-addr",
	"consul.token":             "consul-token",
	"consul.retry.enabled":     "consul-retry",
	"consul.retry.attempts":    "consul-retry-attempts",
	"consul.retry.backoff":     "consul-retry-backoff",
	"consul.retry.max_backoff": "consul-retry-max-backoff",
	"consul.ssl.enabled":       "consul-ssl",
	"consul.ssl.verify":        "consul-ssl-verify",
	"consul.ssl.ca_cert":       "consul-ssl-ca-cert",
	"consul.ssl.ca_path":       "consul-ssl-ca-path",
	"consul.ssl.cert":          "consul-ssl-cert",
	"consul.ssl.key":           "consul-ssl-key",
	"consul.ssl.server_name":   "consul-ssl-server-name",
	"kill_signal":              "kill-signal",
	"lock":                     "lock",
	"lock_ttl":                 "lock-ttl",
	"log_level":                "log-level",
	"max_delete_fraction":      "max-delete-fraction",
	"max_stale":                "max-stale",
	"metrics_addr":             "metrics-addr",
	"pid_file":                 "pid-file",
	"repair":                   "repair",
	"status_dir":               "status-dir",
	"syslog.enabled":           "syslog",
	"syslog.facility":          "syslog-facility",
	"verify_interval":          "verify-interval",
	"wait":                     "wait",
}

// partKeys are keys that together make up the value of one flag.
var partKeys = []string{
	"consul.auth.enabled", "consul.auth.username", "consul.auth.password",
	"wait.enabled", "wait.min", "wait.max",
}

// ignoredKeys are keys that consul-replicate has and we do without.
var ignoredKeys = []string{"reload_signal", "consul.transport"}

// oldKeys are the names that keys had in early releases of consul-replicate.
var oldKeys = strings.NewReplacer(
	"^consul$", "consul.address", "^token$", "consul.token", "^retry$", "consul.retry.backoff",
	"^auth.", "consul.auth.", "^ssl.", "consul.ssl.", "^", "", "$", "",
)

// flagTwins are flags with two names.
var flagTwins = map[string]string{
	"consul-addr": "http-addr", "consul-token": "token", "consul-ssl-ca-cert": "ca-file", "consul-ssl-ca-path": "ca-path",
	"consul-ssl-cert": "client-cert", "consul-ssl-key": "client-key", "consul-ssl-server-name": "tls-server-name",
}

// readFiles applies the files named by -config, in their order. What was said on the
// command line stays, and prefixes and excludes are added to it.
func (s *replicateSettings) readFiles(flags *flag.FlagSet) (warnings []string, err error) {
	said := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { said[f.Name] = true })
	for _, path := range s.files {
		names, err := configFiles(path)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("read -config: %w", err)
			}
			file, err := parseReplicateFile(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if err := file.apply(s, flags, said); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			for _, key := range file.ignored {
				warnings = append(warnings, fmt.Sprintf("%s: %s has no effect here", name, key))
			}
		}
	}
	return warnings, nil
}

// configFiles are the file itself, or what is in the directory and below, in order of
// the names, without hidden files.
func configFiles(path string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		hidden := name != path && strings.HasPrefix(d.Name(), ".")
		switch {
		case err != nil:
			return err
		case hidden && d.IsDir():
			return filepath.SkipDir
		case !hidden && !d.IsDir():
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read -config: %w", err)
	}
	return names, nil
}

// replicateFile is a configuration file, understood but not applied.
type replicateFile struct {
	values   map[string]string // by full key
	prefixes []replicate.Link
	excludes []string
	ignored  []string
}

// parseReplicateFile reads HCL or JSON, and names every mistake it finds.
func parseReplicateFile(text []byte) (*replicateFile, error) {
	tree, err := parseTree(text)
	if err != nil {
		return nil, err
	}
	f := &replicateFile{values: map[string]string{}}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		switch key {
		case "prefix":
			errs = append(errs, stanzas(key, tree[key], []string{"source", "datacenter", "destination"}, f.addPrefix))
		case "exclude":
			errs = append(errs, stanzas(key, tree[key], []string{"source"}, f.addExclude))
		default:
			errs = append(errs, f.flatten(key, tree[key]))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return f, nil
}

// parseTree reads JSON, which begins with a brace, or HCL. Either way an object is a
// list of one block.
func parseTree(text []byte) (tree map[string]any, err error) {
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		if err := json.Unmarshal(text, &tree); err != nil {
			return nil, fmt.Errorf("not valid JSON: %w", err)
		}
		for key, value := range tree {
			tree[key] = blocks(value)
		}
		return tree, nil
	}
	defer func() {
		if r := recover(); r != nil { // the library panics at some input
			err = fmt.Errorf("not valid HCL: %v", r)
		}
	}()
	if err := hcl.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("not valid HCL: %w", err)
	}
	return tree, nil
}

// blocks turns objects and lists of them, at any depth, into blocks as HCL has them.
func blocks(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			v[key] = blocks(inner)
		}
		return []map[string]any{v}
	case []any:
		list := make([]map[string]any, 0, len(v))
		for _, element := range v {
			block, ok := blocks(element).([]map[string]any)
			if !ok {
				return value
			}
			list = append(list, block...)
		}
		return list
	}
	return value
}

// flatten notes the scalars below key.
func (f *replicateFile) flatten(key string, value any) error {
	if blocks, ok := value.([]map[string]any); ok {
		if slices.Contains(ignoredKeys, key) {
			f.ignored = append(f.ignored, key)
			return nil
		}
		var errs []error
		for _, block := range blocks {
			for _, name := range slices.Sorted(maps.Keys(block)) {
				errs = append(errs, f.flatten(key+"."+name, block[name]))
			}
		}
		return errors.Join(errs...)
	}
	full := oldKeys.Replace("^" + key + "$")
	text, isScalar := scalar(value)
	switch {
	case slices.Contains(ignoredKeys, full):
		f.ignored = append(f.ignored, key)
		return nil
	case replicateKeys[full] == "" && !slices.Contains(partKeys, full):
		return fmt.Errorf("key %s is unknown: the nearest known one is %s", key, nearest(full, knownReplicateKeys()))
	case !isScalar:
		return fmt.Errorf("key %s is a list: give one value", key)
	}
	f.values[full] = text
	return nil
}

func knownReplicateKeys() []string {
	return slices.Concat(slices.Sorted(maps.Keys(replicateKeys)), partKeys, ignoredKeys, []string{"prefix", "exclude"})
}

// scalar is a value as a flag takes it.
func scalar(value any) (string, bool) {
	switch value.(type) {
	case string, bool, int, float64:
		return fmt.Sprint(value), true
	}
	return "", false
}

// stanzas hands the fields of each block named key to add.
func stanzas(key string, value any, known []string, add func(map[string]string) error) error {
	blocks, ok := value.([]map[string]any)
	if !ok {
		return fmt.Errorf("key %s is no block: write %s { source = \"...\" }", key, key)
	}
	var errs []error
	for i, block := range blocks {
		fields := map[string]string{}
		for name, v := range block {
			text, ok := v.(string)
			if !slices.Contains(known, name) {
				errs = append(errs, fmt.Errorf("key %s.%s is unknown: the nearest known one is %s.%s", key, name, key, nearest(name, known)))
			} else if !ok {
				errs = append(errs, fmt.Errorf("key %s.%s is %v: use a string", key, name, v))
			}
			fields[name] = text
		}
		if _, ok := fields["source"]; !ok {
			errs = append(errs, fmt.Errorf("block %d of %s has no source", i+1, key))
			continue
		}
		if err := add(fields); err != nil {
			errs = append(errs, fmt.Errorf("block %d of %s: %w", i+1, key, err))
		}
	}
	return errors.Join(errs...)
}

// addPrefix takes the datacenter from its own field or, as -prefix does, from the source.
func (f *replicateFile) addPrefix(fields map[string]string) error {
	var link replicate.Link
	var err error
	if dc := fields["datacenter"]; dc != "" {
		link, err = replicate.NewLink(fields["source"], dc, fields["destination"])
	} else if link, err = replicate.ParseLink(fields["source"]); err == nil {
		link, err = replicate.NewLink(link.Source, link.SourceDC, cmp.Or(fields["destination"], link.Destination))
	}
	f.prefixes = append(f.prefixes, link)
	return err
}

func (f *replicateFile) addExclude(fields map[string]string) error {
	if fields["source"] == "" {
		return errors.New("source is empty, which would exclude every key")
	}
	f.excludes = append(f.excludes, fields["source"])
	return nil
}

// apply sets the flags that were not said on the command line.
func (f *replicateFile) apply(s *replicateSettings, flags *flag.FlagSet, said map[string]bool) error {
	s.prefixes = append(s.prefixes, f.prefixes...)
	s.excludes = append(s.excludes, f.excludes...)
	values := maps.Clone(f.values)
	if user := f.values["consul.auth.username"]; user != "" && f.values["consul.auth.enabled"] != "false" {
		values["consul.auth.username"] = strings.TrimSuffix(user+":"+f.values["consul.auth.password"], ":")
	} else {
		delete(values, "consul.auth.username")
	}
	if least := f.values["wait.min"]; least != "" && f.values["wait.enabled"] != "false" {
		values["wait"] = strings.TrimSuffix(least+":"+f.values["wait.max"], ":")
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name := replicateKeys[key]
		if key == "consul.auth.username" {
			name = "consul-auth"
		}
		if name == "" || said[name] || said[flagTwins[name]] {
			continue
		}
		if err := flags.Set(name, values[key]); err != nil {
			errs = append(errs, fmt.Errorf("key %s is %q: %w", key, values[key], err))
		}
	}
	return errors.Join(errs...)
}
