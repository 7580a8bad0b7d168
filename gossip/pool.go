package gossip

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/coordinate"
	"github.com/hashicorp/serf/serf"
)

// Pool is a running membership of one pool.
type Pool struct {
	cfg    Config
	serf   *serf.Serf
	guard  *guard
	events *queue
	// remembered is what the snapshot said before serf went on with it.
	remembered []string
	pumped     sync.WaitGroup

	tagsMu sync.Mutex
	tags   map[string]string
}

// New opens the sockets and starts gossip. If an earlier run left a snapshot, it
// looks for the members in it by itself. [Pool.Shutdown] ends it.
func New(cfg Config) (*Pool, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	transport, err := cfg.listen()
	if err != nil {
		return nil, err
	}
	p, err := start(cfg, transport)
	if err != nil {
		_ = transport.Shutdown() // the error that led here says more
		return nil, fmt.Errorf("start %s gossip: %w", cfg.Pool, err)
	}
	return p, nil
}

func start(cfg Config, transport memberlist.Transport) (*Pool, error) {
	sc, err := cfg.serfConfig(transport)
	if err != nil {
		return nil, err
	}
	ip, port, err := transport.FinalAdvertiseAddr(cfg.AdvertiseAddr, cfg.BindPort)
	if err != nil {
		return nil, fmt.Errorf("find the address to advertise (set %s): %w", cfg.AdvertiseKey, err)
	}
	p := &Pool{cfg: cfg, remembered: cfg.remembered(), guard: newGuard(&cfg, ip, port), events: newQueue(), tags: cfg.Tags}
	// serf leaves these two alone as long as it has no merge delegate of its own, and
	// unlike that they learn which members are dead.
	sc.MemberlistConfig.Merge = p.guard
	sc.MemberlistConfig.Alive = p.guard
	events := make(chan serf.Event, eventBuffer)
	sc.EventCh = events
	if p.serf, err = serf.Create(sc); err != nil {
		return nil, err
	}
	p.pumped.Go(func() { p.pump(events) })
	return p, nil
}

// Local returns this member.
func (p *Pool) Local() serf.Member { return p.serf.LocalMember() }

// Members returns all known members by name: alive, leaving, left and failed ones.
// Their tags are shared and read-only.
func (p *Pool) Members() []serf.Member {
	members := p.serf.Members()
	slices.SortFunc(members, func(a, b serf.Member) int { return cmp.Compare(a.Name, b.Name) })
	return members
}

// EditTags changes this member's tags and tells the pool.
func (p *Pool) EditTags(edit func(tags map[string]string)) error {
	p.tagsMu.Lock()
	defer p.tagsMu.Unlock()
	tags := maps.Clone(p.tags)
	edit(tags)
	if maps.Equal(tags, p.tags) {
		return nil
	}
	if err := p.serf.SetTags(tags); err != nil {
		return fmt.Errorf("set tags in the %s pool: %w", p.cfg.Pool, err)
	}
	p.tags = tags
	return nil
}

// Leave tells the others that this member goes, and stays for the few seconds in
// which they spread it. [Pool.Shutdown] follows.
func (p *Pool) Leave() error {
	if err := p.serf.Leave(); err != nil {
		return fmt.Errorf("leave the %s pool: %w", p.cfg.Pool, err)
	}
	return nil
}

// ForceLeave turns the failed member into one that left; with prune it is forgotten
// at once. A member that is alive comes back by itself.
func (p *Pool) ForceLeave(member string, prune bool) error {
	if !slices.ContainsFunc(p.serf.Members(), func(m serf.Member) bool { return m.Name == member }) {
		return fmt.Errorf("agent: No node found with name '%s'", member) // clients match it
	}
	remove := p.serf.RemoveFailedNode
	if prune {
		remove = p.serf.RemoveFailedNodePrune
	}
	if err := remove(member); err != nil {
		return fmt.Errorf("remove %s from the %s pool: %w", member, p.cfg.Pool, err)
	}
	return nil
}

// Keys lists, installs, uses and removes gossip keys in the whole pool.
func (p *Pool) Keys() *serf.KeyManager { return p.serf.KeyManager() }

// Encrypted says whether the pool has a keyring.
func (p *Pool) Encrypted() bool { return p.serf.EncryptionEnabled() }

// Coordinate returns where this member is in the space of round-trip times.
func (p *Pool) Coordinate() (*coordinate.Coordinate, error) { return p.serf.GetCoordinate() }

// CoordinateOf returns the last coordinate heard from a member, by its name in the
// pool. There is none until it has been probed once.
func (p *Pool) CoordinateOf(member string) (*coordinate.Coordinate, bool) {
	return p.serf.GetCachedCoordinate(member)
}

// RTT estimates the round-trip time to a member from the coordinates.
func (p *Pool) RTT(member string) (time.Duration, bool) {
	own, err := p.serf.GetCoordinate()
	if err != nil {
		return 0, false
	}
	other, ok := p.serf.GetCachedCoordinate(member)
	if !ok || !own.IsCompatibleWith(other) {
		return 0, false
	}
	return own.DistanceTo(other), true
}

// Stats returns serf's counters as `hanse info` shows them.
func (p *Pool) Stats() map[string]string { return p.serf.Stats() }

// UserEvent sends an event to all members, this one included. Name and payload
// together may have 512 bytes. Events that coalesce may be merged by name.
func (p *Pool) UserEvent(name string, payload []byte, coalesce bool) error {
	return p.serf.UserEvent(name, payload, coalesce)
}

// Shutdown ends gossip and closes the sockets. Without a Leave before it the others
// will find this member failed. It may be called more than once.
func (p *Pool) Shutdown() error {
	if err := p.serf.Shutdown(); err != nil {
		return fmt.Errorf("shut down %s gossip: %w", p.cfg.Pool, err)
	}
	p.pumped.Wait()
	return nil
}
