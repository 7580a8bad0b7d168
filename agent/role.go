package agent

import (
	"crypto/tls"
	"fmt"
	"net"

	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/hanse-project/hanse/config"
	"github.com/hanse-project/hanse/consensus"
	"github.com/hanse-project/hanse/forwarder"
	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/lan"
	"github.com/hanse-project/hanse/rpc"
	"github.com/hanse-project/hanse/server"
	"github.com/hanse-project/hanse/wan"
)

// openRole opens gossip and what the agent is in its datacenter.
func (a *Agent) openRole(lock *consensus.DirLock) error {
	if a.cfg.Server {
		return a.openServer(lock)
	}
	if err := a.openLAN(nil); err != nil {
		return err
	}
	a.role = newClient(a.lan, a.openEvents(), forwarder.Config{
		Datacenter: a.cfg.Datacenter, Dialer: a.dialer(), Hold: a.cfg.RPCHoldTimeout,
		Log: a.log, Registerer: a.metrics,
	})
	return nil
}

func (a *Agent) dialer() forwarder.Dialer {
	return forwarder.Dialer{
		Dial: a.opts.Network.Dial,
		TLS:  func(dc string) *tls.Config { return a.certs.rpc.Client(dc, a.cfg.Domain) },
	}
}

func (a *Agent) openServer(lock *consensus.DirLock) error {
	cfg := a.cfg
	port, err := a.opts.Network.listen("tcp", hostPort(cfg.BindAddr, cfg.Ports.Server), "bind_addr, ports.server")
	if err != nil {
		return err
	}
	a.parts.add("server port", shortly, func() error { port.Close(); return nil }) // the server closed it, if it ran
	tags := gossip.ServerTags{
		Port: port.Addr().(*net.TCPAddr).Port, Bootstrap: cfg.Bootstrap, Expect: cfg.BootstrapExpect,
		ReadReplica: cfg.ReadReplica, UseTLS: a.certs.rpc.Server() != nil,
	}
	if cfg.Ports.SerfWAN > 0 {
		if err := a.openWAN(tags); err != nil {
			return err
		}
		tags.WANJoinPort = int(a.wan.Local().Port)
	}
	if err := a.openLAN(&tags); err != nil {
		return err
	}
	entries, err := ReadMesh(cfg)
	if err != nil {
		return err
	}
	links, err := ReadLinks(cfg)
	if err != nil {
		return err
	}
	s, err := server.New(server.Config{
		Datacenter: cfg.Datacenter, NodeName: cfg.NodeName, NodeID: a.nodeID,
		DataDir: cfg.DataDir, Lock: lock,
		Expect: expected(cfg), Hold: cfg.RPCHoldTimeout, TombstoneTTL: cfg.TombstoneTTL, CoordinatePeriod: coordinatePeriod(cfg),
		Waits: waits(cfg), MinSessionTTL: cfg.SessionTTLMin, Drain: cfg.LeaveDrainTime,
		MaxValue: cfg.Limits.KVMaxValueSize, MaxConnsPerClient: cfg.Limits.RPCMaxConnsPerClient,
		Raft: server.RaftTiming{
			Timeout: cfg.Raft.HeartbeatTimeout, SnapshotThreshold: uint64(cfg.Raft.SnapshotThreshold),
			SnapshotInterval: cfg.Raft.SnapshotInterval, TrailingLogs: uint64(cfg.Raft.TrailingLogs),
		},
		Autopilot: autopilot.Config{
			CleanupDeadServers: cfg.Autopilot.CleanupDeadServers, LastContactThreshold: cfg.Autopilot.LastContactThreshold,
			MaxTrailingLogs: uint64(cfg.Autopilot.MaxTrailingLogs), MinQuorum: uint(cfg.Autopilot.MinQuorum),
			ServerStabilizationTime: cfg.Autopilot.ServerStabilizationTime,
		},
		LAN: a.lan, UserEvent: a.openEvents(), WAN: a.wan, Port: port,
		Advertise: &net.TCPAddr{IP: net.ParseIP(cfg.AdvertiseAddrLAN), Port: tags.Port},
		Dialer:    a.dialer(), TLS: func() *tls.Config { return a.certs.rpc.Server() }, RequireTLS: cfg.TLS.InternalRPC.VerifyIncoming,
		Mesh: cfg.Connect.Enabled, CAConfig: cfg.Connect.CAConfig, Entries: entries, Links: links,
		Resolver: rpc.AllowAll{}, Registerer: a.metrics, DropGauges: a.metrics.Drop, Log: a.log,
	})
	if err != nil {
		return err
	}
	a.parts.add("the log", roleWithin, s.Close) // Run closed it, if it ran
	a.role = &serverRole{Server: s, agent: a}
	return nil
}

// expected is how many servers must have met before the first election, 0 for a
// server that waits to be let in.
func expected(cfg *config.Config) int {
	if cfg.Bootstrap {
		return 1
	}
	return cfg.BootstrapExpect
}

func (a *Agent) openLAN(tags *gossip.ServerTags) (err error) {
	cfg := a.cfg
	a.lan, err = lan.New(lan.Config{
		NodeName: cfg.NodeName, NodeID: a.nodeID, Datacenter: cfg.Datacenter, Server: tags,
		AdvertiseReconnectTimeout: cfg.AdvertiseReconnectTTL,
		Options: a.gossipOptions(poolSettings{
			cfg.SerfBindAddrLAN, cfg.Ports.SerfLAN, cfg.AdvertiseAddrLAN, cfg.GossipLAN, cfg.ReconnectTimeoutLAN, a.opts.Network.LAN,
		}),
	})
	if err != nil {
		return err
	}
	a.parts.add("LAN gossip", shortly, a.lan.Shutdown)
	return nil
}

func (a *Agent) openWAN(tags gossip.ServerTags) (err error) {
	cfg := a.cfg
	a.wan, err = wan.New(wan.Config{
		NodeName: cfg.NodeName, NodeID: a.nodeID, Datacenter: cfg.Datacenter, Server: tags,
		Options: a.gossipOptions(poolSettings{
			cfg.SerfBindAddrWAN, cfg.Ports.SerfWAN, cfg.AdvertiseAddrWAN, cfg.GossipWAN, cfg.ReconnectTimeoutWAN, a.opts.Network.WAN,
		}),
	})
	if err != nil {
		return err
	}
	a.parts.add("WAN gossip", shortly, a.wan.Shutdown)
	return nil
}

// knownServers is a figure that both roles have.
func knownServers(p *lan.Pool) string { return fmt.Sprint(len(p.Servers())) }
