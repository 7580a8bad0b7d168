package replicate

import (
	"errors"
	"fmt"
	"strings"
)

// CheckLinks refuses links that would write over each other, feed themselves, or
// touch the checkpoints. All of them write to the datacenter destinationDC. It
// names every mistake.
func CheckLinks(links []Link, destinationDC, statusPath string) error {
	if len(links) == 0 {
		return errors.New("nothing to replicate: name at least one prefix as SOURCE@DC[:DESTINATION]")
	}
	var errs []error
	for i, a := range links {
		if below(statusPath, a.Source) || below(statusPath, a.Destination) {
			errs = append(errs, fmt.Errorf("link %s lies inside the status path %s, which is never replicated: choose another prefix or another status path", a, statusPath))
		}
		for _, b := range links[:i] {
			if overlap(a.Destination, b.Destination) {
				errs = append(errs, fmt.Errorf("links %s and %s both write below %q: give them destinations of which neither is a prefix of the other%s",
					b, a, longer(a.Destination, b.Destination), slashHint(a.Destination, b.Destination)))
			}
		}
	}
	return errors.Join(append(errs, findLoop(links, destinationDC))...)
}

// findLoop looks for links whose output is, directly or through others, their
// input. Only a link that reads from the destination's own datacenter can be fed.
func findLoop(links []Link, destinationDC string) error {
	feeds := func(a, b Link) bool {
		return strings.EqualFold(b.SourceDC, destinationDC) && overlap(a.Destination, b.Source)
	}
	const unvisited, open, done = 0, 1, 2
	state := make([]int, len(links))
	var path []string
	var visit func(i int) error
	visit = func(i int) error {
		state[i] = open
		path = append(path, links[i].String())
		for j := range links {
			if !feeds(links[i], links[j]) {
				continue
			}
			if state[j] == open {
				return fmt.Errorf("links form a loop inside %s (%s): what they write would be read again", destinationDC, strings.Join(path, ", then "))
			}
			if state[j] == unvisited {
				if err := visit(j); err != nil {
					return err
				}
			}
		}
		path = path[:len(path)-1]
		state[i] = done
		return nil
	}
	for i := range links {
		if state[i] == unvisited {
			if err := visit(i); err != nil {
				return err
			}
		}
	}
	return nil
}

func overlap(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

func longer(a, b string) string {
	if len(a) > len(b) {
		return a
	}
	return b
}

// slashHint explains the overlap that surprises most: config and config2.
func slashHint(a, b string) string {
	short, long := a, b
	if len(short) > len(long) {
		short, long = long, short
	}
	if short != "" && len(long) > len(short) && !strings.HasSuffix(short, "/") && long[len(short)] != '/' {
		return fmt.Sprintf(" (%q also covers %q; %q would not)", short, long, short+"/")
	}
	return ""
}
