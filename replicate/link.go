package replicate

import (
	"fmt"
	"regexp"
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

// linkTarget is what may follow the @ of a link.
var linkTarget = regexp.MustCompile(`^([A-Za-z0-9_-]+)(?:(:)(.*))?$`)

// ParseLink reads SOURCE@DC[:DESTINATION]. Without a destination keys keep their
// names. A source may contain @ and : as long as it ends in the last @ that a
// datacenter's name can follow.
func ParseLink(s string) (Link, error) {
	for at := range len(s) {
		if s[at] != '@' {
			continue
		}
		m := linkTarget.FindStringSubmatch(s[at+1:])
		if m == nil {
			continue
		}
		link := Link{SourceDC: m[1], Source: s[:at], Destination: m[3]}
		if m[2] == "" {
			link.Destination = link.Source
		}
		if err := link.check(m[2] != ""); err != nil {
			return Link{}, fmt.Errorf("prefix %q: %w", s, err)
		}
		return link, nil
	}
	if !strings.Contains(s, "@") {
		return Link{}, fmt.Errorf("prefix %q names no datacenter: write SOURCE@DC or SOURCE@DC:DESTINATION", s)
	}
	return Link{}, fmt.Errorf("prefix %q has no valid datacenter name after the @: use letters, digits, - and _", s)
}

func (l Link) check(renamed bool) error {
	if renamed && l.Destination == "" {
		return fmt.Errorf("the destination after the colon is empty: leave the colon out to keep the keys' names")
	}
	if !utf8.ValidString(l.Source) || !utf8.ValidString(l.Destination) {
		return fmt.Errorf("it is not valid UTF-8, which the HTTP API cannot carry")
	}
	if strings.HasPrefix(l.Source, "/") || strings.HasPrefix(l.Destination, "/") {
		return fmt.Errorf("a key prefix must not begin with a slash")
	}
	return nil
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

func (s scope) covers(rel string) bool {
	source := s.link.Source + rel
	for _, x := range s.link.Excludes {
		if strings.HasPrefix(source, x) {
			return false
		}
	}
	return !mangled(rel) && !below(s.statusPath, source) && !below(s.statusPath, s.destination(rel))
}

// below reports whether key is the path or lies in the folder of that name.
func below(path, key string) bool {
	rest, ok := strings.CutPrefix(key, path)
	return ok && (rest == "" || rest[0] == '/')
}
