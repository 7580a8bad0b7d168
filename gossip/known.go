package gossip

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// remembered reads from serf's snapshot the addresses of the members that were alive
// when this agent last ran. A damaged line is passed over, as serf does.
func (c *Config) remembered() []string {
	if c.DataDir == "" {
		return nil
	}
	file, err := os.Open(filepath.Join(c.DataDir, "serf", c.Files+".snapshot"))
	if err != nil {
		return nil // there was no earlier run
	}
	defer file.Close()
	alive := map[string]string{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		switch kind, rest, _ := strings.Cut(lines.Text(), ": "); kind {
		case "alive":
			if i := strings.LastIndexByte(rest, ' '); i > 0 && rest[:i] != c.Name {
				alive[rest[:i]] = rest[i+1:]
			}
		case "not-alive":
			delete(alive, rest)
		case "leave":
			if !c.RejoinAfterLeave {
				clear(alive)
			}
		}
	}
	var addrs []string
	for name, addr := range alive {
		addrs = append(addrs, name+"/"+addr)
	}
	slices.Sort(addrs)
	return addrs
}

// Missing are the members that were alive when this agent last ran and that the pool
// does not know, in the form that [Pool.Join] takes. serf itself tries them once, when
// the pool starts, and is content with the first that answers.
func (p *Pool) Missing() []string {
	present := map[string]bool{}
	for _, m := range p.serf.Members() {
		present[m.Name] = true
	}
	return slices.DeleteFunc(slices.Clone(p.remembered), func(addr string) bool {
		name, _, _ := strings.Cut(addr, "/")
		return present[name]
	})
}
