package agent

import (
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/gossip"
)

// poolSettings are the settings in which the two pools differ.
type poolSettings struct {
	bind      string
	port      int
	advertise string
	timing    config.Gossip
	reconnect time.Duration
	transport memberlist.Transport
}

// gossipOptions are the settings of one pool.
func (a *Agent) gossipOptions(p poolSettings) gossip.Options {
	cfg := a.cfg
	o := gossip.Options{
		BindAddr: p.bind, BindPort: p.port, AdvertiseAddr: p.advertise,
		Key: cfg.EncryptKey, AcceptPlain: !cfg.EncryptVerifyIncoming, SendPlain: !cfg.EncryptVerifyOutgoing,
		DataDir: cfg.DataDir, NoKeyringFile: cfg.DisableKeyringFile, NoCoordinates: cfg.DisableCoordinates, RejoinAfterLeave: cfg.RejoinAfterLeave, ReconnectTimeout: p.reconnect,
		Timing: gossip.Timing{
			ProbeInterval: p.timing.ProbeInterval, ProbeTimeout: p.timing.ProbeTimeout,
			GossipInterval: p.timing.GossipInterval, GossipNodes: p.timing.GossipNodes,
			SuspicionMult: p.timing.SuspicionMult, RetransmitMult: p.timing.RetransmitMult,
		},
		Dev: cfg.DevMode, Log: a.log, Transport: p.transport,
	}
	return o
}
