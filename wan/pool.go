package wan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/gossip"
)

// Config describes this server to the federation.
type Config struct {
	// NodeName is the name without the datacenter.
	NodeName   string
	NodeID     string
	Datacenter string
	Server     gossip.ServerTags

	gossip.Options
}

// Pool is the running WAN pool.
type Pool struct {
	*gossip.Pool
	datacenter string
}

// New opens the sockets and starts gossip with the federation.
func New(cfg Config) (*Pool, error) {
	cfg.Log = cfg.Log.Named("serf").Named("wan")
	p, err := gossip.New(gossip.Config{
		Pool:         "WAN",
		Name:         gossip.WANName(cfg.NodeName, cfg.Datacenter),
		NodeID:       cfg.NodeID,
		Tags:         gossip.WANServer(cfg.NodeID, cfg.Datacenter, cfg.Server),
		Admit:        admit,
		Profile:      profile(cfg.Dev),
		AddrKey:      "serf_wan",
		PortKey:      "ports.serf_wan",
		AdvertiseKey: "advertise_addr_wan",
		Files:        "remote",
		Options:      cfg.Options,
	})
	if err != nil {
		return nil, err
	}
	return &Pool{Pool: p, datacenter: cfg.Datacenter}, nil
}

// profile returns memberlist's settings for hosts that are far from each other, with
// one gossip target less than the library's own. A dev agent gossips faster.
func profile(dev bool) *memberlist.Config {
	m := memberlist.DefaultWANConfig()
	m.GossipNodes = 3
	if dev {
		m.GossipInterval = 50 * time.Millisecond
		m.PushPullInterval = 10 * time.Second
	}
	return m
}

func admit(m serf.Member) error {
	s, ok := gossip.ParseWANServer(m)
	if ok && m.Name == gossip.WANName(s.Name, s.Datacenter) && (s.Feature == 0 || gossip.IsWANMember(m)) {
		return nil
	}
	if role := m.Tags["role"]; role == gossip.RoleClient || ok {
		return fmt.Errorf("Member '%s' is not a server of a WAN pool: check that the address is a server's and the port its ports.serf_wan", m.Name)
	}
	return fmt.Errorf("Member '%s' is not a server", m.Name)
}

// Servers returns the servers of all datacenters by name, whatever their status.
func (p *Pool) Servers() []gossip.Server {
	var servers []gossip.Server
	for _, m := range p.Members() {
		if s, ok := gossip.ParseWANServer(m); ok {
			servers = append(servers, s)
		}
	}
	return servers
}

// DistanceTo estimates the round-trip time to a datacenter: the median over its
// servers, and 0 for our own. It is unknown until one of them has been probed.
func (p *Pool) DistanceTo(dc string) (time.Duration, bool) {
	if dc == p.datacenter {
		return 0, true
	}
	return p.distance(p.byDatacenter()[dc])
}

// Datacenters returns all datacenters with a server that has not left, the nearest
// first. Those at an unknown distance come last, by name.
func (p *Pool) Datacenters() []string {
	type far struct {
		dc       string
		unknown  int
		distance time.Duration
	}
	var all []far
	for dc, servers := range p.byDatacenter() {
		f := far{dc: dc}
		if dc != p.datacenter {
			d, ok := p.distance(servers)
			f.distance = d
			if !ok {
				f.unknown = 1
			}
		} else {
			f.unknown = -1 // ours is first even if another seems to be at no distance
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b far) int {
		return cmp.Or(cmp.Compare(a.unknown, b.unknown), cmp.Compare(a.distance, b.distance), cmp.Compare(a.dc, b.dc))
	})
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.dc
	}
	return names
}

func (p *Pool) byDatacenter() map[string][]gossip.Server {
	dcs := make(map[string][]gossip.Server)
	for _, s := range p.Servers() {
		if s.Status != serf.StatusLeft {
			dcs[s.Datacenter] = append(dcs[s.Datacenter], s)
		}
	}
	return dcs
}

func (p *Pool) distance(servers []gossip.Server) (time.Duration, bool) {
	var rtts []time.Duration
	for _, s := range servers {
		if rtt, ok := p.RTT(s.Member); ok {
			rtts = append(rtts, rtt)
		}
	}
	if len(rtts) == 0 {
		return 0, false
	}
	slices.Sort(rtts)
	return rtts[len(rtts)/2], true
}
