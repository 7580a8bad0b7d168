package gossip

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

func TestWhoIsHeardToBeAlive(t *testing.T) {
	r := loadRecorded(t)
	refuse := errors.New("refused by the pool")
	node := func(m recordedMember) *memberlist.Node {
		return &memberlist.Node{Name: m.Name, Addr: net.ParseIP(m.Address), Port: m.Port, Meta: m.meta(t)}
	}
	alpha, gamma := r.LAN[0], r.LAN[1]
	cases := map[string]struct {
		change func(*guard, *memberlist.Node)
		want   string
	}{
		"another member": {func(*guard, *memberlist.Node) {}, ""},
		"ourselves":      {func(g *guard, n *memberlist.Node) { n.Name = g.cfg.Name; n.Meta = nil }, ""},
		"one that the pool refuses": {
			func(g *guard, _ *memberlist.Node) { g.cfg.Admit = func(serf.Member) error { return refuse } },
			refuse.Error()},
		"one with our ID": {
			func(g *guard, _ *memberlist.Node) { g.cfg.NodeID = gamma.Tags["id"] },
			"with this agent's ID"},
		"one with the ID of a live member": {
			func(g *guard, _ *memberlist.Node) {
				g.observe(serf.EventMemberJoin, serf.Member{Name: "other", Tags: gamma.Tags})
			},
			"with member 'other'"},
		"one with the ID of a member that failed": {
			func(g *guard, _ *memberlist.Node) {
				g.observe(serf.EventMemberJoin, serf.Member{Name: "other", Tags: gamma.Tags})
				g.observe(serf.EventMemberFailed, serf.Member{Name: "other", Tags: gamma.Tags})
			},
			""},
		"one with the ID of another, where IDs may repeat": {
			func(g *guard, _ *memberlist.Node) { g.cfg.NodeID = gamma.Tags["id"]; g.cfg.UniqueIDs = false },
			""},
		"one without tags":       {func(_ *guard, n *memberlist.Node) { n.Meta = nil }, "'gamma' is refused"},
		"one with torn tags":     {func(_ *guard, n *memberlist.Node) { n.Meta = n.Meta[:20] }, "'gamma' is refused"},
		"one with too many tags": {func(_ *guard, n *memberlist.Node) { n.Meta = make([]byte, 513) }, "'gamma' is refused"},
		"one without an address": {func(_ *guard, n *memberlist.Node) { n.Addr = nil }, "address of 0 bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			g := newGuard(&Config{Name: alpha.Name, NodeID: alpha.Tags["id"], UniqueIDs: true,
				Admit: func(serf.Member) error { return nil }}, net.ParseIP(alpha.Address), int(alpha.Port))
			n := node(gamma)
			c.change(g, n)
			switch err := g.NotifyAlive(n); {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error is %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestSettingsAreThoseOfThePeers(t *testing.T) {
	c := Config{Pool: "LAN", Name: "a", Profile: memberlist.DefaultLANConfig(), Options: Options{Log: hclog.NewNullLogger()}}
	s, err := c.serfConfig(nil)
	if err != nil {
		t.Fatal(err)
	}
	m := s.MemberlistConfig
	for setting, same := range map[string]bool{
		"serf protocol":       s.ProtocolVersion == 4,
		"name conflicts":      !s.EnableNameConflictResolution,
		"reconnect timeout":   s.ReconnectTimeout.Hours() == 72,
		"tombstone timeout":   s.TombstoneTimeout.Hours() == 24,
		"leave delay":         s.LeavePropagateDelay.Seconds() == 3,
		"queue depths":        s.MinQueueDepth == 4096 && s.QueueDepthWarning == 1_000_000,
		"user event size":     s.UserEventSizeLimit == 512,
		"coordinates":         !s.DisableCoordinates,
		"old time format":     !s.MsgpackUseNewTimeFormat && !m.MsgpackUseNewTimeFormat,
		"memberlist protocol": m.ProtocolVersion == 2,
		"name reclaim":        m.DeadNodeReclaimTime.Seconds() == 30,
		"verification":        m.GossipVerifyIncoming && m.GossipVerifyOutgoing,
		"UDP":                 m.UDPBufferSize == 1400 && m.EnableCompression,
		"label":               m.Label == "" && len(m.CIDRsAllowed) == 0,
		"nothing kept":        s.SnapshotPath == "" && s.KeyringFile == "",
	} {
		if !same {
			t.Errorf("%s differs", setting)
		}
	}
}
