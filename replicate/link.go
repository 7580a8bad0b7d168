package replicate

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// DefaultStatusPath is where checkpoints are kept, as consul-replicate has it.
const DefaultStatusPath = "service/consul-replicate/statuses"

// Link names a prefix of another datacenter and where it is mirrored here.
type Link struct {
	SourceDC string

	// Source is the key prefix at the source; empty means every key.
	Source string

	// Destination replaces Source in the names of the keys.
	Destination string

	// Excludes are prefixes of source keys that the link leaves alone, at both ends.
	Excludes []string
}

var (
	datacenterName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

	// linkTarget is what may follow the @ of a link.
	linkTarget = regexp.MustCompile(`(?s)^([A-Za-z0-9_-]+)(?:(:)(.*))?$`)
)

// NewLink makes a link from its parts. An empty destination means that keys keep
// their names.
func NewLink(source, dc, destination string) (Link, error) {
	link := Link{SourceDC: dc, Source: source, Destination: cmp.Or(destination, source)}
	if !datacenterName.MatchString(dc) {
		return Link{}, fmt.Errorf("prefix %q: %q is no datacenter name: use letters, digits, - and _", source, dc)
	}
	if !utf8.ValidString(link.Source) || !utf8.ValidString(link.Destination) {
		return Link{}, fmt.Errorf("prefix %q: it is not valid UTF-8, which the HTTP API cannot carry", link)
	}
	if strings.HasPrefix(link.Source, "/") || strings.HasPrefix(link.Destination, "/") {
		return Link{}, fmt.Errorf("prefix %q: a key prefix must not begin with a slash", link)
	}
	return link, nil
}

// ParseLink reads SOURCE@DC[:DESTINATION]. Without a destination keys keep their
// names. A source may contain @: it ends at the first one that a datacenter's name,
// and no more than that and a destination, can follow.
func ParseLink(s string) (Link, error) {
	for at := range len(s) {
		if s[at] != '@' {
			continue
		}
		m := linkTarget.FindStringSubmatch(s[at+1:])
		if m == nil {
			continue
		}
		if m[2] != "" && m[3] == "" {
			return Link{}, fmt.Errorf("prefix %q: the destination after the colon is empty: leave the colon out to keep the keys' names", s)
		}
		return NewLink(s[:at], m[1], m[3])
	}
	if !strings.Contains(s, "@") {
		return Link{}, fmt.Errorf("prefix %q names no datacenter: write SOURCE@DC or SOURCE@DC:DESTINATION", s)
	}
	return Link{}, fmt.Errorf("prefix %q has no valid datacenter name after the @: use letters, digits, - and _", s)
}

// String is the link in the syntax of ParseLink. It is the link's name in logs
// and metrics.
func (l Link) String() string {
	if l.Destination == l.Source {
		return l.Source + "@" + l.SourceDC
	}
	return l.Source + "@" + l.SourceDC + ":" + l.Destination
}

// scope says which keys a link is about, and maps their names. The part of a key
// that both ends share is called its relative key.
type scope struct {
	link       Link
	statusPath string

	// binary says that names come through whatever bytes they consist of.
	binary bool
}

// below cuts the destination's or else the source's prefix off a key.
func (s scope) below(key string) (rel string, ok bool) {
	if rel, ok = strings.CutPrefix(key, s.link.Destination); !ok {
		rel, ok = strings.CutPrefix(key, s.link.Source)
	}
	return rel, ok
}

// mangled reports whether the key contains the replacement character, which is
// what JSON makes of bytes that are not UTF-8: its true name cannot be known.
func mangled(key string) bool { return strings.ContainsRune(key, utf8.RuneError) }

func (s scope) fromSource(key string) (rel string, ok bool) {
	rel, ok = strings.CutPrefix(key, s.link.Source)
	return rel, ok && s.covers(rel)
}

func (s scope) fromDestination(key string) (rel string, ok bool) {
	rel, ok = strings.CutPrefix(key, s.link.Destination)
	return rel, ok && s.covers(rel)
}

func (s scope) destination(rel string) string { return s.link.Destination + rel }

// digest changes with what the link leaves out.
func (s scope) digest() string {
	parts := slices.Sorted(slices.Values(s.link.Excludes))
	sum := sha256.Sum256([]byte(strings.Join(append(parts, s.statusPath), "\x00")))
	return hex.EncodeToString(sum[:8])
}

func (s scope) covers(rel string) bool { return s.excluded(rel) == "" }

// excluded says why a key is left alone, "" if it is not.
func (s scope) excluded(rel string) string {
	source := s.link.Source + rel
	for _, x := range s.link.Excludes {
		if strings.HasPrefix(source, x) {
			return fmt.Sprintf("keys of the source below %q are excluded", x)
		}
	}
	switch {
	case below(s.statusPath, source), below(s.statusPath, s.destination(rel)):
		return fmt.Sprintf("checkpoints of replication, below %s, are never copied", s.statusPath)
	case !s.binary && mangled(rel):
		return "its name is not UTF-8, which the HTTP API cannot carry"
	}
	return ""
}

// excludedBelow are prefixes of the relative keys that are left alone; some is false when that
// is all of them.
func (s scope) excludedBelow() (prefixes []string, some bool) {
	some = true
	cut := func(x, prefix string) {
		if rest, below := strings.CutPrefix(x, prefix); below && rest != "" {
			prefixes = append(prefixes, rest)
		} else if strings.HasPrefix(prefix, x) {
			some = false
		}
	}
	for _, x := range s.link.Excludes {
		cut(x, s.link.Source)
	}
	cut(s.statusPath+"/", s.link.Source)
	cut(s.statusPath+"/", s.link.Destination)
	slices.Sort(prefixes)
	return slices.Compact(prefixes), some
}

// unreadable reports whether the key would be copied if its name could be read.
func (s scope) unreadable(key string) bool { return !s.binary && mangled(key) }

// below reports whether key is the path or lies in the folder of that name.
func below(path, key string) bool {
	rest, ok := strings.CutPrefix(key, path)
	return ok && (rest == "" || rest[0] == '/')
}
