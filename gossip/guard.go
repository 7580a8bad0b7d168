package gossip

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// guard decides who is let in. memberlist asks it about all members of the other
// side when two sides join, and about every member it hears to be alive. It is asked
// with memberlist's lock held, so it never calls back.
type guard struct {
	cfg  *Config
	ip   net.IP
	port uint16

	// listed counts how often another member showed us a list with us in it.
	listed atomic.Uint64

	mu  sync.Mutex
	ids map[string]string // node ID to the name of the live member that has it
}

func newGuard(cfg *Config, ip net.IP, port int) *guard {
	return &guard{cfg: cfg, ip: ip, port: uint16(port), ids: make(map[string]string)}
}

// NotifyMerge implements [memberlist.MergeDelegate].
func (g *guard) NotifyMerge(peers []*memberlist.Node) error {
	ids := map[string]string{g.cfg.NodeID: g.cfg.Name}
	listed := false
	for _, n := range peers {
		live := n.State == memberlist.StateAlive || n.State == memberlist.StateSuspect
		if n.Name == g.cfg.Name {
			if !live {
				continue // our own past, which we refute
			}
			if err := g.checkNamesake(n); err != nil {
				return err
			}
			listed = true
			continue
		}
		m, err := g.member(n)
		if err != nil {
			return err
		}
		if err := g.cfg.Admit(m); err != nil {
			return err
		}
		if err := g.checkID(m, ids, live); err != nil {
			return err
		}
	}
	if listed {
		g.listed.Add(1)
	}
	return nil
}

// NotifyAlive implements [memberlist.AliveDelegate].
func (g *guard) NotifyAlive(n *memberlist.Node) error {
	if n.Name == g.cfg.Name {
		return nil // memberlist itself defends our name
	}
	m, err := g.member(n)
	if err != nil {
		return err
	}
	if err := g.cfg.Admit(m); err != nil {
		return err
	}
	return g.checkID(m, map[string]string{g.cfg.NodeID: g.cfg.Name}, true)
}

// checkNamesake compares ourselves with a live member of our name. One at our own
// address is ourselves, perhaps before a restart.
func (g *guard) checkNamesake(n *memberlist.Node) error {
	if n.Addr.Equal(g.ip) && n.Port == g.port {
		return nil
	}
	tags, _ := decodeTags(n.Meta) // unreadable tags are those of another agent
	if id := tags["id"]; id != "" && id == g.cfg.NodeID {
		return fmt.Errorf("Member '%s' with this agent's node ID is alive at %s:%d, and this agent is at %s:%d: "+
			"if it is this agent before it moved, it is let in %v after its old address has failed; "+
			"if its data_dir was copied, give one of them another node_name and node_id",
			n.Name, n.Addr, n.Port, g.ip, g.port, nameReclaimTime)
	}
	return fmt.Errorf("Member '%s' at %s:%d has the name of this agent at %s:%d: "+
		"names must be unique, give one of them another node_name", n.Name, n.Addr, n.Port, g.ip, g.port)
}

// checkID refuses m if a live member of another name has its ID. seen holds the
// members of the same list and grows.
func (g *guard) checkID(m serf.Member, seen map[string]string, live bool) error {
	id := m.Tags["id"]
	if id == "" || !live || !g.cfg.UniqueIDs {
		return nil
	}
	if id == g.cfg.NodeID {
		return fmt.Errorf("Member '%s' has conflicting node ID '%s' with this agent's ID (this agent is '%s'): "+
			"give one of them another node_id; if it is this agent under its former name, wait until that has failed",
			m.Name, id, g.cfg.Name)
	}
	other, ok := seen[id]
	if !ok {
		g.mu.Lock()
		other, ok = g.ids[id]
		g.mu.Unlock()
	}
	if ok && other != m.Name {
		return fmt.Errorf("Member '%s' has conflicting node ID '%s' with member '%s': give one of them another node_id",
			m.Name, id, other)
	}
	seen[id] = m.Name
	return nil
}

// observe keeps the index of IDs in step with the members.
func (g *guard) observe(change serf.EventType, m serf.Member) {
	id := m.Tags["id"]
	if id == "" {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case change == serf.EventMemberJoin || change == serf.EventMemberUpdate:
		g.ids[id] = m.Name
	case g.ids[id] == m.Name:
		delete(g.ids, id)
	}
}

func (g *guard) member(n *memberlist.Node) (serf.Member, error) {
	if len(n.Addr) != net.IPv4len && len(n.Addr) != net.IPv6len {
		return serf.Member{}, fmt.Errorf("Member '%s' has an address of %d bytes, want 4 or 16", n.Name, len(n.Addr))
	}
	tags, err := decodeTags(n.Meta)
	if err != nil {
		return serf.Member{}, fmt.Errorf("Member '%s' is refused: %w", n.Name, err)
	}
	return serf.Member{Name: n.Name, Addr: n.Addr, Port: n.Port, Tags: tags}, nil
}
