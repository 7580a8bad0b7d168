package link

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hanse-project/hanse/rpc"
)

// loopPatience is how long the other datacenters have to name their links.
const loopPatience = 2 * time.Second

// maxHops bounds how far a chain is followed. One that is longer is no use to anybody.
const maxHops = 32

// neighbours ask the datacenters for their links.
type neighbours struct {
	datacenter string
	caller     rpc.Caller
	// own are the links of this datacenter.
	own func() []*Row
}

// place is some of the keys of a datacenter: all that begin with the prefix.
type place struct{ datacenter, prefix string }

// hop is a link that feeds another.
type hop struct {
	datacenter string // that it writes to
	link       *Link
}

func (h hop) String() string {
	return fmt.Sprintf("%q of %s (from %q in %s to %q)", h.link.Name, h.datacenter, h.link.Prefix, h.link.SourceDatacenter, h.link.DestinationPrefix)
}

// loop says by which way a link would be fed with what it writes itself, "" if it is not.
// sure is false when a datacenter on the way did not name its links.
//
// It goes against the stream: who writes what this link reads, and where is that from. So
// only those datacenters are asked that keys come from.
func (n *neighbours) loop(ctx context.Context, l *Link) (way string, sure bool) {
	ctx, cancel := context.WithTimeout(ctx, loopPatience)
	defer cancel()
	s := search{neighbours: n, link: l, known: map[string][]*Link{}, seen: map[visit]bool{}, sure: true}
	path := s.upstream(ctx, place{l.SourceDatacenter, l.Prefix}, []hop{{n.datacenter, l}})
	if path == nil {
		return "", s.sure
	}
	steps := make([]string, len(path)-1) // the last is the first again
	for i := range steps {
		steps[i] = path[i].String()
	}
	return strings.Join(steps, ", which is fed by ") + ", which is fed by the first", true
}

// search is one look for a loop.
type search struct {
	*neighbours
	link *Link
	// known are the links into each datacenter that was asked.
	known map[string][]*Link
	seen  map[visit]bool
	sure  bool
}

// visit is a place and the link that reads it.
type visit struct {
	place
	reader *Link
}

// upstream follows what is written to a place back to where it is read. It returns the
// way once it meets the link that it began with.
func (s *search) upstream(ctx context.Context, at place, path []hop) []hop {
	reader := path[len(path)-1].link
	now := visit{at, reader}
	if s.seen[now] || len(path) > maxHops || ctx.Err() != nil {
		return nil
	}
	s.seen[now] = true
	for _, l := range s.into(ctx, at.datacenter) {
		from, feeds := l.feeds(at.prefix)
		if !feeds || excluded(reader, at.prefix, l.DestinationPrefix) {
			continue
		}
		next := append(path[:len(path):len(path)], hop{at.datacenter, l})
		if at.datacenter == s.datacenter && l.Name == s.link.Name {
			return next
		}
		if found := s.upstream(ctx, place{l.SourceDatacenter, from}, next); found != nil {
			return found
		}
	}
	return nil
}

// feeds tells whether the link writes keys with that prefix, and what they begin with
// where it reads them.
func (l *Link) feeds(prefix string) (from string, ok bool) {
	rest := ""
	switch {
	case strings.HasPrefix(prefix, l.DestinationPrefix):
		rest = prefix[len(l.DestinationPrefix):]
	case !strings.HasPrefix(l.DestinationPrefix, prefix):
		return "", false
	}
	from = l.Prefix + rest
	for _, x := range l.Exclude {
		if strings.HasPrefix(from, x) {
			return "", false
		}
	}
	return from, true
}

// excluded tells whether the reader of the keys with the prefix leaves out all that is
// written below written.
func excluded(reader *Link, prefix, written string) bool {
	if len(written) < len(prefix) {
		written = prefix
	}
	for _, x := range reader.Exclude {
		if strings.HasPrefix(written, x) {
			return true
		}
	}
	return false
}

// into are the enabled links that write to a datacenter. In ours the link itself is one,
// as it is to be.
func (s *search) into(ctx context.Context, datacenter string) []*Link {
	links, asked := s.known[datacenter]
	if asked {
		return links
	}
	if datacenter == s.datacenter {
		links = append(links, s.link)
		for _, r := range s.own() {
			if r.Enabled && r.Name != s.link.Name {
				links = append(links, &r.Link)
			}
		}
	} else {
		links = s.ask(ctx, datacenter)
	}
	s.known[datacenter] = links
	return links
}

func (s *search) ask(ctx context.Context, datacenter string) []*Link {
	req := &ListRequest{}
	req.Datacenter, req.Token = datacenter, s.link.Token
	reply, err := List.Call(ctx, s.caller, req)
	if rpc.ReasonOf(err) == rpc.ReasonUnknownMethod {
		return nil // its servers have no links
	}
	if err != nil {
		s.sure = false
		return nil
	}
	var links []*Link
	for i := range reply.Links {
		if reply.Links[i].Enabled {
			links = append(links, &reply.Links[i].Link)
		}
	}
	return links
}
