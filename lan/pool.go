package lan

import (
	"fmt"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/gossip"
)

// Config describes this agent to its datacenter.
type Config struct {
	NodeName   string
	NodeID     string
	Datacenter string
	// Server holds what a server tells its peers; nil makes a client agent.
	Server *gossip.ServerTags
	// AdvertiseReconnectTimeout asks the others for another reconnect timeout for this
	// client agent; 0 asks for nothing.
	AdvertiseReconnectTimeout time.Duration

	gossip.Options
}

// Pool is the running LAN pool.
type Pool struct {
	*gossip.Pool
	datacenter string
}

// New opens the sockets and starts gossip in this datacenter.
func New(cfg Config) (*Pool, error) {
	cfg.Log = cfg.Log.Named("serf").Named("lan")
	p, err := gossip.New(gossip.Config{
		Pool:               "LAN",
		Name:               cfg.NodeName,
		NodeID:             cfg.NodeID,
		Tags:               cfg.tags(),
		Admit:              cfg.admit,
		UniqueIDs:          true,
		Profile:            profile(cfg.Dev),
		ReconnectTimeoutOf: reconnectTimeouts{},
		AddrKey:            "bind_addr",
		PortKey:            "ports.serf_lan",
		AdvertiseKey:       "advertise_addr",
		Files:              "local",
		Options:            cfg.Options,
	})
	if err != nil {
		return nil, err
	}
	return &Pool{Pool: p, datacenter: cfg.Datacenter}, nil
}

// profile returns memberlist's settings for hosts that are close to each other. A
// dev agent gossips faster, so that its first seconds feel immediate.
func profile(dev bool) *memberlist.Config {
	m := memberlist.DefaultLANConfig()
	if dev {
		m.GossipInterval = 50 * time.Millisecond
		m.PushPullInterval = 10 * time.Second
	}
	return m
}

func (c Config) tags() map[string]string {
	if c.Server != nil {
		return gossip.LANServer(c.NodeID, c.Datacenter, *c.Server)
	}
	tags := gossip.Client(c.NodeID, c.Datacenter)
	if c.AdvertiseReconnectTimeout > 0 {
		tags[reconnectTag] = c.AdvertiseReconnectTimeout.String()
	}
	return tags
}

func (c Config) admit(m serf.Member) error {
	if gossip.IsWANMember(m) {
		return fmt.Errorf("Member '%s' is of a WAN pool: join its address with the port that is ports.serf_lan there", m.Name)
	}
	if dc := m.Tags["dc"]; dc != c.Datacenter {
		return fmt.Errorf("Member '%s' part of wrong datacenter '%s': this agent ('%s') is in '%s', and a LAN pool holds one datacenter; "+
			"join an agent of '%s' here, or link the two datacenters with `join -wan` between servers",
			m.Name, dc, c.NodeName, c.Datacenter, c.Datacenter)
	}
	return nil
}

// Servers returns the servers of this datacenter by name, whatever their status.
func (p *Pool) Servers() []gossip.Server {
	var servers []gossip.Server
	for _, m := range p.Members() {
		if s, ok := p.Server(m); ok {
			servers = append(servers, s)
		}
	}
	return servers
}

// Server reads a member of this pool. It answers false for client agents and for
// servers of another network segment.
func (p *Pool) Server(m serf.Member) (gossip.Server, bool) {
	s, ok := gossip.ParseServer(m)
	return s, ok && s.Segment == "" && s.Datacenter == p.datacenter
}

// reconnectTag holds the reconnect timeout that a client agent asks for.
const reconnectTag = "rc_tm"

// reconnectTimeouts lets short-lived client agents be forgotten sooner.
type reconnectTimeouts struct{}

// ReconnectTimeout implements [serf.ReconnectTimeoutOverrider].
func (reconnectTimeouts) ReconnectTimeout(m *serf.Member, timeout time.Duration) time.Duration {
	if m.Tags["role"] == gossip.RoleServer {
		return timeout
	}
	if d, err := time.ParseDuration(m.Tags[reconnectTag]); err == nil && d > 0 {
		return d
	}
	return timeout
}
