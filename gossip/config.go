package gossip

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// Config describes one pool of one agent. The packages lan and wan fill it in.
type Config struct {
	// Pool is "LAN" or "WAN".
	Pool string
	// Name is this member's name in the pool.
	Name string
	// NodeID is the tag "id" of this member. It may be empty.
	NodeID string
	Tags   map[string]string
	// Admit decides about one member other than ourselves, by its tags. Its error
	// is what the person who tried to join reads.
	Admit func(serf.Member) error
	// UniqueIDs refuses two live members that share a node ID.
	UniqueIDs bool
	// Profile holds memberlist's own settings for this kind of network.
	Profile *memberlist.Config
	// ReconnectTimeoutOf lets a member ask for another reconnect timeout. May be nil.
	ReconnectTimeoutOf serf.ReconnectTimeoutOverrider
	// AddrKey, PortKey and AdvertiseKey are the configuration keys that errors name.
	AddrKey, PortKey, AdvertiseKey string
	// Files is "local" or "remote": the first part of the names of the snapshot and
	// of the keyring in the folder serf of the data directory.
	Files string

	Options
}

// Options is what the configuration of an agent says about a pool.
type Options struct {
	// BindAddr is the IP address to listen on; empty means 0.0.0.0. BindPort 0 takes
	// a free port, which [Pool.Local] then tells.
	BindAddr string
	BindPort int
	// AdvertiseAddr is the IP address told to others; empty means BindAddr, or the
	// private address of the host when that is 0.0.0.0.
	AdvertiseAddr string

	// Key encrypts gossip. It has 16, 24 or 32 bytes; empty means plain gossip, unless
	// a keyring is found in DataDir.
	Key []byte
	// AcceptPlain takes unencrypted gossip in spite of a key, SendPlain sends it so.
	// Both are steps in turning encryption on or off in a running pool.
	AcceptPlain, SendPlain bool

	// DataDir is where the snapshot and the keyring live; empty keeps nothing.
	DataDir string
	// NoKeyringFile keeps keys in memory only.
	NoKeyringFile bool
	// NoCoordinates neither measures nor tells where this member is in the space of
	// round-trip times.
	NoCoordinates bool
	// RejoinAfterLeave keeps the known members in the snapshot over a leave.
	RejoinAfterLeave bool
	// ReconnectTimeout is how long a failed member is kept and tried again before it
	// is reaped; 0 means 72 hours.
	ReconnectTimeout time.Duration
	Timing           Timing
	// Dev shortens the waits that make sense only between hosts.
	Dev bool

	Log hclog.Logger
	// Transport replaces the network. May be nil.
	Transport memberlist.Transport
}

// Timing overrides single settings of a pool. Zero keeps the pool's own.
type Timing struct {
	ProbeInterval, ProbeTimeout time.Duration
	GossipInterval              time.Duration
	GossipNodes                 int
	SuspicionMult               int
	RetransmitMult              int
}

const (
	reconnectTimeout    = 72 * time.Hour
	leavePropagateDelay = 3 * time.Second
	devLeaveDelay       = 200 * time.Millisecond
	// nameReclaimTime is how long a failed member's name stays bound to its address.
	nameReclaimTime = 30 * time.Second
)

func (t Timing) apply(m *memberlist.Config) {
	override(&m.ProbeInterval, t.ProbeInterval)
	override(&m.ProbeTimeout, t.ProbeTimeout)
	override(&m.GossipInterval, t.GossipInterval)
	override(&m.GossipNodes, t.GossipNodes)
	override(&m.SuspicionMult, t.SuspicionMult)
	override(&m.RetransmitMult, t.RetransmitMult)
}

func override[T comparable](setting *T, value T) {
	var zero T
	if value != zero {
		*setting = value
	}
}

// check finds what would otherwise fail later and less clearly.
func (c *Config) check() error {
	// A slash would end the name in join addresses of the form name/ip:port.
	if c.Name == "" || strings.ContainsAny(c.Name, "/ ") {
		return fmt.Errorf("node name %q cannot be used in the %s pool: set node_name to a name without spaces and slashes",
			c.Name, c.Pool)
	}
	return nil
}

// serfConfig assembles the settings of serf. Events and the guard are the pool's.
func (c *Config) serfConfig(transport memberlist.Transport) (*serf.Config, error) {
	log := c.Log.StandardLogger(&hclog.StandardLoggerOptions{InferLevels: true})

	m := c.Profile
	c.Timing.apply(m)
	m.Transport = transport
	m.BindAddr = c.BindAddr
	m.BindPort = c.BindPort
	m.AdvertiseAddr = c.AdvertiseAddr
	m.AdvertisePort = c.BindPort
	m.DeadNodeReclaimTime = nameReclaimTime
	m.GossipVerifyIncoming = !c.AcceptPlain
	m.GossipVerifyOutgoing = !c.SendPlain
	m.Logger = log

	s := serf.DefaultConfig()
	s.NodeName = c.Name
	s.Tags = c.Tags
	s.MemberlistConfig = m
	s.Logger = log
	s.LogOutput = nil
	s.EnableNameConflictResolution = false
	s.ReconnectTimeout = reconnectTimeout
	override(&s.ReconnectTimeout, c.ReconnectTimeout)
	s.ReconnectTimeoutOverride = c.ReconnectTimeoutOf
	s.RejoinAfterLeave = c.RejoinAfterLeave
	s.DisableCoordinates = c.NoCoordinates
	s.MetricLabels = []metrics.Label{{Name: "network", Value: strings.ToLower(c.Pool)}}
	s.MinQueueDepth = 4096
	s.QueueDepthWarning = 1_000_000
	s.LeavePropagateDelay = leavePropagateDelay
	if c.Dev {
		s.LeavePropagateDelay = devLeaveDelay
	}
	if c.DataDir != "" {
		dir := filepath.Join(c.DataDir, "serf")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("create the folder for %s gossip in data_dir: %w", c.Pool, err)
		}
		s.SnapshotPath = filepath.Join(dir, c.Files+".snapshot")
		if !c.NoKeyringFile {
			s.KeyringFile = filepath.Join(dir, c.Files+".keyring")
		}
	}
	keys, err := c.keyring(s.KeyringFile)
	if err != nil {
		return nil, err
	}
	m.Keyring = keys
	return s, nil
}
