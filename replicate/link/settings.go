package link

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hanse-project/hanse/catalog"
	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/replicate"
)

// Defaults are the settings of a link of which nothing was said. What is missing in them has to
// be said.
func Defaults() Link {
	return Link{
		Delete: true, MaxDeleteFraction: 0.5, VerifyInterval: catalog.Duration(10 * time.Minute),
		Repair: true, Conflict: replicate.SourceWins, Enabled: true,
	}
}

// setting is a field of [Link] that can be set.
type setting struct {
	name string // in configuration files; without the underscores it is that of the field
	want string // what a value looks like
	read func(l *Link, raw json.RawMessage) error
	copy func(to, from *Link)
}

func field[T any](name, want string, at func(*Link) *T) setting {
	return setting{name, want,
		func(l *Link, raw json.RawMessage) error { return json.Unmarshal(raw, at(l)) },
		func(to, from *Link) { *at(to) = *at(from) },
	}
}

const (
	aText  = "a text"
	yesNo  = "true or false"
	aCount = "a whole number"
)

// settings are all of them, in the order in which people are shown them.
var settings = []setting{
	field("name", aText, func(l *Link) *string { return &l.Name }),
	field("source_datacenter", aText, func(l *Link) *string { return &l.SourceDatacenter }),
	field("prefix", aText, func(l *Link) *string { return &l.Prefix }),
	field("destination_prefix", aText, func(l *Link) *string { return &l.DestinationPrefix }),
	field("exclude", `a list of texts, such as ["config/private/"]`, func(l *Link) *[]string { return &l.Exclude }),
	field("token", aText, func(l *Link) *string { return &l.Token }),
	field("delete", yesNo, func(l *Link) *bool { return &l.Delete }),
	field("max_delete_fraction", "a number from 0 to 1", func(l *Link) *float64 { return &l.MaxDeleteFraction }),
	field("rate_limit", aCount, func(l *Link) *int { return &l.RateLimit }),
	field("verify_interval", `a duration such as "10m"`, func(l *Link) *catalog.Duration { return &l.VerifyInterval }),
	field("repair", yesNo, func(l *Link) *bool { return &l.Repair }),
	field("conflict", aText, func(l *Link) *replicate.Conflict { return &l.Conflict }),
	field("prune", yesNo, func(l *Link) *bool { return &l.Prune }),
	field("enabled", yesNo, func(l *Link) *bool { return &l.Enabled }),
}

// shownOnly are fields that a [Report] has beside the settings. They may come back.
var shownOnly = []string{
	"fromconfig", "createindex", "modifyindex", "paused", "resync", "decision", "approved", "hastoken", "checkpoint", "status",
}

// fold is a key without case and underscores.
func fold(key string) string { return strings.ToLower(strings.ReplaceAll(key, "_", "")) }

func findSetting(key string) (setting, bool) {
	name := fold(key)
	i := slices.IndexFunc(settings, func(s setting) bool { return fold(s.name) == name })
	if i < 0 {
		return setting{}, false
	}
	return settings[i], true
}

// ParseSettings reads settings from a JSON object, and returns which of them it has, by their
// names in configuration files. Keys are understood in both spellings, source_datacenter and
// SourceDatacenter. null is as good as nothing. What a [Report] shows beside the settings is
// passed over, so that what was read can be written.
func ParseSettings(body []byte) (Link, []string, error) {
	var l Link
	var values map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&values); err != nil {
		return l, nil, notSettings(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return l, nil, errors.New("there is more behind the JSON object: send one link at a time")
	}
	var fields []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		s, known := findSetting(key)
		switch {
		case !known && slices.Contains(shownOnly, fold(key)), string(values[key]) == "null":
			continue
		case !known:
			return l, nil, unknownSetting(key)
		case slices.Contains(fields, s.name):
			return l, nil, fmt.Errorf("%s is given twice, in two spellings: leave one out", s.name)
		}
		if err := s.read(&l, values[key]); err != nil {
			return l, nil, fmt.Errorf("%s is %s: use %s", s.name, values[key], s.want)
		}
		fields = append(fields, s.name)
	}
	return l, fields, nil
}

// notSettings says what is wrong with a body that is no object.
func notSettings(err error) error {
	if _, other := errors.AsType[*json.UnmarshalTypeError](err); other {
		err = errors.New("it is not an object")
	}
	return fmt.Errorf(`the body is no JSON object of settings, such as {"source_datacenter": "shanghai", "prefix": "config/"}: %w`, err)
}

func unknownSetting(key string) error {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = s.name
	}
	if near := config.Nearest(key, names); near != "" {
		return fmt.Errorf("unknown setting %q: did you mean %q?", key, near)
	}
	return fmt.Errorf("unknown setting %q: use %s", key, strings.Join(names, ", "))
}

// Settings are those that the link has after a [Set]. present are those it has, nil for a new
// link, which must be told where its keys come from.
func (r *OrderRequest) Settings(present *Link) (Link, error) {
	has := func(name string) bool { return slices.Contains(r.Fields, name) }
	l := Defaults()
	switch {
	case present != nil:
		l = *present
	case !has("source_datacenter") || r.Link.SourceDatacenter == "":
		return l, errors.New("source_datacenter is missing: name the datacenter that the keys come from")
	case !has("prefix"):
		return l, errors.New(`prefix is missing: say what the keys begin with, such as "config/", or "" for all keys`)
	default:
		l.DestinationPrefix = r.Link.Prefix
	}
	for _, s := range settings {
		if has(s.name) {
			s.copy(&l, &r.Link)
		}
	}
	if r.Name != "" {
		l.Name = r.Name
	}
	return l, nil
}
