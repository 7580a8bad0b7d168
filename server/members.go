package server

import (
	"context"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/serf/serf"

	"github.com/hanse-project/hanse/federation"
	"github.com/hanse-project/hanse/gossip"
	"github.com/hanse-project/hanse/lan"
	"github.com/hanse-project/hanse/wan"
)

// members passes what happens in the two pools to those whom it concerns.
type members struct {
	lan        *lan.Pool
	userEvent  func(serf.UserEvent) // may be nil
	wan        *wan.Pool            // nil without a federation
	flood      *wan.Flooder         // likewise
	directory  *federation.Federation
	reconciler *reconciler
	boot       *bootstrapper
	log        hclog.Logger
}

func (m *members) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { m.lan.Run(ctx, gossip.Handler{Member: m.onLAN, User: m.userEvent}) })
	wg.Go(func() { m.boot.Run(ctx) })
	if m.wan != nil {
		wg.Go(func() { m.wan.Run(ctx, gossip.Handler{Member: m.onWAN}) })
		wg.Go(func() { m.flood.Run(ctx) })
	}
	wg.Wait()
}

func (m *members) onLAN(change serf.EventType, member serf.Member) {
	m.reconciler.Changed(member.Name)
	server, isServer := m.lan.Server(member)
	if !isServer {
		return
	}
	switch change {
	case serf.EventMemberJoin:
		m.log.Info("Adding LAN server", "server", server.String())
	case serf.EventMemberLeave, serf.EventMemberReap:
		m.log.Info("Removing LAN server", "server", server.String())
	}
	m.boot.Poke()
	if m.flood != nil {
		m.flood.Poke()
	}
}

func (m *members) onWAN(change serf.EventType, member serf.Member) {
	server, isServer := gossip.ParseWANServer(member)
	if !isServer {
		return
	}
	switch change {
	case serf.EventMemberLeave, serf.EventMemberReap:
		m.log.Info("Removing WAN server", "server", server.String())
		m.directory.Left(server.Datacenter, server.Name)
	case serf.EventMemberFailed:
		m.directory.MemberFailed(server.Datacenter, server.Name)
	case serf.EventMemberJoin, serf.EventMemberUpdate:
		m.log.Info("Handled event for server in area", "event", change.String(), "server", server.String(), "area", "wan")
		m.directory.Joined(directoryEntry(server))
		if change == serf.EventMemberJoin {
			m.flood.Met(server)
		}
	}
}
